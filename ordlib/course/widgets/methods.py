"""Interactive figures of notebooks 02 and 03: NumCLIP's bin edges, RankFormer's alpha."""

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
from ..plots import METHOD_COLORS, confusion, predicted_against_true, similarity_heatmap
from ..plots.style import plain
from .controls import interactive_figure, slider

LDA_NOTE = (
    "nothing is trained: each bin is the mean feature of its training images (linear "
    "discriminants), a stand-in for a learned phrase"
)


def lda_predict(
    train_features: ArrayLike, train_bins: np.ndarray, features: ArrayLike, midpoints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predict bins and values with linear discriminant analysis and Ledoit-Wolf shrinkage.

    Trained on ``(K, D)`` features and their ``(K,)`` bins, with K > d. Returns the ``(N,)`` most
    likely bins of ``(N, D)`` features, and the ``(N,)`` expectations of the ``(d,)`` midpoints. A
    bin without training images has probability 0.

    References:
        Fisher (1936), The use of multiple measurements in taxonomic problems. Ledoit and Wolf
        (2004), A well-conditioned estimator for large-dimensional covariance matrices.

    Example:
        >>> train = np.array([[0.0], [1.0], [9.0], [10.0]])
        >>> lda_predict(train, np.array([0, 0, 1, 1]), [[2.0], [8.0]], np.array([2.0, 4.0]))
        (array([0, 1]), array([2., 4.]))
    """
    if len(train_features) <= len(midpoints):
        raise ValueError(
            f"train_features has {len(train_features)} images for {len(midpoints)} bins; "
            "pass more images than bins"
        )
    probabilities = np.zeros((len(features), len(midpoints)))
    bins = np.unique(train_bins)
    if len(bins) == 1:  # nothing to discriminate
        probabilities[:, bins] = 1
    else:
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        probabilities[:, bins] = lda.fit(train_features, train_bins).predict_proba(features)
    return probabilities.argmax(1), probabilities @ midpoints


def bins_figure(
    clip: ClipBackbone, train: ImageData, val: ImageData, edges: Sequence[float] | None = None
) -> Figure:
    """Effect of NumCLIP's bin edges: confusion matrix of the bins, and predicted values.

    Isolates the effect of the edges, without text or training: :func:`lda_predict` on frozen
    image features replaces the learned phrases, and bin midpoints the fine regressor.

    ``edges`` are the d - 1 inner edges on the task's number line, in any order; a value on an edge
    belongs to the bin above. Equal edges are merged. None takes the task's edges.
    """
    if train.task != val.task:
        raise ValueError(
            f"train is of {train.task.name!r}, val of {val.task.name!r}; pass one task"
        )
    task = _with_edges(train.task, train.task.bin_edges[1:] if edges is None else edges)
    parts = (train, val)
    train_features, features = (normalize(cached_image_features(clip, d), dim=-1) for d in parts)
    train_bins, true_bins = (task.bin_index(data.values) for data in parts)
    bins, values = lda_predict(train_features, train_bins, features, task.bin_midpoints())

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    names = _bin_names(task)
    bin_task = OrdinalTask(name="bins", unit="bins", values=names)
    confusion(true_bins, bins, bin_task, ax=axes[0])
    unit = plain(task.unit)
    axes[0].set(xlabel=f"predicted bin ({unit})", ylabel=f"true bin ({unit})")
    predicted_against_true(val.values, values, task, METHOD_COLORS["NumCLIP"], axes[1])
    half_step = _edge_range(task)[2] / 2
    for edge in task.bin_edges[1:]:
        axes[1].axvline(edge - half_step, color="black", linewidth=0.8, linestyle=":")
    mae = compute_metrics(task, val.values, task.decode_values(values))["mae"]
    counts = np.bincount(train_bins, minlength=task.num_bins)
    figure.suptitle(
        f"bins {', '.join(names)}: right bin for {np.mean(bins == true_bins):.2f} of the "
        f"images, MAE {mae:.2f} {task.unit}\n"
        f"training images in each: {', '.join(map(str, counts))}"
        f"{'' if counts.all() else '; a bin without images is never predicted'}\n{LDA_NOTE}",
        fontsize=11, x=0.01, ha="left", parse_math=False,
    )  # fmt: skip
    return figure


def explore_bins(clip: ClipBackbone, train: ImageData, val: ImageData) -> VBox:
    """:func:`bins_figure` with a slider for each inner edge."""
    task = train.task
    low, high, step = _edge_range(task)
    sliders = {
        f"edge{i}": slider(f"edge {i}", edge, low, high, step)
        for i, edge in enumerate(task.bin_edges[1:], start=1)
    }

    def draw(**edges: float) -> None:
        bins_figure(clip, train, val, tuple(edges.values()))

    box = interactive_figure(draw, sliders)
    # More than three sliders do not fit on a line.
    box.children[0].layout.flex_flow = "row wrap"
    return box


def _with_edges(task: OrdinalTask, edges: Sequence[float]) -> OrdinalTask:
    """Return the task with other inner edges; equal edges are merged."""
    low, high, _ = _edge_range(task)
    inner = np.unique(np.clip(edges, low, high)).tolist()
    if not inner:
        raise ValueError("edges = (): is empty; pass at least one edge")
    phrases = tuple(f"bin {i}" for i in range(len(inner) + 1))
    return replace(task, bin_edges=(task.bin_edges[0], *inner), bin_phrases=phrases)


def _edge_range(task: OrdinalTask) -> tuple[float, float, float]:
    """Return minimum, maximum and step of inner edges; the step is one rank."""
    step = float(np.diff(task.rank_values).min())
    # Where each rank is a bin, edges lie halfway between ranks.
    halfway = 0.0 if np.isin(task.bin_edges[1:], task.rank_values).all() else step / 2
    return task.range[0] + step - halfway, task.range[1] - halfway, step


def _bin_names(task: OrdinalTask) -> tuple[str, ...]:
    """Name bins by their first and last rank, or by their edges if they contain no rank."""
    rank_bins, names = task.bin_index(task.rank_values), []
    edges = [*task.bin_edges, task.upper_edge]
    for i in range(task.num_bins):
        labels = [task.rank_label(rank) for rank in np.flatnonzero(rank_bins == i)]
        first, *_, last = labels * 2 or [f"{edges[i]:g}", f"{edges[i + 1]:g}"]
        names.append(first if first == last else f"{first}–{last}")
    return tuple(names)


def blend_figure(model: L2RCLIP, alpha: float | None = None) -> Figure:
    """Rank similarity heatmaps of L2RCLIP without RankFormer and with a given alpha.

    Titles state the chance-corrected ordinality score (0 is no order, 1 is perfect order) and the
    smallest cosine, as each heatmap has its own color scale. ``alpha`` is RankFormer's blend
    weight, 0 to 1; None takes the model's. The model is not modified.
    """
    model_alpha = _rankformer_alpha(model)
    weight = model_alpha if alpha is None else alpha
    if not 0 <= weight <= 1:
        raise ValueError(f"alpha = {alpha!r}: must be 0 to 1, or None for the model's alpha")
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    with torch.no_grad():
        features = [model.text_features(a).cpu() for a in (0.0, weight)]
    titles = ["alpha = 0: without RankFormer", f"alpha = {weight:.3g}"]
    if weight == model_alpha:
        titles[1] += ", the model's own"
    for ax, title, rows in zip(axes, titles, features, strict=True):
        similarity_heatmap(rows, model.task.rank_names, ax)
        ordinality, smallest = ordinality_score(rows).chance_corrected, rank_similarity(rows).min()
        summary = f"ordinality {ordinality:.2f}, smallest cosine {smallest:.3f}"
        ax.set_title(f"{title}\n{summary}", loc="left", fontsize=11)
    return figure


def explore_blend(model: L2RCLIP) -> VBox:
    """:func:`blend_figure` with a slider for alpha that starts at the model's."""
    alpha = slider("alpha", _rankformer_alpha(model), 0.0, 1.0, 0.005)
    return interactive_figure(lambda alpha: blend_figure(model, alpha), {"alpha": alpha})


def _rankformer_alpha(model: L2RCLIP) -> float:
    rankformer = getattr(model, "rankformer", None)
    if rankformer is None:
        raise ValueError(
            f"model = {type(model).__name__}: has no RankFormer; "
            "pass an L2RCLIP with attention_over = 'ranks', 'tokens' or 'both'"
        )
    return rankformer.alpha.item()
