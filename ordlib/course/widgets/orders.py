"""Pictures in the order in which a sentence puts them: CLIP's cosines, an adapter's scores."""

from collections.abc import Sequence

import numpy as np
from ipywidgets import Button, Dropdown, HBox, IntSlider, IntText, Layout, Text, VBox
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch.nn.functional import normalize

from ...clip import ClipBackbone
from ...clip.feature_cache import cached_image_features
from ...data import ImageData
from ...methods.ranking_adapter.model import RankingAdapter
from ...tasks import OrdinalTask
from ...tasks.templates import placeholder_names
from ..plots import contact_sheet
from ..plots.pictures import correlation, squared
from ..plots.style import value_name
from .controls import NAME_WIDTH, explorer, say

WIDE = Layout(width="40em")


def closest_first(cosines: ArrayLike) -> np.ndarray:
    """Order pictures by their cosine with a prompt, the closest first.

    Pictures with the same cosine are shuffled: left as they lie, they would keep an order that
    the model never gave them, and data are often sorted by label.

    Example:
        >>> closest_first([0.1, 0.3, 0.2])
        array([1, 2, 0])
    """
    cosines = np.asarray(cosines, dtype=np.float64)
    return np.lexsort((np.random.default_rng(0).permutation(len(cosines)), -cosines))


