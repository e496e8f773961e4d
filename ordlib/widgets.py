"""Explorers: a plain drawing function for each, and the same function behind sliders.

The drawing function comes first in a notebook, so that a reader on GitHub sees the default
state; the explorer then calls the very same function.
"""

from collections.abc import Callable
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import (
    Button,
    Dropdown,
    FloatSlider,
    HBox,
    IntSlider,
    Layout,
    Text,
    VBox,
    interactive_output,
)
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch.nn.functional import normalize

from .clip import ClipBackbone
from .data import ImageData
from .features import image_features
from .metrics import score, spearman
from .plots import contact_sheet, predicted_against_true
from .tasks import OrdinalTask

# A fixed width for the names of sliders; ipywidgets 7 and 8 both cut longer ones off.
NAME_WIDTH = {"description_width": "9em"}


def imperfect(
    truth: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float, seed: int = 0
) -> np.ndarray:
    """Make up predictions with a known bias, spread and share of exact hits.

    Args:
        truth: ``(N,)`` values on the task's number line.
        task: its range clips the predictions.
        bias: added to every miss, in the task's unit.
        spread: standard deviation of the misses, in the task's unit, >= 0.
        hits: share of predictions that are exactly right, 0 to 1.
        seed: of the noise.

    Returns:
        ``(N,)`` predicted values.

    Example:
        >>> from ordlib.tasks import load_task
        >>> imperfect(np.array([3.0, 18.0]), load_task("counting"), 5, 0, 0.0)
        array([ 8., 20.])
    """
    rng = np.random.default_rng(seed)
    noise, lucky = rng.normal(size=len(truth)), rng.uniform(size=len(truth)) < hits
    missed = np.clip(truth + bias + spread * noise, *task.range)
    return np.where(lucky, truth, missed)


