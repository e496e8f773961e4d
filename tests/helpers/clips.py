"""Small CLIP checkpoints with random weights."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.utils import logging

from ordlib.clip.preprocessing import PROCESSOR

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = ("star", "photo", "of", "one", "two", "three")


def byte_tokenizer(size: int, words: Iterable[str] = WORDS) -> CLIPTokenizer:
    """Tokenizer with all bytes, some words, and fillers up to ``size`` tokens; EOS is the last."""
    letters = list(bytes_to_unicode().values())
    tokens, merges = letters + [letter + "</w>" for letter in letters], []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        for i in range(1, len(parts)):
            merges.append(("".join(parts[:i]), parts[i]))
            tokens.append("".join(parts[: i + 1]))
    tokens = list(dict.fromkeys(tokens))
    tokens += [f"<filler{i}>" for i in range(size - len(tokens) - 2)]
    vocabulary = {token: i for i, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=list(dict.fromkeys(merges)), model_max_length=77)


@torch.no_grad()
def initialize(model: CLIPModel) -> CLIPModel:
    """Random float16 weights for a model on the meta device, which is fast to create and save."""
    model = model.half().to_empty(device="cpu")
    # One pool for all tensors: its length is prime, so that the rows of a matrix differ.
    pool = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0)).half()
    for i, (name, parameter) in enumerate(model.named_parameters()):
        if parameter.ndim < 2 and name != "vision_model.embeddings.class_embedding":
            parameter.fill_(2.6592 if name == "logit_scale" else float(name.endswith("weight")))
            continue
        # Large enough that random encoders separate different inputs.
        scale = 1.0 if "token_embedding" in name else 1.5 * parameter[0].numel() ** -0.5
        scaled = pool.roll(7919 * i) * scale
        for piece in parameter.view(-1).split(len(pool)):
            piece.copy_(scaled[: len(piece)])
    return model


def build_clip(
    folder: Path,
    tokenizer: CLIPTokenizer,
    text: dict,
    vision: dict,
    width: int,
    end: int | None = None,
) -> Path:
    """Save a random CLIP with processor and tokenizer; ``end`` overrides the config's EOS id."""
    text = {
        **text,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id if end is None else end,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
    with torch.device("meta"):
        model = CLIPModel(config)
    logging.disable_progress_bar()
    initialize(model).save_pretrained(folder)
    logging.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    size = vision["image_size"]
    PROCESSOR(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    ).save_pretrained(folder)
    return folder


def build_tiny_clip(
    folder: Path, end: int | None = None, text_width: int = 32, width: int = 24
) -> Path:
    """Two layers per encoder; all widths differ by default, so that tests detect mix-ups."""
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"hidden_size": text_width, "intermediate_size": 64, **layers}
    vision = {"hidden_size": 40, "intermediate_size": 80, "image_size": 64, "patch_size": 16}
    return build_clip(folder, byte_tokenizer(600), text, vision | layers, width=width, end=end)


def build_vit_b_32(folder: Path, words: Iterable[str] = WORDS) -> Path:
    """OpenAI's ViT-B/32 as on the hub: wrong EOS id in the config, old file formats."""
    vision = {"image_size": 224, "patch_size": 32}
    build_clip(folder, byte_tokenizer(49408, words), {}, vision, width=512, end=2)
    settings = {"crop_size": 224, "size": 224, "resample": 3, "do_resize": True}
    settings |= {"do_center_crop": True, "do_normalize": True}
    settings["feature_extractor_type"] = "CLIPFeatureExtractor"
    settings["image_mean"] = [0.48145466, 0.4578275, 0.40821073]
    settings["image_std"] = [0.26862954, 0.26130258, 0.27577711]
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()
    return folder
