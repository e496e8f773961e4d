"""Some pictures, put in order by a sentence."""

from collections.abc import Sequence

import numpy as np
from ipywidgets import Button, Dropdown, HBox, IntSlider, IntText, Layout, Text, VBox
from matplotlib.figure import Figure

from ...data import ImageData
from ...methods.ranking_adapter.model import RankingAdapter
from ...tasks.templates import placeholders
from ..plots import contact_sheet
from ..plots.pictures import squared
from ..plots.ranks import value_name
from .controls import NAME_WIDTH, explorer, say

COLUMNS = 6
# Of pictures, at first and at most.
SHOWN, MOST = 12, 24


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

    Returns:
        The Figure: one Axes.

    Raises:
        ValueError: an empty sentence, one that the tokenizer cannot take whole, braces that name
            no column, or no rows.
        IndexError: a row that does not exist.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", side=96, size=20)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> figure = ranking_figure(adapter, data, "Which photograph is the newest?", [3, 1, 4])
        >>> len(figure.axes[0].texts)
        3
        >>> plt.close(figure)
    """
    prompt = " ".join(prompt.split())
    if not prompt:
        raise ValueError("the sentence is empty: type a few words")
    try:
        placeholders(prompt)
    except ValueError as error:
        raise ValueError(f"braces stand for a column of the records: {error}") from error
    few = data.subset(np.asarray(rows))
    scores = adapter.scores(few, adapter.prompts(few, prompt))
    order = np.argsort(scores, kind="stable")
    names = [f"{scores[i]:+.2f} ({value_name(few.task, few.values[i])})" for i in order]
    pictures = [squared(few[int(i)]) for i in order]
    side = min(picture.width for picture in pictures)
    pictures = [picture.resize((side, side)) for picture in pictures]
    ax = contact_sheet(pictures, names, columns=COLUMNS)
    named = prompt if len(prompt) <= 70 else f"{prompt[:66]} ..."
    ax.set_title(
        f'"{named}"\nthe lowest score first; in brackets the {few.task.name} label',
        fontsize=11, loc="left", parse_math=False,
    )  # fmt: skip
    return ax.figure


def explore_ranking(adapter: RankingAdapter, data: ImageData) -> VBox:
    """Pick or type a sentence, pick pictures, and see them in order, as :func:`ranking_figure` has.

    Args:
        adapter: as in :func:`ranking_figure`.
        data: as in :func:`ranking_figure`.

    Returns:
        A widget: a menu of sentences that the adapter learned, a box to type in, a slider for
        how many pictures and a button for others, above the figure. A sentence that will not do
        is answered by another.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("dating", "val", side=96, size=20)
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> explore_ranking(adapter, data)  # doctest: +SKIP
    """
    sentences = _sentences(adapter, data)
    menu = Dropdown(
        options=sentences, description="learned", style=NAME_WIDTH, layout=Layout(width="40em")
    )
    box = Text(
        value=sentences[0], description="or type", style=NAME_WIDTH, continuous_update=False,
        layout=Layout(width="40em"),
    )  # fmt: skip
    count = IntSlider(
        min(SHOWN, len(data)), min=min(2, len(data)), max=min(MOST, len(data)),
        description="pictures", style=NAME_WIDTH, continuous_update=False,
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


def _sentences(adapter: RankingAdapter, data: ImageData) -> list[str]:
    """Return what the adapter learned, the pictures' own task first, as far as records allow."""
    own = data.task.name
    names = sorted(adapter.wordings, key=lambda name: name != own)
    columns = set(data.records.columns)
    known = [sentence for name in names for sentence in adapter.wordings[name]]
    fitting = [sentence for sentence in known if columns.issuperset(placeholders(sentence))]
    return list(dict.fromkeys(fitting)) or [f"Rank by {own}."]
