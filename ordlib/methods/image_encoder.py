"""Image encoder shared by all methods: frozen, LoRA or fully tuned, plus CLIP-Adapter."""

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Literal

import regex
import torch
from torch import Tensor, nn

from ..clip import ClipBackbone
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..utils.validation import check_types

EncoderTuning = Literal["frozen", "lora", "full"]
BatchLoader = Callable[[Sequence[int]], Tensor]
RESIDUAL_RATIO = 0.8  # of CLIP-Adapter: weight of the adapted features
REDUCTION = 4  # of CLIP-Adapter's bottleneck
LORA_ALPHA_OVER_R = 2  # LoRA scaling factor, alpha / r

MAX_MATCH_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """Image-encoder options, shared by all methods.

    Attributes:
        image_encoder: "frozen" (features are cached on disk), "lora" or "full" (all weights).
        adapter: whether a CLIP-Adapter transforms the image features.
        lora_r: rank of the LoRA updates, at least 1.
        lora_target_modules: regular expression for full layer names, as peft's target_modules;
            None: queries and values of the attention; of open_clip's models, which have no such
            layers, those of the feed-forward networks.
        seed: of the parameter initialization.
    """

    image_encoder: EncoderTuning = "frozen"
    adapter: bool = True
    lora_r: int = 8
    lora_target_modules: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        if self.lora_r < 1:
            raise ValueError(f"lora_r = {self.lora_r}: must be 1 or more")


class ImageEncoder(nn.Module):
    """Map pixels, or cached CLIP features, to image features; a tuned encoder is a copy.

    Raises:
        ValueError: ``lora_target_modules`` matches no linear layer.

    Example:
        >>> from ordlib import load_clip
        >>> encoder = ImageEncoder(load_clip("pico-clip", "cpu"), ImageEncoderConfig())
        >>> encoder(torch.ones(2, 96)).shape
        torch.Size([2, 96])
    """

    def __init__(self, clip: ClipBackbone, options: ImageEncoderConfig) -> None:
        super().__init__()
        self.clip = clip
        frozen = options.image_encoder == "frozen"
        self.encoder = None if frozen else _tunable_encoder(clip, options)
        self.adapter = Adapter(clip.embed_dim) if options.adapter else nn.Identity()
        self.to(clip.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(B, D)`` features, not normalized, of pixels or (frozen) CLIP features."""
        return self.adapter(inputs if self.encoder is None else self.encoder(inputs).float())

    def make_loader(self, data: ImageData, random_crop: bool = False) -> BatchLoader:
        """Return a function that maps row indices to the input of :meth:`forward`.

        With ``random_crop``, for a tuned encoder, to the enlarged pixels that are still to be
        cropped; see :meth:`~ordlib.clip.preprocessing.Preprocessor.uncropped`.
        """
        if self.encoder is None:
            features = cached_image_features(self.clip, data).to(self.clip.device)
            return lambda rows: features[torch.as_tensor(rows, device=features.device)]
        clip = self.clip
        if random_crop:
            clip = copy(clip)  # shares the weights
            clip.preprocessor = clip.preprocessor.uncropped()
        return lambda rows: clip.load_pixels(data, rows)


class Adapter(nn.Module):
    """CLIP-Adapter on D features, with residual ratio 0.8 as in NumCLIP's release.

    References:
        Gao et al. (2021), CLIP-Adapter, arXiv:2110.04544; NumCLIP's code for ratio and second ReLU.

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


def _tunable_encoder(clip: ClipBackbone, options: ImageEncoderConfig) -> nn.Module:
    """Return a float32 copy of CLIP's image encoder, to be tuned with LoRA or in full."""
    full = options.image_encoder == "full"
    encoder = deepcopy(clip.image_encoder).float().requires_grad_(full)
    if not full:
        pattern = options.lora_target_modules or clip.image_encoder.lora_target_modules
        _inject_lora(encoder.vision, pattern, options.lora_r)
    return encoder


def _inject_lora(vision: nn.Module, pattern: str | None, r: int) -> None:
    """Add LoRA updates (Hu et al., 2021, arXiv:2106.09685) in place. Derived in notebook 03."""
    from peft import LoraConfig, inject_adapter_in_model  # slow to import, and rarely needed

    modules = dict(vision.named_modules())
    layers = [name for name, layer in modules.items() if isinstance(layer, nn.Linear | nn.Conv2d)]
    idle = [name for name in layers if _is_idle(modules, name)]
    layers = [name for name in layers if name not in idle]
    matched = _matching(pattern or "(?!)", [*modules])
    if wrong := [name for name in matched if name not in layers]:
        # For attention of torch, peft adds the update and subtracts it again, which rounds.
        problem = "LoRA has no effect on" if wrong[0] in idle else "peft has no exact LoRA for"
        raise ValueError(f"lora_target_modules = {pattern!r}: {problem} the layer {wrong[0]}")
    if not matched:
        problem = "matches no linear layer of the image encoder"
        if pattern is None:
            problem = "this backbone has no default"
        raise ValueError(
            f"lora_target_modules = {pattern!r}: {problem}; available layers: {', '.join(layers)}"
        )
    if r > (limit := min(min(modules[name].weight.shape[:2]) for name in matched)):
        raise ValueError(
            f"lora_r = {r}: above {limit}, the smaller side of a layer that it updates"
        )
    config = LoraConfig(r=r, lora_alpha=LORA_ALPHA_OVER_R * r, target_modules=matched)
    inject_adapter_in_model(config, vision)


def _is_idle(modules: dict[str, nn.Module], name: str) -> bool:
    """Whether only the weight of a layer is used: attention of torch passes it to a function."""
    parent = modules[name.rpartition(".")[0]]
    return isinstance(parent, nn.MultiheadAttention) or type(parent).__name__ == "AttentionPool2d"


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Names that a regular expression matches, which a file may have brought."""
    try:
        # In `regex`, unlike `re`, a match ends: some patterns of ten characters take years.
        return [name for name in names if regex.fullmatch(pattern, name, timeout=MAX_MATCH_SECONDS)]
    except (regex.error, TimeoutError) as error:
        raise ValueError(
            f"lora_target_modules = {pattern!r:.80}: cannot be matched with layer names: {error}"
        ) from error
