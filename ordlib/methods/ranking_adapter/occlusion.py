"""Which patches of a picture decided its score."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from ...data import ImageData
from ..base import eval_mode
from .model import RankingAdapter


@torch.no_grad()
def occlusion_map(
    adapter: RankingAdapter,
    data: ImageData,
    prompts: str | Sequence[str],
    batch_size: int = 64,
) -> np.ndarray:
    """Say what each patch adds to a picture's score: how much it falls without that patch.

    A patch is taken out by putting the mean of the picture's patches in its place, and the picture
    is scored anew; so the number is what it says, not an estimate. It is of one patch at a time:
    two that show the same may each look dispensable, and the numbers do not add up to the score.
    And patch tokens are what CLIP's tower made of patches after each had looked at all others:
    taken out is what stands in that place, not all that is known of it. The class token, where the
    adapter looks at it, stays.

    The weights of the cross-attention would be no answer: they say which words a patch reads,
    and say nothing of what the networks behind them make of it.

    Args:
        adapter: trained, or its numbers mean little.
        data: N pictures; choose a few, for each costs as much as scoring one for every patch.
        prompts: one sentence for all, or one for each.
        batch_size: pictures in memory at once.

    Returns:
        ``(N, g, g)`` float64 of g patches along each side, in the units of the score; above 0 the
        patch raises it.

    Raises:
        ValueError: as many sentences as neither one nor N.

    Source:
        Occlusion: Zeiler and Fergus (2014), arXiv 1311.2901; on tokens instead of pixels.

    Example:
        >>> from ordlib import load_clip, load_data
        >>> data = load_data("counting", "val", image_size=96, num_images=20).subset([0, 1])
        >>> adapter = RankingAdapter(load_clip("pico-clip", "cpu"), data.task)
        >>> occlusion_map(adapter, data, "the number of stars").shape
        (2, 8, 8)
    """
    prompts = [prompts] * len(data) if isinstance(prompts, str) else list(prompts)
    if len(prompts) != len(data):
        raise ValueError(f"{len(prompts)} sentences for {len(data)} pictures: give one or each")
    with eval_mode(adapter):
        maps = [
            _map_of(adapter, tokens, prompt, batch_size)
            for tokens, prompt in zip(adapter.image_tokens(data), prompts, strict=True)
        ]
    return np.stack(maps)


def _map_of(adapter: RankingAdapter, tokens: Tensor, prompt: str, batch_size: int) -> np.ndarray:
    # Patches stand behind the class token.
    first = int(adapter.options.use_cls_token)
    tokens = tokens.to(adapter.clip.device).float()
    patches = torch.arange(first, len(tokens), device=tokens.device)
    without = tokens.repeat(len(patches) + 1, 1, 1)
    without[patches - first, patches] = tokens[first:].mean(0)
    words = adapter.encode_prompt(prompt)
    chunks = [adapter.net.scores(adapter.encode(c, words)) for c in without.split(batch_size)]
    # The last is the image with all of its patches.
    *removed, whole = torch.cat(chunks).double().cpu().numpy()
    return (whole - np.array(removed)).reshape(isqrt(len(patches)), -1)
