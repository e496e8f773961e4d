"""NumCLIP's losses: FCRC (cross-entropy weighted by bin distance) and the text-to-image KL.

``logits[i, j]`` is CLIP's logit_scale (100 for OpenAI's models, 40 for pico-clip) times the cosine
of image i and the prompt of bin j; ``bins[i]`` is the index of image i's bin, 0 to d - 1.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice
from .checks import check_indices

FCRCForm = Literal["plain", "paper", "released"]
FCRCNorm = Literal["sum_to_one", "mean_one"]
# Released code: the target of a bin is softmax(10 * [image is in the bin]) over the batch.
TARGET_LOGIT_SCALE = 10.0


def ranking_weights(
    bins: Tensor, num_bins: int, norm: FCRCNorm = "mean_one", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Weights of :func:`~ordlib.losses.fcrc`: normalized distance of bin j to the true bin c_i.

    ``w_ij = s |c_i - j| / sum_k |c_i - k|`` for j != c_i; ``w_ij = 1`` for j = c_i. Derived in
    notebook 02.

    Args:
        bins: ``(B,)`` int64, the true bins.
        num_bins: d, 2 or more.
        norm: "sum_to_one" for s = 1, "mean_one" for s = d - 1.
        dtype: of the weights.

    Returns:
        ``(B, d)``, without gradient.

    Raises:
        ValueError: fewer than two bins, or an unknown norm.

    Example:
        >>> ranking_weights(torch.tensor([0, 2]), 5)
        tensor([[1.0000, 0.4000, 0.8000, 1.2000, 1.6000],
                [1.3333, 0.6667, 1.0000, 0.6667, 1.3333]])
    """
    if num_bins < 2:
        raise ValueError(f"num_bins = {num_bins}: must be 2 or more")
    check_choice("norm", norm, get_args(FCRCNorm))
    distance = _bin_distances(bins, num_bins, dtype)
    weights = distance / distance.sum(1, keepdim=True)
    if norm == "mean_one":
        weights = weights * (num_bins - 1)
    return weights.masked_fill(distance == 0, 1.0)


def fcrc(
    logits: Tensor, bins: Tensor, form: FCRCForm = "paper", norm: FCRCNorm = "mean_one"
) -> Tensor:
    """Fine-grained cross-modal ranking-based contrastive (FCRC) loss of NumCLIP (Du et al., 2024).

    Cross-entropy over the d bins in which :func:`ranking_weights` w weight the negative bins. For
    an image with logits s and true bin c:

    * "plain": ``-log(exp(s_c) / sum_j exp(s_j))``, unweighted cross-entropy;
    * "paper": ``-log(exp(s_c) / sum_j w_j exp(s_j))``;
    * "released": ``-log(exp(s_c) / sum_j exp(w_j s_j))``. A weight of 1.6 on a logit of 25 adds
      15; where logits are negative, far bins get less weight instead of more. On the synthetic
      tasks it names the right bin less often than the other forms.

    Derived in notebook 02.

    Args:
        logits: ``(B, d)`` of images over bins.
        bins: ``(B,)`` int64, the true bins.
        form: "plain", "paper" or "released".
        norm: of the weights of the paper form; the released form always uses "mean_one".

    Returns:
        The mean over images, in nats.

    Raises:
        ValueError: unknown form or norm, or fewer than two bins.

    References:
        Du et al. (2024), Teach CLIP to develop a number sense for ordinal regression,
        arXiv:2408.03574. "paper" and "sum_to_one": as restated by YearCLIP, arXiv:2512.21337.
        "released" and "mean_one": the released code.

    Example:
        >>> logits, bins = torch.tensor([[26.0, 25, 24, 23, 22]]), torch.tensor([0])
        >>> [round(fcrc(logits, bins, form).item(), 3) for form in ("paper", "released")]
        [0.296, 9.201]
    """
    check_choice("form", form, get_args(FCRCForm))
    check_indices("bins", bins, *logits.shape)
    if form == "plain":
        return F.cross_entropy(logits, bins)
    norm = "mean_one" if form == "released" else norm
    weights = ranking_weights(bins, logits.shape[1], norm, logits.dtype)
    if form == "released":
        return F.cross_entropy(weights * logits, bins)
    return F.cross_entropy(logits + weights.log(), bins)  # w exp(s) = exp(s + log w)


def text_to_image_kl(logits: Tensor, bins: Tensor, *, weighted: bool = True) -> Tensor:
    """Text-to-image KL divergence of the released NumCLIP and OrdinalCLIP code.

    The mean over the bins j in the batch of ``KL(p_j || q_j)`` over its B images, with
    ``p_j = softmax_i(10 [c_i = j])`` and ``q_j = softmax_i(w_ij s_ij)``. ``w_ij = 1`` where
    c_i = j, else ``(d - 1) |c_i - j| / sum_k |c_k - j|``; that sum runs over the batch, so the
    weights depend on the batch size (their mean is 0.16 at B = 32 and 0.01 at B = 512).

    Args:
        logits: ``(B, d)`` of images over bins.
        bins: ``(B,)`` int64, the true bins.
        weighted: whether to weight by distance, as NumCLIP does; OrdinalCLIP does not.

    Returns:
        A scalar, in nats; 0 for a single image.

    References:
        NumCLIP's released code, not its paper; an author states in its issues that the published
        numbers need it. Unweighted: released code of OrdinalCLIP, Li et al. (2022),
        arXiv:2206.02338.

    Example:
        >>> text_to_image_kl(torch.tensor([[3.0, 1.0], [1.0, 3.0]]), torch.tensor([0, 1])).item()
        0.1...
    """
    check_indices("bins", bins, *logits.shape)
    num_bins = logits.shape[1]
    distance = _bin_distances(bins, num_bins, logits.dtype).T  # (d, B)
    positives = distance == 0
    logits = logits.T  # (d, B)
    if weighted:
        # All distances of a bin are 0 if every image is in it: clamp to avoid 0 / 0.
        weights = (num_bins - 1) * distance / distance.sum(1, keepdim=True).clamp(min=1)
        logits = weights.masked_fill(positives, 1.0) * logits
    log_p = (TARGET_LOGIT_SCALE * positives.to(logits.dtype)).log_softmax(1)
    log_q = logits.log_softmax(1)
    kl = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)  # (d,)
    present = positives.any(1)
    return torch.where(present, kl, 0.0).sum() / present.sum()


def _bin_distances(bins: Tensor, num_bins: int, dtype: torch.dtype) -> Tensor:
    """Return the ``(B, d)`` distances ``|c_i - j|``."""
    return (bins[:, None] - torch.arange(num_bins, device=bins.device)).abs().to(dtype)