def draw_predictor(
    truth: np.ndarray,
    task: OrdinalTask,
    bias: float = 0.0,
    spread: float = 2.0,
    hits: float = 0.3,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predictions of :func:`imperfect` with their metrics in the title.

    Args:
        truth, task, bias, spread, hits: as in :func:`imperfect`.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.
    """
    predicted = imperfect(truth, task, bias, spread, hits)
    ax = predicted_against_true(truth, predicted, task, ax=ax)
    numbers = score(task, truth, task.read_values(predicted))
    ax.set_title(
        f"MAE {numbers['mae']:.2f} {task.unit}   accuracy {numbers['accuracy']:.2f}\n"
        f"off by one {numbers['off_by_one']:.2f}   kappa {numbers['kappa']:.2f}   "
        f"Spearman {numbers['spearman']:.2f}",
        fontsize=11,
    )
    return ax


def explore_predictor(truth: np.ndarray, task: OrdinalTask) -> VBox:
    """Put :func:`draw_predictor` behind three sliders.

    Args:
        truth: ``(N,)`` values on the task's number line.
        task: says what they mean.

    Returns:
        A widget: bias, spread and exact hits above the figure.
    """
    reach = (task.range[1] - task.range[0]) / 2
    step = reach / 40
    sliders = {
        "bias": _slider("bias", 0.0, -reach, reach, step),
        "spread": _slider("spread", 2.0, 0.0, reach, step),
        "hits": _slider("exact hits", 0.3, 0.0, 1.0, 0.05),
    }
    return _explorer(lambda **state: draw_predictor(truth, task, **state), sliders)


def draw_rank(data: ImageData, rank: int, most: int = 8, ax: Axes | None = None) -> Axes:
    """Draw pictures of one rank.

    Args:
        data: labelled pictures.
        rank: index of the rank, 0 to M - 1.
        most: number of pictures at most.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; it says so if the data hold no picture of that rank.
    """
    found = np.flatnonzero(data.ranks == rank)[:most]
    name = data.task.label_of(rank)
    if not len(found):
        ax = ax or plt.subplots(figsize=(6, 1))[1]
        ax.set_axis_off()
        ax.set_title(f"{data.task.name}: no picture is labelled {name}")
        return ax
    ax = contact_sheet([data[i] for i in found], columns=most, ax=ax)
    ax.set_title(f"{data.task.name}: {name}")
    return ax


def explore_world(datasets: dict[str, ImageData]) -> VBox:
    """Browse pictures by task and rank.

    Args:
        datasets: labelled pictures by the name to show.

    Returns:
        A widget: a menu of tasks and a slider over ranks above the pictures.
    """
    names = list(datasets)
    menu = Dropdown(options=names, description="task", style=NAME_WIDTH)
    ranks = IntSlider(0, 0, datasets[names[0]].task.num_ranks - 1, description="rank")
    ranks.style = NAME_WIDTH

    def follow(change: dict) -> None:
        ranks.value, ranks.max = 0, datasets[change["new"]].task.num_ranks - 1

    menu.observe(follow, "value")

    def draw(task: str, rank: int) -> None:
        last = datasets[task].task.num_ranks - 1
        draw_rank(datasets[task], min(rank, last))

    return _explorer(draw, {"task": menu, "rank": ranks})


def closest_first(cosines: ArrayLike, seed: int = 0) -> np.ndarray:
    """Order pictures by their cosine with a prompt, the closest first.

    Pictures with the same cosine are shuffled: left as they lie, they would keep an order that
    the model never gave them, and data are often sorted by label.

    Args:
        cosines: ``(N,)``, left as they are.
        seed: of the shuffle.

    Returns:
        ``(N,)`` positions.

    Example:
        >>> closest_first([0.1, 0.3, 0.2])
        array([1, 2, 0])
    """
    cosines = np.asarray(cosines, dtype=np.float64)
    return np.lexsort((np.random.default_rng(seed).permutation(len(cosines)), -cosines))


def draw_ordered(
    clip: ClipBackbone, data: ImageData, prompt: str, most: int = 12, ax: Axes | None = None
) -> Axes:
    """Draw the pictures closest to a prompt and those farthest from it, titled by their labels.

    The title also has the Spearman correlation of cosine and label over all pictures: does the
    prompt put them in order, forwards (+1) or backwards (-1)?

    Args:
        clip: the backbone, as it was loaded.
        data: labelled pictures; their features are encoded once and then read from disk.
        prompt: any words.
        most: number of pictures at most: the first half are the closest, the closest of all
            first; the others the farthest, the farthest of all last. With no more pictures
            than that, all of them in order.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: an empty prompt, one that the tokenizer cannot take whole, ``most`` below 2,
            or a backbone that was tuned after loading.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip, data = load_clip("pico-clip", "cpu"), load_data("counting", "val", size=100)
        >>> ax = draw_ordered(clip, data, "a photo of many stars")
        >>> plt.close(ax.figure)
    """
    prompt = " ".join(prompt.split())
    if not prompt:
        raise ValueError("the prompt is empty: type a few words")
    if most < 2:
        raise ValueError(f"most = {most}: give at least 2, the closest and the farthest")
    # The prompt comes first: one that is too long fails before the pictures are encoded.
    text = normalize(clip.encode_prompts([prompt])[0], dim=-1)
    cosines = (normalize(image_features(clip, data), dim=-1) @ text).double().numpy()
    # What differs by no more than rounding counts as the same.
    cosines = cosines.round(6)
    order = closest_first(cosines)
    head, tail = most - most // 2, most // 2
    shown = order if len(order) <= most else np.concatenate([order[:head], order[-tail:]])
    names = [_label(data.task, value) for value in data.values[shown]]
    ax = contact_sheet([data[i] for i in shown], names, columns=head, ax=ax)
    which = f"all {len(order)} pictures, the closest first"
    if len(shown) < len(order):
        which = f"above the {head} closest of {len(order)} pictures, below the {tail} farthest"
    named = prompt if len(prompt) <= 70 else f"{prompt[:66]} ..."
    told = spearman(data.values, cosines)
    correlation = "undefined" if np.isnan(told) else f"{told:+.2f}"
    ax.set_title(
        f'"{named}"\n{which}\n'
        f"Spearman of cosine and {data.task.name} label: {correlation}",
        fontsize=11, parse_math=False,
    )  # fmt: skip
    return ax


def explore_prompt(clip: ClipBackbone, datasets: dict[str, ImageData]) -> VBox:
    """Type a prompt and see pictures ordered by it, as :func:`draw_ordered` does.

    Args:
        clip: the backbone, as it was loaded.
        datasets: labelled pictures by the name to show.

    Returns:
        A widget: a menu of data sets, a box to type in and three prompts to begin with, above
        the figure. A prompt that will not do is answered by a sentence.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip, data = load_clip("pico-clip", "cpu"), load_data("counting", "val", size=100)
        >>> explore_prompt(clip, {"counting": data})  # doctest: +SKIP
    """
    names = list(datasets)
    menu = Dropdown(options=names, description="pictures", style=NAME_WIDTH)
    box = Text(
        value=_suggestions(datasets[names[0]].task)[0], description="prompt", style=NAME_WIDTH,
        continuous_update=False, layout=Layout(width="40em"),
    )  # fmt: skip
    row = HBox()

    def take(button: Button) -> None:
        box.value = button.description

    def suggest(name: str) -> None:
        row.children = [_button(words, take) for words in _suggestions(datasets[name].task)]

    def follow(change: dict) -> None:
        if box.value in _suggestions(datasets[change["old"]].task):
            box.value = _suggestions(datasets[change["new"]].task)[0]
        suggest(change["new"])

    suggest(names[0])
    menu.observe(follow, "value")

    def draw(name: str, prompt: str) -> None:
        try:
            draw_ordered(clip, datasets[name], prompt)
        except ValueError as error:
            _say(str(error))

    explorer = _explorer(draw, {"name": menu, "prompt": box})
    return VBox([explorer.children[0], row, explorer.children[1]])


def _suggestions(task: OrdinalTask) -> list[str]:
    """Return three prompts: for the highest and the lowest rank, and in coarse words."""
    ranks, bins = task.prompts(), task.bin_prompts()
    return list(dict.fromkeys([ranks[-1], ranks[0], *reversed(bins)]))[:3]


def _button(words: str, clicked: Callable[[Button], None]) -> Button:
    button = Button(description=words, layout=Layout(width="auto"))
    button.on_click(clicked)
    return button


def _label(task: OrdinalTask, value: float) -> str:
    """Return a rank's own name, or the number of a label that lies between ranks."""
    rank = int(task.nearest_rank(value))
    return task.label_of(rank) if task.levels[rank] == value else f"{value:.3g}"


def _say(message: str) -> None:
    """Draw a sentence instead of a figure; a pasted page is cut in the middle."""
    if len(message) > 300:
        message = f"{message[:100]} ... {message[-190:]}"
    ax = plt.subplots(figsize=(8, 0.2))[1]
    ax.set_axis_off()
    ax.set_title(fill(message, 90), fontsize=11, parse_math=False)


def _slider(name: str, value: float, low: float, high: float, step: float) -> FloatSlider:
    return FloatSlider(
        value, min=low, max=high, step=step, description=name, style=NAME_WIDTH,
        continuous_update=False, layout=Layout(width="24em"),
    )  # fmt: skip


def _explorer(draw, controls: dict) -> VBox:
    """Join controls and a figure that is drawn anew at every change."""

    def show(**state: object) -> None:
        draw(**state)
        plt.show()

    return VBox([HBox(list(controls.values())), interactive_output(show, controls)])
