"""Small SigLIP checkpoints with random weights and tokenizers like those on the hub."""

import json
from pathlib import Path

import torch
from clips import WORDS
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    GemmaTokenizer,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
)
from transformers.utils import logging

SPACE = "▁"
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-'"
MAX_LENGTH = 64


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """SigLIP's: lower case, no punctuation, no start token; the EOS token is the padding, id 1."""
    pieces = [(piece, -1.0) for piece in ("<pad>", "</s>", "<unk>")]
    pieces += [(SPACE, -3.0), *((c, -5.0) for c in CHARACTERS), *((SPACE + w, -2.0) for w in WORDS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
         normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids"],
        **special,
    )


def gemma_tokenizer() -> GemmaTokenizer:
    """SigLIP 2's: upper and lower case, spaces are parts of tokens; padding of its own, id 0."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256))]
    tokens, merges = [*tokens, SPACE, *CHARACTERS], []
    for word in WORDS:
        parts = [SPACE, *word]
        for i in range(1, len(parts)):
            merges.append(("".join(parts[:i]), parts[i]))
            tokens.append("".join(parts[: i + 1]))
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return GemmaTokenizer(
        vocab=vocabulary,
        merges=list(dict.fromkeys(merges)),
        add_bos_token=False,
        add_eos_token=True,
        padding_side="right",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids"],
    )


@torch.no_grad()
def _initialize(model: torch.nn.Module) -> None:
    """Weights so large that random encoders separate different inputs."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if name == "logit_scale":
            parameter.fill_(4.7)
        elif name == "logit_bias":
            parameter.fill_(-12.9)
        elif parameter.ndim < 2:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.1 * noise + float("norm" in name and name.endswith("weight")))
        else:
            scale = 1.5 * parameter[0].numel() ** -0.5
            if "embedding" in name:
                scale = 0.2 if "position" in name else 1.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def _save(folder: Path, model: torch.nn.Module, tokenizer: object, processor: dict) -> Path:
    _initialize(model)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    common = {"do_normalize": True, "do_rescale": True, "do_resize": True, "do_convert_rgb": None}
    common |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(common | processor))
    return folder


def _configs(tokenizer: object) -> tuple[dict, dict]:
    """All widths differ but those of the joint space, so that tests detect mix-ups."""
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"hidden_size": 32, "intermediate_size": 64, "projection_size": 24, **layers}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": MAX_LENGTH}
    text |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    return text, {"hidden_size": 24, "intermediate_size": 80, "patch_size": 16, **layers}


def build_tiny_siglip(folder: Path, tokenizer: object | None = None) -> Path:
    """``SiglipModel`` with 64 pixels and 4x4 patches, and SigLIP's tokenizer or a given one."""
    tokenizer = tokenizer or unigram_tokenizer()
    text, vision = _configs(tokenizer)
    config = SiglipConfig(text_config=text, vision_config=vision | {"image_size": 64})
    size = {"size": {"height": 64, "width": 64}, "resample": 3}
    size |= {"image_processor_type": "SiglipImageProcessor"}
    return _save(folder, SiglipModel(config), tokenizer, size)


def build_tiny_siglip2(folder: Path) -> Path:
    """``SiglipModel`` with Gemma's tokenizer, as SigLIP 2's checkpoints of a fixed size."""
    return build_tiny_siglip(folder, gemma_tokenizer())


def build_tiny_naflex(folder: Path) -> Path:
    """``Siglip2Model`` with 16 patches, as SigLIP 2's checkpoints for any aspect ratio."""
    tokenizer = gemma_tokenizer()
    text, vision = _configs(tokenizer)
    config = Siglip2Config(text_config=text, vision_config=vision | {"num_patches": 16})
    size = {"patch_size": 16, "max_num_patches": 16, "resample": 2}
    size |= {"image_processor_type": "Siglip2ImageProcessor"}
    return _save(folder, Siglip2Model(config), tokenizer, size)


BUILDERS = {
    "siglip": build_tiny_siglip,
    "siglip2": build_tiny_siglip2,
    "naflex": build_tiny_naflex,
}
