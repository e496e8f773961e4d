"""Load any CLIP checkpoint that transformers can load."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPModel
from transformers.utils import logging

from ..utils.device import pick_device
from .backbone import ClipBackbone
from .checkpoints import find_checkpoint
from .preprocessing import Preprocessor


def load_clip(
    name: str | os.PathLike,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> ClipBackbone:
    """Load a CLIP checkpoint, frozen and ready to encode.

    Args:
        name: a bundled name, a hub id like "openai/clip-vit-base-patch32", or a local folder.
        device: "cuda", "mps" or "cpu"; "auto" or None takes the first of these that there is.
        dtype: precision of the weights; None takes float16 on CUDA and float32 elsewhere.
            Features come back as float32 all the same.
        revision: branch, tag or commit on the hub.

    Returns:
        The backbone.

    Raises:
        FileNotFoundError: no such checkpoint, or the hub is out of reach.
        ValueError: no CLIP model, weights damaged or missing, or no such device here.

    Example:
        >>> clip = load_clip("pico-clip", "cpu")
        >>> clip.text_features(["one star", "two stars"]).shape
        torch.Size([2, 96])
    """
    device = pick_device(device)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    folder = find_checkpoint(name, revision)
    with _quiet():
        model = _load_model(folder)
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        preprocessor = Preprocessor(folder, model.config.vision_config.image_size)
    size = model.config.text_config.vocab_size
    if len(tokenizer) > size:
        raise ValueError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens, the model embeds {size}: "
            "they belong to different checkpoints"
        )
    # Taken before rounding: half precision would turn OpenAI's factor of 100 into 100.03.
    scale = model.logit_scale.exp().item()
    model = model.to(device, dtype)
    return ClipBackbone(os.fspath(name), folder, model, tokenizer, preprocessor, scale)


def _load_model(folder: Path) -> CLIPModel:
    """Load the model in single precision; transformers would fill gaps with random numbers."""
    try:
        model, report = CLIPModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"the weights in {folder} are damaged or do not fit its config.json: {error}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"the weights in {folder} lack {len(missing)} of the model's tensors, {missing[0]} "
            "for one: fetch or save the checkpoint again"
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bars and loading reports, and set them back afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
