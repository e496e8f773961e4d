"""Small CLIP checkpoints with random weights, made on the spot."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ordlib.preprocessing import PROCESSOR

START, END = "<|startoftext|>", "<|endoftext|>"


def byte_tokenizer(size: int) -> CLIPTokenizer:
    """A tokenizer that knows every byte, a few words, and fillers up to ``size`` tokens.

    As in OpenAI's, the end token has the largest number.
    """
    letters = list(bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in ("star", "photo", "of", "one", "two", "three"):
        left = word[0]
        for i, letter in enumerate(word[1:], 2):
            right = letter + ("</w>" if i == len(word) else "")
            merges.append((left, right))
            left += right
            tokens.append(left)
    tokens = list(dict.fromkeys(tokens))
    merges = list(dict.fromkeys(merges))
    tokens += [f"<filler{i}>" for i in range(size - len(tokens) - 2)]
    vocabulary = {token: i for i, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def build_clip(
    folder: Path, text: dict, vision: dict, width: int, vocabulary: int, end: int | None = None
) -> Path:
    """Save a random CLIP with processor and tokenizer; ``end`` fakes the config's end token."""
    tokenizer = byte_tokenizer(vocabulary)
    text = {
        **text,
        "vocab_size": vocabulary,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id if end is None else end,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(config)
        # Random towers map everything to nearly one point; larger words tell prompts apart.
        model.text_model.embeddings.token_embedding.weight.data.normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = vision["image_size"]
    PROCESSOR(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    ).save_pretrained(folder)
    return folder


def build_tiny_clip(folder: Path, end: int | None = None) -> Path:
    """Two layers a tower; every width is another number, so that mix-ups show."""
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"hidden_size": 32, "intermediate_size": 64, **layers}
    vision = {"hidden_size": 40, "intermediate_size": 80, "image_size": 64, "patch_size": 16}
    return build_clip(folder, text, vision | layers, width=24, vocabulary=600, end=end)


def build_vit_b_32(folder: Path) -> Path:
    """OpenAI's ViT-B/32 geometry with the wrong end token of its config."""
    vision = {"image_size": 224, "patch_size": 32}
    return build_clip(folder, {}, vision, width=512, vocabulary=49408, end=2)
