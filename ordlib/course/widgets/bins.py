"""Where to put the edges of coarse bins: what they do to the bin and to the number read from it.

No words and no training here: the mean picture feature of a bin's training pictures stands in
for its learned phrase, so that every move of an edge is answered at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import VBox
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.functional import normalize

from ...clip import ClipBackbone
from ...clip.feature_cache import image_features
from ...data import ImageData
from ...metrics import score
from ...tasks import OrdinalTask
from ..plots import METHOD_COLOURS, confusion, predicted_against_true
from .controls import explorer, slider

STAND_IN = (
    "nothing is trained: each bin is the mean feature of its training pictures (linear "
    "discriminants), a stand-in for a learned phrase"
)


class BinReading(NamedTuple):
    """What pictures are read as.

    Attributes:
        bins: ``(N,)`` the likeliest bin.
        values: ``(N,)`` the mean of the bins' midpoints by their probabilities.
    """

    bins: np.ndarray
    values: np.ndarray


def nearest_means(
    known: ArrayLike, known_bins: np.ndarray, features: ArrayLike, midpoints: np.ndarray
) -> BinReading:
    """Read pictures by the bin whose mean feature is nearest.

    Near and far are measured by the spread within bins, and wide bins start with more
    probability: this is linear discriminant analysis, fitted at once, with no steps of training.

    Args:
        known: ``(K, D)`` features of labelled pictures, more than bins.
        known_bins: ``(K,)`` their bins, 0 to d - 1.
        features: ``(N, D)`` of pictures to read.
        midpoints: ``(d,)`` what each bin stands for, on the number line.

    Returns:
        Bins and values; a bin without known pictures is never read.

    Raises:
        ValueError: no more known pictures than bins.

    Source:
        Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of Eugenics
        7(2); the spread is shrunk as in Ledoit and Wolf (2004), A well-conditioned estimator for
        large-dimensional covariance matrices, Journal of Multivariate Analysis 88(2).

    Example:
        >>> known = np.array([[0.0], [1.0], [9.0], [10.0]])
        >>> nearest_means(known, np.array([0, 0, 1, 1]), [[2.0], [8.0]], np.array([2.0, 4.0]))
        BinReading(bins=array([0, 1]), values=array([2., 4.]))
    """
    if len(known) <= len(midpoints):
        raise ValueError(
            f"{len(known)} known pictures for {len(midpoints)} bins: give more pictures than bins"
        )
    probabilities = np.zeros((len(features), len(midpoints)))
    occurring = np.unique(known_bins)
    if len(occurring) == 1:  # nothing to discriminate
        probabilities[:, occurring] = 1
    else:
        fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(known, known_bins)
        probabilities[:, occurring] = fitted.predict_proba(features)
    return BinReading(probabilities.argmax(1), probabilities @ midpoints)


def push_apart(edges: Sequence[float], low: float, high: float, step: float) -> list[float]:
    """Move edges as little as it takes that they increase; later ones give way to earlier ones.

    Args:
        edges: in the order of the bins, perhaps colliding or crossed.
        low, high: no edge may lie beyond.
        step: two neighbours keep this distance; all fit between ``low`` and ``high``.

    Returns:
        As many edges.

    Example:
        >>> push_apart([3, 3, 10, 20, 20], 2, 20, 1)
        [3, 4, 10, 19, 20]
    """
    pushed = list(edges)
    for i, edge in enumerate(pushed):
        pushed[i] = max(edge, low if i == 0 else pushed[i - 1] + step)
    for i in reversed(range(len(pushed))):
        pushed[i] = min(pushed[i], high if i == len(pushed) - 1 else pushed[i + 1] - step)
    return pushed


def bins_figure(
    clip: ClipBackbone,
    train: ImageData,
    val: ImageData,
    edges: Sequence[float] | None = None,
) -> Figure:
    """Draw what bins with these edges can tell: the bin, and the number read from its middle.

    It shows what the edges alone do. Each bin is stood for by the mean of the frozen features of
    its training pictures, in place of the feature of a learned phrase, as `nearest_means` says;
    the number is the mean of the bins' midpoints by their probabilities. NumCLIP's regressor
    moves the midpoints; nothing does here.

    Args:
        clip: the backbone, as it was loaded.
        train: pictures whose features make the means.
        val: pictures to read, of the same task.
        edges: the inner edges, d - 1 of them, on the task's number line: a picture on an edge
            belongs to the bin above. None takes the task's. Edges that collide or cross are
            pushed apart, and the title says so.

    Returns:
        The Figure: confusion over bins, and predicted against true values.

    Raises:
        ValueError: no edges, too many of them, two tasks, or fewer pictures than bins.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip, data = load_clip("pico-clip", "cpu"), load_data("counting", "val", size=100)
        >>> figure = bins_figure(clip, data, data, edges=(2, 8))
        >>> figure.axes[0].get_yticklabels()[1].get_text()
        '2–7'
        >>> plt.close(figure)
    """
    if train.task != val.task:
        raise ValueError(f"train is of {train.task.name!r}, val of {val.task.name!r}: give one")
    wished = train.task.bin_edges[1:] if edges is None else tuple(edges)
    task = _with_edges(train.task, wished)
    known, features = (normalize(image_features(clip, data), dim=-1) for data in (train, val))
    known_bins, true_bins = task.bin_of(train.values), task.bin_of(val.values)
    read = nearest_means(known, known_bins, features, task.bin_midpoints())

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    names = _bin_names(task)
    coarse = OrdinalTask(name="bins", unit="bins", values=names)
    confusion(true_bins, read.bins, coarse, ax=axes[0])
    axes[0].set(xlabel=f"predicted bin ({task.unit})", ylabel=f"true bin ({task.unit})")
    predicted_against_true(val.values, read.values, task, METHOD_COLOURS["NumCLIP"], axes[1])
    for edge in task.bin_edges[1:]:
        axes[1].axvline(edge - _step(task) / 2, color="black", linewidth=0.8, linestyle=":")
    mae = score(task, val.values, task.read_values(read.values))["mae"]
    counts = np.bincount(known_bins, minlength=task.num_bins)
    figure.suptitle(
        f"bins {', '.join(names)}: right bin for {np.mean(read.bins == true_bins):.2f} of the "
        f"pictures, MAE {mae:.2f} {task.unit}\n"
        f"training pictures in each: {', '.join(map(str, counts))}"
        f"{_remark(wished, task, counts)}\n{STAND_IN}",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def explore_bins(clip: ClipBackbone, train: ImageData, val: ImageData) -> VBox:
    """Drag the inner edges of the bins and see :func:`bins_figure` follow.

    Args:
        clip, train, val: as in :func:`bins_figure`, whose stand-in for learned phrases
            this is.

    Returns:
        A widget: a slider for each inner edge above the figure.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> clip, data = load_clip("pico-clip", "cpu"), load_data("counting", "val", size=100)
        >>> explore_bins(clip, data, data)  # doctest: +SKIP
    """
    task = train.task
    low, high, step = _room(task)
    sliders = {
        f"edge{i}": slider(f"bin {i + 1} starts at", edge, low, high, step)
        for i, edge in enumerate(task.bin_edges[1:], start=1)
    }

    def draw(**edges: float) -> None:
        bins_figure(clip, train, val, tuple(edges.values()))

    box = explorer(draw, sliders)
    # Four sliders and more do not fit on a line.
    box.children[0].layout.flex_flow = "row wrap"
    return box


def _with_edges(task: OrdinalTask, edges: tuple) -> OrdinalTask:
    """Return the task with other inner edges, pushed apart where they collide."""
    low, high, step = _room(task)
    room = round((high - low) / step) + 1
    if not 1 <= len(edges) <= room:
        raise ValueError(f"edges = {edges}: {len(edges)} given; give 1 to {room}")
    pushed = push_apart(edges, low, high, step)
    phrases = tuple(f"bin {i}" for i in range(len(pushed) + 1))
    return replace(task, bin_edges=(task.bin_edges[0], *pushed), bin_phrases=phrases)


def _step(task: OrdinalTask) -> float:
    """Return the room that a bin needs at least: that between two ranks."""
    return float(np.diff(task.levels).min())


def _room(task: OrdinalTask) -> tuple[float, float, float]:
    """Return where inner edges may lie, and how far from each other at least."""
    step = _step(task)
    # Where each rank is a bin, edges lie halfway between ranks.
    halfway = 0.0 if np.isin(task.bin_edges[1:], task.levels).all() else step / 2
    return task.range[0] + step - halfway, task.range[1] - halfway, step


def _bin_names(task: OrdinalTask) -> tuple[str, ...]:
    """Name bins by the first and the last rank in them, or where there is none by their edges."""
    inside, names = task.bin_of(task.levels), []
    ends = [*task.bin_edges, task.maximum]
    for i in range(task.num_bins):
        ranks = np.flatnonzero(inside == i)
        if len(ranks):
            first, last = task.label_of(ranks[0]), task.label_of(ranks[-1])
        else:
            first, last = f"{ends[i]:g}", f"{ends[i + 1]:g}"
        names.append(first if first == last else f"{first}–{last}")
    return tuple(names)


def _remark(wished: tuple, task: OrdinalTask, counts: np.ndarray) -> str:
    """Say what the reader would not expect: edges that gave way, bins without pictures."""
    said = ""
    if tuple(wished) != task.bin_edges[1:]:
        given, taken = (", ".join(f"{edge:g}" for edge in e) for e in (wished, task.bin_edges[1:]))
        said += f"; edges {given} collide: pushed apart to {taken}"
    if (counts == 0).any():
        said += "; a bin without pictures is never read"
    return said
