"""The picture side that all trained methods share: a tower, frozen or tuned, and an adapter."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..utils.validation import check_choice

EncoderTuning = Literal["frozen", "lora", "full"]
BatchLoader = Callable[[Sequence[int]], Tensor]
# The adapter's share of what it returns; the rest is CLIP's own feature.
RESIDUAL_RATIO = 0.8
REDUCTION = 4
# LoRA's update counts twice: alpha is two times the rank, peft's usual ratio.
LORA_ALPHA_OVER_R = 2


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """How a method sees pictures; the same for every method, so that words can be compared.

    Attributes:
        image_encoder: "frozen" features are encoded once and kept on disk; "lora" tunes low-rank
            updates of the picture tower's attention; "full" tunes the whole tower.
        adapter: whether a small network adapts the features.
        lora_r: of each update.
        lora_target_modules: regular expression for the full names of the layers that LoRA updates.
        seed: of first weights.

    Raises:
        ValueError: an unknown tower, or a rank below 1.
    """

    image_encoder: EncoderTuning = "frozen"
    adapter: bool = True
    lora_r: int = 8
    lora_target_modules: str = r".*\.(q_proj|v_proj)"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("image_encoder", self.image_encoder, get_args(EncoderTuning))
        if self.lora_r < 1:
            raise ValueError(f"lora_r = {self.lora_r}: must be 1 or more")


class ImageEncoder(nn.Module):
    """Turns pictures, or their cached features, into features that a method compares with words.

    Args:
        clip: the backbone; a tower to be tuned is a copy, and the backbone stays as it is.
        options: as in :class:`ImageEncoderConfig`.

    Raises:
        ValueError: no layer has a name that ``lora_target_modules`` matches (lists those there are).

    Example:
        >>> from ordlib import load_clip
        >>> side = ImageEncoder(load_clip("pico-clip", "cpu"), ImageEncoderConfig())
        >>> side(torch.ones(2, 96)).shape
        torch.Size([2, 96])
    """

    def __init__(self, clip: ClipBackbone, options: ImageEncoderConfig) -> None:
        super().__init__()
        self.clip = clip
        self.encoder = (
            None if options.image_encoder == "frozen" else _TunableVisionEncoder(clip, options)
        )
        self.adapter = Adapter(clip.embed_dim) if options.adapter else nn.Identity()
        self.to(clip.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features, not normalised, of what `inputs` gave."""
        return self.adapter(inputs if self.encoder is None else self.encoder(inputs).float())

    def make_loader(self, data: ImageData) -> BatchLoader:
        """Return a function from rows to what :meth:`forward` takes, on the device.

        With a frozen tower it gives cached features ``(B, D)``; else pixels, read and prepared
        when asked for.
        """
        if self.encoder is None:
            features = cached_image_features(self.clip, data).to(self.clip.device)
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
            nn.Linear(width, width // REDUCTION, bias=False),
            nn.ReLU(),
            nn.Linear(width // REDUCTION, width, bias=False),
            nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return adapted ``(B, D)`` features."""
        return RESIDUAL_RATIO * self.layers(features) + (1 - RESIDUAL_RATIO) * features


class _TunableVisionEncoder(nn.Module):
    """A copy of CLIP's picture tower in single precision, to be tuned."""

    def __init__(self, clip: ClipBackbone, options: ImageEncoderConfig) -> None:
        super().__init__()
        full = options.image_encoder == "full"
        self.vision = deepcopy(clip.model.vision_model).float().requires_grad_(full)
        self.projection = deepcopy(clip.model.visual_projection).float().requires_grad_(full)
        if not full:
            _inject_lora(self.vision, options)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.projection(self.vision(pixel_values=pixels).pooler_output)


def _inject_lora(vision: nn.Module, options: ImageEncoderConfig) -> None:
    import re

    from peft import LoraConfig, inject_adapter_in_model

    layers = [name for name, layer in vision.named_modules() if isinstance(layer, nn.Linear)]
    if not any(re.fullmatch(options.lora_target_modules, name) for name in layers):
        raise ValueError(
            f"lora_target_modules = {options.lora_target_modules!r}: matches no linear layer of the picture "
            f"tower; there are {', '.join(layers)}"
        )
    rank = options.lora_r
    config = LoraConfig(
        r=rank,
        lora_alpha=LORA_ALPHA_OVER_R * rank,
        target_modules=options.lora_target_modules,
        lora_dropout=0.0,
    )
    inject_adapter_in_model(config, vision)
