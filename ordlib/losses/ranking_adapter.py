"""Loss of the ranking-aware adapter (Yu et al., 2025): regression plus pairwise ranking."""

from collections.abc import Collection
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice
from .checks import check_shape

LossComponent = Literal["regression", "ranking", "presence"]
TieHandling = Literal["mask", "half", "zero"]
REGRESSION_WEIGHT = 0.2


def dual_loss(
    scores: Tensor,
    logits: Tensor | None,
    targets: Tensor,
    *,
    tie_handling: TieHandling = "mask",
    components: Collection[LossComponent] = ("regression", "ranking"),
) -> Tensor:
    """Dual loss of the ranking-aware adapter (Yu et al., 2025): regression and pairwise ranking.

    0.2 log(1 + smooth L1) plus the mean binary cross-entropy over ordered pairs, in nats; 0 if all
    pairs are masked. Derived in notebook 04.

    Args:
        scores: ``(B,)`` regression scores.
        logits: ``(B, B)`` pairwise logits; entry i, j is the logit that i ranks above j. None
            leaves out the ranking term.
        targets: ``(B,)`` labels, standardized or raw.
        tie_handling: target of pairs with equal labels, including the diagonal: "mask" excludes
            them, "half" sets 0.5, "zero" sets 0 for both orders (released code).
        components: terms of the sum: "regression", "ranking", and "presence", the mean binary
            cross-entropy of the scores as logits that a raw label is not 0 (released code, but
            not in its recipe).

    References:
        Yu et al. (2025), Ranking-aware adapter for text-driven image ordering with CLIP,
        arXiv:2412.06760, and the released code ("dual head"). "mask" and "half" are ours.

    Example:
        >>> targets = torch.tensor([0.0, 1.0])
        >>> dual_loss(targets, torch.zeros(2, 2), targets).item()
        0.693...
    """
    check_choice("tie_handling", tie_handling, get_args(TieHandling))
    for component in components:
        check_choice("components", component, get_args(LossComponent))
    check_shape("targets", targets, len(scores))
    check_shape("scores", scores, len(scores))
    if logits is not None:
        check_shape("logits", logits, len(scores), len(scores))
    terms = []
    if "regression" in components:
        terms.append(REGRESSION_WEIGHT * F.smooth_l1_loss(scores, targets).log1p())
    if "ranking" in components and logits is not None:
        terms.append(_ranking_loss(logits, targets, tie_handling))
    if "presence" in components:
        is_present = (targets != 0).to(scores.dtype)
        terms.append(F.binary_cross_entropy_with_logits(scores, is_present))
    if not terms:
        raise ValueError(f"components = {components!r}: no term is left; name one or more")
    return sum(terms)


def _ranking_loss(logits: Tensor, targets: Tensor, tie_handling: TieHandling) -> Tensor:
    pair_targets = (targets[:, None] > targets).to(logits.dtype)
    tied = targets[:, None] == targets
    if tie_handling == "half":
        pair_targets = pair_targets + tied.to(logits.dtype) / 2
    losses = F.binary_cross_entropy_with_logits(logits, pair_targets, reduction="none")
    mask = ~tied if tie_handling == "mask" else torch.ones_like(tied)
    return torch.where(mask, losses, 0.0).sum() / mask.sum().clamp(min=1)
