"""The ranking-aware adapter's loss: how far a score is off, and which of two pictures has more."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice

TieHandling = Literal["mask", "half", "zero"]
REGRESSION_WEIGHT = 0.2


def dual_loss(
    scores: Tensor, logits: Tensor, targets: Tensor, *, tie_handling: TieHandling = "mask"
) -> Tensor:
    """Weigh the error of the scores little, by its logarithm, and the order of pairs fully.

    Args:
        scores: ``(B,)`` of the regression head.
        logits: ``(B, B)`` of the ranking head; entry i, j says that i ranks target j.
        targets: ``(B,)`` labels, standardised.
        tie_handling: what pairs of equal targets, and a picture with itself, should be told: nothing
            ("mask"), that it is undecided ("half"), or that neither ranks target the other
            ("zero", as released; the two orders then contradict what an undecided logit says).

    Returns:
        0.2 log(1 + smooth L1) plus the mean binary cross-entropy over ordered pairs, in nats;
        the latter is 0 where all pairs are masked.

    Raises:
        ValueError: an unknown ``ties``.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code ("dual
        head"); "mask" and "half" are ours.

    Example:
        >>> targets = torch.tensor([0.0, 1.0])
        >>> dual_loss(targets, torch.zeros(2, 2), targets).item()
        0.693...
    """
    check_choice("tie_handling", tie_handling, get_args(TieHandling))
    target = (targets[:, None] > targets).to(logits.dtype)
    tied = targets[:, None] == targets
    if tie_handling == "half":
        target = target + tied.to(logits.dtype) / 2
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    counted = ~tied if tie_handling == "mask" else torch.ones_like(tied)
    order = torch.where(counted, each, 0.0).sum() / counted.sum().clamp(min=1)
    return REGRESSION_WEIGHT * F.smooth_l1_loss(scores, targets).log1p() + order
