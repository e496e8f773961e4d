"""NumCLIP's losses: cross-entropy whose weights know how far bins lie from each other.

A *logit* is the factor of CLIP (``exp(logit_scale)``, about 100) times a cosine; a *bin* is the
index, 0 to d - 1, of the coarse bin (or of the rank) that a picture belongs to.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice

Form = Literal["plain", "paper", "released"]
Norm = Literal["sum_to_one", "mean_one"]
# The released code softens the target of a bin's own pictures by this factor.
TARGET_TEMPERATURE = 10.0


def ranking_weights(
    bins: Tensor,
    num_bins: int,
    norm: Norm = "mean_one",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weigh every bin by how far it lies from a sample's own: the further, the heavier.

    Args:
        bins: ``(B,)`` int64, 0 to d - 1.
        num_bins: d, 2 or more.
        norm: "sum_to_one", as NumCLIP's formula was restated, or "mean_one", where the weights
            of the other bins sum to d - 1, as in the released code.
        dtype: of the weights.

    Returns:
        ``(B, d)``; 1 in a sample's own bin. No gradient.

    Raises:
        ValueError: fewer than two bins, or an unknown norm.

    Source:
        Du et al. (2024), NumCLIP, arXiv 2408.03574, as restated by YearCLIP, arXiv 2512.21337,
        and in the released code.

    Example:
        >>> ranking_weights(torch.tensor([0, 2]), 5)
        tensor([[1.0000, 0.4000, 0.8000, 1.2000, 1.6000],
                [1.3333, 0.6667, 1.0000, 0.6667, 1.3333]])
    """
    if num_bins < 2:
        raise ValueError(f"num_bins = {num_bins}: must be 2 or more, or there is nothing to rank")
    check_choice("norm", norm, get_args(Norm))
    distance = _distances(bins, num_bins, dtype)
    weights = distance / distance.sum(1, keepdim=True)
    if norm == "mean_one":
        weights = weights * (num_bins - 1)
    return weights.masked_fill(distance == 0, 1.0)


def fcrc(logits: Tensor, bins: Tensor, form: Form = "paper", norm: Norm = "mean_one") -> Tensor:
    """NumCLIP's ranking regularisation: cross-entropy whose far negatives weigh more.

    The *plain* form is cross-entropy itself, to compare with. The *paper* form weighs a
    negative's share of the denominator. The *released* code multiplies its logit instead: with
    logits about 25 a weight of 1.6 adds 15, and where logits are negative the far bins are let
    off.

    Args:
        logits: ``(B, d)`` of pictures over bins.
        bins: ``(B,)`` int64, each picture's own bin.
        form: "plain", "paper" or "released".
        norm: of the weights, for the paper form; the released one is always "mean_one".

    Returns:
        The mean over pictures, in nats.

    Raises:
        ValueError: unknown form or norm, or fewer than two bins.

    Source:
        Du et al. (2024), NumCLIP, arXiv 2408.03574; both forms as in :func:`ranking_weights`.

    Example:
        >>> logits, own = torch.tensor([[26.0, 25, 24, 23, 22]]), torch.tensor([0])
        >>> [round(fcrc(logits, own, form).item(), 3) for form in ("paper", "released")]
        [0.296, 9.201]
    """
    check_choice("form", form, get_args(Form))
    if form == "released":
        weights = ranking_weights(bins, logits.shape[1], "mean_one", logits.dtype)
        return F.cross_entropy(weights * logits, bins)
    if form == "plain":
        return F.cross_entropy(logits, bins)
    # A weight on exp(logit) is its logarithm on the logit.
    weights = ranking_weights(bins, logits.shape[1], norm, logits.dtype)
    return F.cross_entropy(logits + weights.log(), bins)


def text_to_image_kl(logits: Tensor, bins: Tensor, *, ranking: bool = True) -> Tensor:
    """The released codes' other direction: every bin's words find the pictures of that bin.

    In NumCLIP it is not in the paper, and the published numbers need it. Its weights shrink as
    the batch grows (their mean is .16 at 32 pictures, .01 at 512), so its value depends on the
    batch. OrdinalCLIP has it without weights.

    Args:
        logits: ``(B, d)`` of pictures over bins.
        bins: ``(B,)`` int64, each picture's own bin.
        ranking: whether distances between bins weigh the logits, as in NumCLIP.

    Returns:
        The mean over the bins that occur of the divergence, in nats, of the softmax over
        pictures from the softened target; 0 for a single picture.

    Source:
        NumCLIP's released code; an author says in its issues that the published numbers need it.
        Without weights: Li et al. (2022), OrdinalCLIP, arXiv 2206.02338, released code.

    Example:
        >>> text_to_image_kl(torch.tensor([[3.0, 1.0], [1.0, 3.0]]), torch.tensor([0, 1])).item()
        0.1...
    """
    num_bins = logits.shape[1]
    distance = _distances(bins, num_bins, logits.dtype).T
    own = distance == 0
    columns = logits.T
    if ranking:
        # Where all pictures are of one bin its distances sum to 0, and no weight is needed.
        weights = (num_bins - 1) * distance / distance.sum(1, keepdim=True).clamp(min=1)
        columns = weights.masked_fill(own, 1.0) * columns
    target = (TARGET_TEMPERATURE * own.to(logits.dtype)).log_softmax(1)
    found = columns.log_softmax(1)
    divergence = F.kl_div(found, target, reduction="none", log_target=True).sum(1)
    occurs = own.any(1)
    return torch.where(occurs, divergence, 0.0).sum() / occurs.sum()


def _distances(bins: Tensor, num_bins: int, dtype: torch.dtype) -> Tensor:
    """Return ``(B, d)``: how many bins lie between each picture's own and every bin."""
    places = torch.arange(num_bins, device=bins.device)
    return (bins[:, None] - places).abs().to(dtype)
