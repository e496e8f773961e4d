"""RankFormer's share in the prompts: what it does to the features of ranks."""

import matplotlib.pyplot as plt
import torch
from ipywidgets import VBox
from matplotlib.figure import Figure

from ...methods.l2rclip import L2RCLIP
from ...metrics import ordinality_score, rank_similarity
from ..plots import similarity
from .controls import explorer, slider


def blend_figure(model: L2RCLIP, alpha: float | None = None) -> Figure:
    """Draw how alike the words of ranks are, without RankFormer and with a share alpha of it.

    Each title has the ordinality score, corrected for chance: 0 for no order, 1 where every step
    away from a rank lowers the similarity; and the least cosine, since each matrix has colours of
    its own and equal colours are other numbers.

    Args:
        model: with a RankFormer; it stays as it is.
        alpha: RankFormer's share on the right, 0 to 1; None takes the model's own.

    Returns:
        The Figure: alpha = 0 on the left, the share that was asked for on the right.

    Raises:
        ValueError: a model without RankFormer, or alpha outside 0 to 1.

    Example:
        >>> from ordlib import L2RCLIP, load_clip, load_task
        >>> model = L2RCLIP(load_clip("pico-clip", "cpu"), load_task("dating"))
        >>> figure = blend_figure(model, alpha=0.5)
        >>> figure.axes[1].get_title(loc="left").splitlines()[0]
        'alpha = 0.5'
        >>> plt.close(figure)
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
        similarity(rows, model.task.words, ax)
        score, least = ordinality_score(rows).corrected, rank_similarity(rows).min()
        told = f"ordinality {score:.2f}, least cosine {least:.3f}"
        ax.set_title(f"{title}\n{told}", loc="left", fontsize=11)
    return figure


def explore_blend(model: L2RCLIP) -> VBox:
    """Slide RankFormer's share and see :func:`blend_figure` follow.

    Args:
        model: as in :func:`blend_figure`.

    Returns:
        A widget: a slider for alpha, at first the model's own, above the figure.

    Raises:
        ValueError: a model without RankFormer.

    Example:
        >>> from ordlib import L2RCLIP, load_clip, load_task
        >>> model = L2RCLIP(load_clip("pico-clip", "cpu"), load_task("dating"))
        >>> explore_blend(model)  # doctest: +SKIP
    """
    alpha = slider("alpha", _own_alpha(model), 0.0, 1.0, 0.005)
    return explorer(lambda alpha: blend_figure(model, alpha), {"alpha": alpha})


def _own_alpha(model: L2RCLIP) -> float:
    """Return the share of the model's RankFormer; complain if it has none."""
    rankformer = getattr(model, "rankformer", None)
    if rankformer is None:
        raise ValueError(
            f"this {type(model).__name__} has no RankFormer, so that there is nothing to blend; "
            "give an L2RCLIP with attend='ranks', 'tokens' or 'both', not 'off'"
        )
    return rankformer.alpha.item()
