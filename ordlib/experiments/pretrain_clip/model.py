"""pico-clip: model initialization, preprocessing with autocast, and contrastive loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...training.distributed import all_gather_with_grad
from .config import PicoCLIPConfig

HEAD_WIDTH = 32
MAX_LOGIT_SCALE = 100.0


def build_model(size: PicoCLIPConfig, tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPModel:
    """Return a randomly initialized transformers CLIP, in float32 on the CPU.

    The tokenizer determines the vocabulary size and the special tokens. The global RNG of torch
    is not changed.

    Example:
        >>> from ordlib.experiments.pretrain_clip.tokenizer import train_tokenizer
        >>> model = build_model(PicoCLIPConfig(), train_tokenizer(["a red star"]))
        >>> round(sum(p.numel() for p in model.parameters()) / 1e6, 1)
        0.7
    """
    special_tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
    text = {
        **_encoder_config(size.text_width, size.text_layers), "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        **{name: getattr(tokenizer, name) for name in special_tokens},
    }  # fmt: skip
    vision = _encoder_config(size.vision_width, size.vision_layers)
    vision |= {"image_size": size.image_size, "patch_size": size.patch}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=size.embed_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config).train()


def _encoder_config(width: int, layers: int) -> dict:
    # gelu is one kernel, CLIP's quick_gelu two: 20 % faster on a CPU.
    return {
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD_WIDTH, "hidden_act": "gelu",
    }  # fmt: skip


class CLIPWithPreprocessing(nn.Module):
    """CLIP module with preprocessing, and autocast to ``dtype``; features stay float32."""

    def __init__(self, clip: CLIPModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.clip, self.dtype = clip, dtype
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        self.register_buffer("factor", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode image-caption pairs as ``(n, D)`` features of unit norm; also return logit_scale.

        Images are ``(n, image_size, image_size, 3)`` uint8, ids ``(n, T)``, padded with EOS.
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
    def clamp_logit_scale(self) -> None:
        """Clamp the logit scale to at most 100, as CLIP does after each step."""
        self.clip.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Symmetric contrastive loss of CLIP (Radford et al., 2021), in nats; log N at chance level.

    Image and text features are ``(n, D)`` of this process, of unit norm. With several processes,
    those of all are gathered with gradients. The loss is the same in every process, and averaged
    gradients equal those of a single large batch.

    References:
        Radford et al. (2021), Learning Transferable Visual Models From Natural Language
        Supervision, arXiv:2103.00020, figure 3.
    """
    image, text = all_gather_with_grad(image), all_gather_with_grad(text)
    logits = scale * image @ text.T  # (N, N)
    targets = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
