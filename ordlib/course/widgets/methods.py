"""What turns in two methods do: the edges of NumCLIP's bins, and the share of RankFormer."""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from ipywidgets import VBox
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.functional import normalize

from ...clip import ClipBackbone
from ...clip.feature_cache import cached_image_features
from ...data import ImageData
from ...methods.l2rclip import L2RCLIP
from ...metrics import compute_metrics, ordinality_score, rank_similarity
from ...tasks import OrdinalTask
from ..plots import METHOD_COLOURS, confusion, predicted_against_true, similarity
from .controls import explorer, slider

STAND_IN = (
    "nothing is trained: each bin is the mean feature of its training pictures (linear "
    "discriminants), a stand-in for a learned phrase"
)


def nearest_means(
    known: ArrayLike, known_bins: np.ndarray, features: ArrayLike, midpoints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures by the bin whose mean feature is nearest.

    Near and far are measured by the spread within bins, and full bins start with more
    probability: this is linear discriminant analysis, fitted at once, with no steps of training.

    Args:
        known: ``(K, D)`` features of labelled pictures, more than bins.
        known_bins: ``(K,)`` their bins, 0 to d - 1.
        features: ``(N, D)`` of pictures to read.
        midpoints: ``(d,)`` what each bin stands for, on the number line.

    Returns:
        ``(N,)`` the likeliest bins, and ``(N,)`` the means of the midpoints by the bins'
        probabilities; a bin without known pictures is never read.

    Source:
        Fisher (1936), Annals of Eugenics 7(2); the spread is shrunk as in Ledoit and Wolf (2004),
        Journal of Multivariate Analysis 88(2).

    Example:
        >>> known = np.array([[0.0], [1.0], [9.0], [10.0]])
        >>> nearest_means(known, np.array([0, 0, 1, 1]), [[2.0], [8.0]], np.array([2.0, 4.0]))
        (array([0, 1]), array([2., 4.]))
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
    return probabilities.argmax(1), probabilities @ midpoints


def bins_figure(
    clip: ClipBackbone, train: ImageData, val: ImageData, edges: Sequence[float] | None = None
) -> Figure:
    """Draw what bins with these edges can tell: left the bin, right the number read from it.

    It shows what the edges alone do. No words and no training here: the mean of the frozen
    features of a bin's training pictures stands in for its learned phrase, as `nearest_means`
    says, so that every move of an edge is answered at once; the number is the mean of the bins'
    midpoints by their probabilities. NumCLIP's regressor moves the midpoints; nothing does here.

    Args:
        clip: the backbone, as it was loaded.
        train: pictures whose features make the means.
        val: pictures to read, of the same task.
        edges: the inner edges, d - 1 of them, on the task's number line: a picture on an edge
            belongs to the bin above. None takes the task's. Two edges in one place are one,
            and their order does not matter.
    """
    if train.task != val.task:
        raise ValueError(f"train is of {train.task.name!r}, val of {val.task.name!r}: give one")
    task = _with_edges(train.task, train.task.bin_edges[1:] if edges is None else edges)
    known, features = (
        normalize(cached_image_features(clip, data), dim=-1) for data in (train, val)
    )
    known_bins, true_bins = task.bin_index(train.values), task.bin_index(val.values)
    bins, values = nearest_means(known, known_bins, features, task.bin_midpoints())

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    names = _bin_names(task)
    coarse = OrdinalTask(name="bins", unit="bins", values=names)
    confusion(true_bins, bins, coarse, ax=axes[0])
    axes[0].set(xlabel=f"predicted bin ({task.unit})", ylabel=f"true bin ({task.unit})")
    predicted_against_true(val.values, values, task, METHOD_COLOURS["NumCLIP"], axes[1])
    for edge in task.bin_edges[1:]:
        axes[1].axvline(edge - _room(task)[2] / 2, color="black", linewidth=0.8, linestyle=":")
    mae = compute_metrics(task, val.values, task.decode_values(values))["mae"]
    counts = np.bincount(known_bins, minlength=task.num_bins)
    figure.suptitle(
        f"bins {', '.join(names)}: right bin for {np.mean(bins == true_bins):.2f} of the "
        f"pictures, MAE {mae:.2f} {task.unit}\n"
        f"training pictures in each: {', '.join(map(str, counts))}"
        f"{'' if counts.all() else '; a bin without pictures is never read'}\n{STAND_IN}",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def explore_bins(clip: ClipBackbone, train: ImageData, val: ImageData) -> VBox:
    """A slider for each inner edge above :func:`bins_figure`."""
    task = train.task
    low, high, step = _room(task)
    sliders = {
        f"edge{i}": slider(f"edge {i}", edge, low, high, step)
        for i, edge in enumerate(task.bin_edges[1:], start=1)
    }

    def draw(**edges: float) -> None:
        bins_figure(clip, train, val, tuple(edges.values()))

    box = explorer(draw, sliders)
    # Four sliders and more do not fit on a line.
    box.children[0].layout.flex_flow = "row wrap"
    return box


def _with_edges(task: OrdinalTask, edges: Sequence[float]) -> OrdinalTask:
    """Return the task with other inner edges; those that meet are one."""
    low, high, _ = _room(task)
    inner = np.unique(np.clip(edges, low, high)).tolist()
    if not inner:
        raise ValueError("no edges: give at least one")
    phrases = tuple(f"bin {i}" for i in range(len(inner) + 1))
    return replace(task, bin_edges=(task.bin_edges[0], *inner), bin_phrases=phrases)


def _room(task: OrdinalTask) -> tuple[float, float, float]:
    """Return where inner edges may lie, and the steps in which they move: from rank to rank."""
    step = float(np.diff(task.rank_values).min())
    # Where each rank is a bin, edges lie halfway between ranks.
    halfway = 0.0 if np.isin(task.bin_edges[1:], task.rank_values).all() else step / 2
    return task.range[0] + step - halfway, task.range[1] - halfway, step


def _bin_names(task: OrdinalTask) -> tuple[str, ...]:
    """Name bins by the first and the last rank in them, or where there is none by their edges."""
    inside, names = task.bin_index(task.rank_values), []
    ends = [*task.bin_edges, task.upper_edge]
    for i in range(task.num_bins):
        ranks = np.flatnonzero(inside == i)
        if len(ranks):
            first, last = task.rank_label(ranks[0]), task.rank_label(ranks[-1])
        else:
            first, last = f"{ends[i]:g}", f"{ends[i + 1]:g}"
        names.append(first if first == last else f"{first}–{last}")
    return tuple(names)


def blend_figure(model: L2RCLIP, alpha: float | None = None) -> Figure:
    """Draw how alike the words of ranks are: left without RankFormer, right with a share of it.

    Each title has the ordinality score, corrected for chance: 0 for no order, 1 where every step
    away from a rank lowers the similarity; and the least cosine, since each matrix has colours of
    its own and equal colours are other numbers.

    Args:
        model: with a RankFormer; it stays as it is.
        alpha: RankFormer's share on the right, 0 to 1; None takes the model's own.
    """
    own = _own_alpha(model)
    share = own if alpha is None else alpha
    if not 0 <= share <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be 0 to 1, or None for the model's own")
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    with torch.no_grad():
        features = [model.text_features(a).cpu() for a in (0.0, share)]
    titles = ["alpha = 0: RankFormer is left out", f"alpha = {share:.3g}"]
    if share == own:
        titles[1] += ", the model's own"
    for ax, title, rows in zip(axes, titles, features, strict=True):
        similarity(rows, model.task.rank_names, ax)
        ordinality, least = ordinality_score(rows).chance_corrected, rank_similarity(rows).min()
        told = f"ordinality {ordinality:.2f}, least cosine {least:.3f}"
        ax.set_title(f"{title}\n{told}", loc="left", fontsize=11)
    return figure


def explore_blend(model: L2RCLIP) -> VBox:
    """A slider for alpha, at first the model's own, above :func:`blend_figure`."""
    alpha = slider("alpha", _own_alpha(model), 0.0, 1.0, 0.005)
    return explorer(lambda alpha: blend_figure(model, alpha), {"alpha": alpha})


def _own_alpha(model: L2RCLIP) -> float:
    """Return the share of the model's RankFormer; complain if it has none."""
    rankformer = getattr(model, "rankformer", None)
    if rankformer is None:
        raise ValueError(
            f"this {type(model).__name__} has no RankFormer, so that there is nothing to blend; "
            "give an L2RCLIP with attention_over='ranks', 'tokens' or 'both', not 'off'"
        )
    return rankformer.alpha.item()
