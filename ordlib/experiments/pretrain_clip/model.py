"""The untrained model of a size."""

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from .model_sizes import PicoSize

HEAD_WIDTH = 32


def build_model(size: PicoSize, tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPModel:
    """Make an untrained CLIP: an ordinary transformers model, float32, on the CPU.

    Args:
        size: its geometry.
        tokenizer: gives the number of tokens, and which of them ends a text.
        seed: of the random weights. torch's own generator is left as it was.

    Returns:
        The model, in training mode.

    Example:
        >>> from ordlib.experiments.pretrain_clip.model_sizes import SIZES
        >>> from ordlib.experiments.pretrain_clip.tokenizer import train_tokenizer
        >>> model = build_model(SIZES["small"], train_tokenizer(["a red star"]))
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
        "image_size": size.side,
        "patch_size": size.patch,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=size.feature_width)
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