def draw_ordered(clip: ClipBackbone, data: ImageData, prompt: str, most: int = 12) -> Axes:
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
    """
    prompt = _tidy(prompt)
    if most < 2:
        raise ValueError(f"most = {most}: give at least 2, the closest and the farthest")
    # The prompt comes first: one that is too long fails before the pictures are encoded.
    text = normalize(clip.encode_text([prompt])[0], dim=-1)
    cosines = (normalize(cached_image_features(clip, data), dim=-1) @ text).double().numpy()
    # What differs by no more than rounding counts as the same.
    cosines = cosines.round(6)
    order = closest_first(cosines)
    head, tail = most - most // 2, most // 2
    shown = order if len(order) <= most else np.concatenate([order[:head], order[-tail:]])
    names = [value_name(data.task, value) for value in data.values[shown]]
    ax = contact_sheet([data[i] for i in shown], names, columns=head)
    which = f"all {len(order)} pictures, the closest first"
    if len(shown) < len(order):
        which = f"above the {head} closest of {len(order)} pictures, below the {tail} farthest"
    told = f"Spearman of cosine and {data.task.name} label: {correlation(data.values, cosines)}"
    ax.set_title(f"{_quoted(prompt)}\n{which}\n{told}", fontsize=11, parse_math=False)
    return ax


def explore_prompt(clip: ClipBackbone, datasets: dict[str, ImageData]) -> VBox:
    """A menu of data sets, a box to type in and three prompts above :func:`draw_ordered`."""
    menu = Dropdown(options=list(datasets), description="num_images", style=NAME_WIDTH)
    box = _box("prompt", _suggestions(datasets[menu.value].task)[0])
    row = HBox()

    def take(button: Button) -> None:
        box.value = button.description

    def suggest(name: str) -> None:
        words = _suggestions(datasets[name].task)
        row.children = [Button(description=w, layout=Layout(width="auto")) for w in words]
        for button in row.children:
            button.on_click(take)

    def follow(change: dict) -> None:
        if box.value in _suggestions(datasets[change["old"]].task):
            box.value = _suggestions(datasets[change["new"]].task)[0]
        suggest(change["new"])

    suggest(menu.value)
    menu.observe(follow, "value")

    def draw(name: str, prompt: str) -> None:
        try:
            draw_ordered(clip, datasets[name], prompt)
        except ValueError as error:
            say(str(error))

    controls, figure = explorer(draw, {"name": menu, "prompt": box}).children
    return VBox([controls, row, figure])


def ranking_figure(
    adapter: RankingAdapter, data: ImageData, prompt: str, rows: Sequence[int]
) -> Figure:
    """Draw some pictures in the order in which a sentence puts them, the lowest score first.

    Above each stand its score and, in brackets, its true label.

    Args:
        adapter: trained, or the order means little.
        data: labelled pictures of one of its tasks.
        prompt: any sentence; what it has in braces, as ``{plural}``, stands for a column of the
            records, and then each picture has a sentence of its own.
        rows: which pictures, by their positions.
    """
    prompt = _tidy(prompt)
    try:
        placeholder_names(prompt)
    except ValueError as error:
        raise ValueError(f"braces stand for a column of the records: {error}") from error
    few = data.subset(np.asarray(rows))
    scores = adapter.predict_scores(few, adapter.prompts(few, prompt))
    order = np.argsort(scores, kind="stable")
    names = [f"{scores[i]:+.2f} ({value_name(few.task, few.values[i])})" for i in order]
    pictures = [squared(few[int(i)]) for i in order]
    side = min(picture.width for picture in pictures)
    ax = contact_sheet([picture.resize((side, side)) for picture in pictures], names, columns=6)
    told = f"the lowest score first; in brackets the {few.task.name} label"
    ax.set_title(f"{_quoted(prompt)}\n{told}", fontsize=11, loc="left", parse_math=False)
    return ax.figure


def explore_ranking(adapter: RankingAdapter, data: ImageData) -> VBox:
    """Controls above :func:`ranking_figure`, which say it if a sentence will not do.

    They are a menu of sentences that the adapter learned, a box to type in, a slider for how
    many pictures and a button for others.
    """
    sentences = _sentences(adapter, data)
    menu = Dropdown(options=sentences, description="learned", style=NAME_WIDTH, layout=WIDE)
    box = _box("or type", sentences[0])
    count = IntSlider(
        min(12, len(data)), min=min(2, len(data)), max=min(24, len(data)),
        description="num_images", style=NAME_WIDTH, continuous_update=False,
        layout=Layout(width="24em"),
    )  # fmt: skip
    others = Button(description="other pictures")
    # A number that nobody sees: each click draws anew by the next.
    draws = IntText(0, layout=Layout(display="none"))

    def take(change: dict) -> None:
        box.value = change["new"]

    def draw_others(_: Button) -> None:
        draws.value += 1

    def draw(prompt: str, count: int, seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(len(data))[:count]
        try:
            ranking_figure(adapter, data, prompt, rows)
        except ValueError as error:
            say(str(error))

    menu.observe(take, "value")
    others.on_click(draw_others)
    made = explorer(draw, {"prompt": box, "count": count, "seed": draws})
    return VBox([menu, box, HBox([count, others, draws]), made.children[1]])


def _tidy(prompt: str) -> str:
    """Return the words of a prompt on one line; complain if there are none."""
    if not prompt.split():
        raise ValueError("the sentence is empty: type a few words")
    return " ".join(prompt.split())


def _quoted(prompt: str) -> str:
    return f'"{prompt}"' if len(prompt) <= 70 else f'"{prompt[:66]} ..."'


def _box(name: str, words: str) -> Text:
    return Text(words, description=name, style=NAME_WIDTH, continuous_update=False, layout=WIDE)


def _suggestions(task: OrdinalTask) -> list[str]:
    """Return three prompts: for the highest and the lowest rank, and in coarse words."""
    ranks, bins = task.prompts(), task.bin_prompts()
    return list(dict.fromkeys([ranks[-1], ranks[0], *reversed(bins)]))[:3]


def _sentences(adapter: RankingAdapter, data: ImageData) -> list[str]:
    """Return what the adapter learned, the pictures' own task first, as far as records allow."""
    own = data.task.name
    names = sorted(adapter.prompt_templates, key=lambda name: name != own)
    columns = set(data.metadata.columns)
    known = [sentence for name in names for sentence in adapter.prompt_templates[name]]
    fitting = [sentence for sentence in known if columns.issuperset(placeholder_names(sentence))]
    return list(dict.fromkeys(fitting)) or [f"Rank by {own}."]
