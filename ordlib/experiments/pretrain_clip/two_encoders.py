"""The two towers of a CLIP as one module, from bytes and token numbers to unit features."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

LARGEST_SCALE = 100.0


class TwoTowers(nn.Module):
    """A CLIP that turns bytes and token numbers into unit features, in mixed precision if asked.

    Args:
        clip: the model; trained in place.
        dtype: what matrix products are computed in; weights and features stay float32.

    Attributes:
        clip: the model.
    """

    def __init__(self, clip: CLIPModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.clip, self.dtype = clip, dtype
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        self.register_buffer("factor", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pairs.

        Args:
            images: ``(n, side, side, 3)`` uint8.
            ids: ``(n, T)`` int64 token numbers, padded behind the end token.

        Returns:
            Picture and text features, each ``(n, D)`` float32 of unit length, and the scale.
        """
        pixels = images.permute(0, 3, 1, 2).contiguous().float()
        pixels = pixels.mul_(self.factor).add_(self.shift)
        mixed = self.dtype != torch.float32
        with torch.autocast(images.device.type, self.dtype, enabled=mixed):
            image = self.clip.get_image_features(pixel_values=pixels).pooler_output
            text = self.clip.get_text_features(input_ids=ids).pooler_output
        scale = self.clip.logit_scale.exp()
        return F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1), scale

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Keep the scale at 100 or less, as CLIP does; call it after each step."""
        self.clip.logit_scale.clamp_(max=math.log(LARGEST_SCALE))
