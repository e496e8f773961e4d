"""pico-clip: the untrained model of a size, its two towers as one module, and their loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...training.distributed import all_gather_with_grad
from .model_sizes import PicoCLIPConfig

HEAD_WIDTH = 32
LARGEST_SCALE = 100.0


def build_model(size: PicoCLIPConfig, tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPModel:
    """An untrained CLIP: an ordinary transformers model, float32, on the CPU.

    Args:
        size: its geometry.
        tokenizer: gives the number of tokens, and which of them ends a text.
        seed: of the random weights. torch's own generator is left as it was.

    Example:
        >>> from ordlib.experiments.pretrain_clip.tokenizer import train_tokenizer
        >>> model = build_model(PicoCLIPConfig(), train_tokenizer(["a red star"]))
        >>> round(sum(p.numel() for p in model.parameters()) / 1e6, 1)
        0.7
    """
    text = {
        **_tower(size.text_width, size.text_layers),
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        **_tower(size.vision_width, size.vision_layers),
        "image_size": size.image_size,
        "patch_size": size.patch,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=size.embed_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config).train()


def _tower(width: int, layers: int) -> dict:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD_WIDTH,
        # One kernel where CLIP's quick_gelu takes two: a fifth faster on a CPU.
        "hidden_act": "gelu",
    }


class CLIPWithPreprocessing(nn.Module):
    """A CLIP that turns bytes and token numbers into unit features, in mixed precision if asked.

    Args:
        clip: the model; trained in place.
        dtype: what matrix products are computed in; weights and features stay float32.
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
            Sample and text features, each ``(n, D)`` float32 of unit length, and the scale.
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
        """Keep the scale at 100 or less, as CLIP does; call it after each step."""
        self.clip.logit_scale.clamp_(max=math.log(LARGEST_SCALE))


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric loss: each picture finds its caption, each caption its picture.

    Under several processes the pairs of all of them are contrasted, with gradient to each, and
    the loss is the same everywhere; averaged gradients are then those of one large batch.

    Args:
        image, text: ``(n, D)`` features of this process's pairs, of unit length.
        scale: factor on the cosine similarities.

    Returns:
        The mean cross-entropy, in nats; log N where nothing is known of N pairs.

    Source:
        Radford et al. 2021, Learning Transferable Visual Models From Natural Language
        Supervision, figure 3.
    """
    image, text = all_gather_with_grad(image), all_gather_with_grad(text)
    logits = scale * image @ text.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
