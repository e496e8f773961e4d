"""The picture side that all trained methods share: a tower, frozen or tuned, and an adapter."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..clip.feature_cache import image_features
from ..data import ImageData
from ..utils.validation import check_choice

Tower = Literal["frozen", "lora", "full"]
Inputs = Callable[[Sequence[int]], Tensor]
# The adapter's share of what it returns; the rest is CLIP's own feature.
BLEND = 0.8
SQUEEZE = 4
# LoRA's update counts twice: alpha is two times the rank, peft's usual ratio.
LORA_SCALE = 2


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How a method sees pictures; the same for every method, so that words can be compared.

    Attributes:
        tower: "frozen" features are encoded once and kept on disk; "lora" tunes low-rank
            updates of the picture tower's attention; "full" tunes the whole tower.
        adapter: whether a small network adapts the features.
        lora_rank: of each update.
        lora_targets: regular expression for the full names of the layers that LoRA updates.
        seed: of first weights.

    Raises:
        ValueError: an unknown tower, or a rank below 1.
    """

    tower: Tower = "frozen"
    adapter: bool = True
    lora_rank: int = 8
    lora_targets: str = r".*\.(q_proj|v_proj)"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("tower", self.tower, get_args(Tower))
        if self.lora_rank < 1:
            raise ValueError(f"lora_rank = {self.lora_rank}: must be 1 or more")


class ImageSide(nn.Module):
    """Turns pictures, or their cached features, into features that a method compares with words.

    Args:
        clip: the backbone; a tower to be tuned is a copy, and the backbone stays as it is.
        options: as in :class:`ImageOptions`.

    Raises:
        ValueError: no layer has a name that ``lora_targets`` matches (lists those there are).

    Example:
        >>> from ordlib import load_clip
        >>> side = ImageSide(load_clip("pico-clip", "cpu"), ImageOptions())
        >>> side(torch.ones(2, 96)).shape
        torch.Size([2, 96])
    """

    def __init__(self, clip: ClipBackbone, options: ImageOptions) -> None:
        super().__init__()
        self.clip = clip
        self.tower = None if options.tower == "frozen" else _VisionTower(clip, options)
        self.adapter = Adapter(clip.feature_width) if options.adapter else nn.Identity()
        self.to(clip.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features, not normalised, of what `inputs` gave."""
        return self.adapter(inputs if self.tower is None else self.tower(inputs).float())

    def inputs(self, data: ImageData) -> Inputs:
        """Return a function from rows to what :meth:`forward` takes, on the device.

        With a frozen tower it gives cached features ``(B, D)``; else pixels, read and prepared
        when asked for.
        """
        if self.tower is None:
            features = image_features(self.clip, data).to(self.clip.device)
            return lambda rows: features[torch.as_tensor(rows, device=features.device)]
        return lambda rows: self.clip.preprocess([data[row] for row in rows])


class Adapter(nn.Module):
    """CLIP-Adapter's network, as NumCLIP's release has it: 0.8 of the new, 0.2 of CLIP's own.

    Args:
        width: D.

    Source:
        Gao et al. (2021), CLIP-Adapter, arXiv 2110.04544; NumCLIP's released code, for the blend
        and the second ReLU.

    Example:
        >>> Adapter(8)(torch.ones(2, 8)).shape
        torch.Size([2, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width // SQUEEZE, bias=False),
            nn.ReLU(),
            nn.Linear(width // SQUEEZE, width, bias=False),
            nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return adapted ``(B, D)`` features."""
        return BLEND * self.layers(features) + (1 - BLEND) * features


class _VisionTower(nn.Module):
    """A copy of CLIP's picture tower in single precision, to be tuned."""

    def __init__(self, clip: ClipBackbone, options: ImageOptions) -> None:
        super().__init__()
        full = options.tower == "full"
        self.vision = deepcopy(clip.model.vision_model).float().requires_grad_(full)
        self.projection = deepcopy(clip.model.visual_projection).float().requires_grad_(full)
        if not full:
            _put_lora(self.vision, options)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.projection(self.vision(pixel_values=pixels).pooler_output)


def _put_lora(vision: nn.Module, options: ImageOptions) -> None:
    import re

    from peft import LoraConfig, inject_adapter_in_model

    layers = [name for name, layer in vision.named_modules() if isinstance(layer, nn.Linear)]
    if not any(re.fullmatch(options.lora_targets, name) for name in layers):
        raise ValueError(
            f"lora_targets = {options.lora_targets!r}: matches no linear layer of the picture "
            f"tower; there are {', '.join(layers)}"
        )
    rank = options.lora_rank
    config = LoraConfig(
        r=rank, lora_alpha=LORA_SCALE * rank, target_modules=options.lora_targets, lora_dropout=0.0
    )
    inject_adapter_in_model(config, vision)
