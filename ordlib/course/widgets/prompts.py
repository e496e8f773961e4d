"""Pictures in the order in which a sentence puts them."""

from collections.abc import Callable

import numpy as np
from ipywidgets import Button, Dropdown, HBox, Layout, Text, VBox
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch.nn.functional import normalize

from ...clip import ClipBackbone
from ...clip.feature_cache import image_features
from ...data import ImageData
from ...metrics import spearman
from ...tasks import OrdinalTask
from ..plots import contact_sheet
from ..plots.ranks import value_name
from .controls import NAME_WIDTH, explorer, say


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
        >>> import matplotlib.pyplot as plt
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
    names = [value_name(data.task, value) for value in data.values[shown]]
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
            say(str(error))

    box_and_figure = explorer(draw, {"name": menu, "prompt": box})
    return VBox([box_and_figure.children[0], row, box_and_figure.children[1]])


def _suggestions(task: OrdinalTask) -> list[str]:
    """Return three prompts: for the highest and the lowest rank, and in coarse words."""
    ranks, bins = task.prompts(), task.bin_prompts()
    return list(dict.fromkeys([ranks[-1], ranks[0], *reversed(bins)]))[:3]


def _button(words: str, clicked: Callable[[Button], None]) -> Button:
    button = Button(description=words, layout=Layout(width="auto"))
    button.on_click(clicked)
    return button
