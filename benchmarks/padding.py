"""Prompts padded to the whole context, as most code has them: what cutting is held against."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import pad

from ordlib.clip import ClipBackbone
from ordlib.prompts import PromptLearner


@contextmanager
def padded(prompts: PromptLearner) -> Iterator[None]:
    """Lay prompts out over all positions, and let the text tower read every one of them."""
    layout, read = prompts.layout, ClipBackbone.text_features_from
    missing = prompts.clip.context_length - layout.shape[1]
    # Row 1 is the end token, which stands behind short prompts anyway.
    prompts.layout = pad(layout, (0, missing), value=1)
    ClipBackbone.text_features_from = _uncut
    try:
        yield
    finally:
        prompts.layout, ClipBackbone.text_features_from = layout, read


def _uncut(clip: ClipBackbone, embeddings: Tensor, ends: Tensor) -> Tensor:
    hidden = clip._run_text(embeddings)
    rows = torch.arange(len(hidden), device=hidden.device)
    return clip.model.text_projection(hidden[rows, ends]).float()
