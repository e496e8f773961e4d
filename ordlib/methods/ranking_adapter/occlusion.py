"""Occlusion maps: the contribution of each patch token to the score."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from ...data import ImageData
from ...utils.device import eval_mode
from .model import RankingAdapter
from .prompts import broadcast_prompts


@torch.no_grad()
def occlusion_map(
    adapter: RankingAdapter,
    data: ImageData,
    prompts: str | Sequence[str],
    batch_size: int = 64,
) -> np.ndarray:
    """Occlusion map: the drop in score when one patch token is replaced by the mean patch token.

    Values do not sum to the score; if several patches carry the same evidence, each may have a
    small value. Each patch token carries context from other patches. The class token is kept.

    Args:
        data: N images; each needs one forward pass per patch, plus one.
        prompts: one prompt for all images, or N prompts.
        batch_size: occluded images per forward pass.

    Returns:
        ``(N, g, g)`` float64 for g x g patches; above 0, the patch raises the score.

    References:
        Zeiler and Fergus (2014), arXiv:1311.2901; here on tokens instead of pixels.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("counting", "val", image_size=96, num_images=20).subset([0, 1])
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> occlusion_map(adapter, data, "the number of stars").shape
        (2, 8, 8)
    """
    prompts = broadcast_prompts(prompts, len(data))
    with eval_mode(adapter):
        pairs = zip(adapter.image_tokens(data), prompts, strict=True)
        return np.stack([_single_map(adapter, *pair, batch_size) for pair in pairs])


def _single_map(
    adapter: RankingAdapter, tokens: Tensor, prompt: str, batch_size: int
) -> np.ndarray:
    num_cls_tokens = int(adapter.options.use_cls_token)
    tokens = tokens.to(adapter.clip.device).float()
    patches = torch.arange(num_cls_tokens, len(tokens), device=tokens.device)
    occluded = tokens.repeat(len(patches) + 1, 1, 1)  # the last one stays unchanged
    occluded[patches - num_cls_tokens, patches] = tokens[num_cls_tokens:].mean(0)
    text = adapter.encode_prompt(prompt)
    scores = [adapter.net.scores(adapter.encode(c, text)) for c in occluded.split(batch_size)]
    *occluded_scores, full_score = torch.cat(scores).double().cpu().numpy()
    return (full_score - np.array(occluded_scores)).reshape(isqrt(len(patches)), -1)
