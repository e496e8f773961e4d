"""Load a CLIP checkpoint."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from ..utils.device import pick_device, pick_inference_dtype, torch_defaults
from ..utils.reading import errors_name, read_json
from ..utils.validation import check_choice
from .architecture import read_architecture
from .backbone import ClipBackbone
from .checkpoints import BUNDLED, find_checkpoint, model_type, weights_files
from .encoders import ARCHITECTURES
from .preprocessing import Preprocessor, Resize

# Classes of transformers that checkpoints of CLIP and SigLIP name. Others may run code.
TOKENIZERS = (
    *("CLIPTokenizer", "CLIPTokenizerFast", "SiglipTokenizer", "Siglip2Tokenizer"),
    *("GemmaTokenizer", "GemmaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"),
)
MAX_LOGIT_SCALE = 1e6


@torch_defaults()
def load_clip(
    name: str | os.PathLike,
    device: str | torch.device | None = None,
    dtype: torch.dtype | Literal["auto"] | None = None,
    revision: str | None = None,
    resize: Resize = "crop",
) -> ClipBackbone:
    """Load a frozen CLIP, SigLIP or SigLIP 2 from a checkpoint of transformers.

    ZeroShot, LinearProbe, CORN and FineTuned run on every backbone; the others on these:

    =======================================  ===============  ==============  ================
    backbone, ``model_type`` in config.json  learned prompts  RankingAdapter  LoRA, by default
    =======================================  ===============  ==============  ================
    CLIP, "clip"                             yes              yes             queries, values
    SigLIP and SigLIP 2, "siglip"            yes              patch tokens    queries, values
    SigLIP 2 NaFlex, "siglip2", as squares   yes              patch tokens    queries, values
    open_clip, vision transformer            yes              yes             feed-forward
    open_clip, other image encoder           yes              no              none
    open_clip, text encoder of transformers  no               no              by image encoder
    =======================================  ===============  ==============  ================

    Learned prompts: CoOp, OrdinalCLIP, NumCLIP and L2RCLIP. For models of open_clip, see
    :meth:`~.backbone.ClipBackbone.from_open_clip`.

    Args:
        name: a bundled name, a hub id like "openai/clip-vit-base-patch32", or a local folder.
        device: "cuda", "mps" or "cpu"; "auto" or None selects the best one available.
        dtype: precision of the weights; None uses float16 on CUDA and float32 elsewhere. "auto"
            also uses bfloat16 on CPUs that are twice as fast with it (features then differ by up
            to 2 %), except for bundled models, whose numbers the notebooks print.
        revision: branch, tag or commit on the hub.
        resize: how an image becomes a square: "crop" (the checkpoint's own, for SigLIP the same as
            "squash"), "squash", "pad" or "squash_crop"; see
            :class:`~ordlib.clip.preprocessing.Preprocessor`.

    Raises:
        FileNotFoundError: no such checkpoint, or the hub is unreachable.
        ValueError: none of these models, damaged or missing weights, no such device, unknown
            resize, or a tokenizer that needs another package.

    Example:
        >>> clip = load_clip("pico-clip", "cpu")
        >>> clip.text_features(["one star", "two stars"]).shape
        torch.Size([2, 96])
    """
    device = pick_device(device)
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name = {name!r:.80}: must be a name, or the path of a folder")
    folder = find_checkpoint(name, revision)
    if dtype == "auto" and folder.parent != BUNDLED:
        dtype = pick_inference_dtype(device)
    elif dtype in (None, "auto"):
        dtype = torch.float16 if device.type == "cuda" else torch.float32
    with _quiet():
        kind = model_type(folder / "config.json")
        model_class, image_encoder, text_encoder = ARCHITECTURES[kind]
        model = _load_model(model_class, folder)
        tokenizer = _load_tokenizer(folder, model.config)
        try:
            encoders = image_encoder(model), text_encoder(model, tokenizer)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None
        preprocessor = Preprocessor(folder, encoders[0].image_size, resize, kind)
    # Read before the cast: half precision would round OpenAI's scale of 100 to 100.03.
    scale = model.logit_scale.exp().item()
    bias = model.logit_bias.item() if hasattr(model, "logit_bias") else 0.0
    _raise_if_not_finite(model, f"{folder}: the weights are damaged")
    if not 0 < scale <= MAX_LOGIT_SCALE:
        raise ValueError(f"{folder}: logit_scale = {scale:g}: must be 0 to {MAX_LOGIT_SCALE:g}")
    model = model.to(device, dtype)
    _raise_if_not_finite(model, f"{folder}: {dtype} is too small for the weights, use float32")
    parts = model, encoders, tokenizer, preprocessor, scale, bias
    try:
        return ClipBackbone(os.fspath(name), folder, *parts)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _load_model(model_class: type[PreTrainedModel], folder: Path) -> PreTrainedModel:
    """Load in float32; missing weights are an error, where transformers would initialize them.

    transformers gets tensors and sizes, not the folder: in one it may find an adapter of another
    model, an index of other files, or pickles.
    """
    files = weights_files(folder)
    sizes = {path: path.stat().st_size for path in files}
    if empty := [path for path, size in sizes.items() if not size]:
        raise ValueError(f"{empty[0]}: damaged: the weights are empty; download or save them again")
    config = read_architecture(folder, model_class, sum(sizes.values()))
    tensors: dict[str, torch.Tensor] = {}
    problem = f"{folder}: the weights are damaged or do not match config.json"
    try:
        for path in files:
            part = load_file(path)
            if twice := sorted(tensors.keys() & part.keys()):
                raise ValueError(f"{path}: the tensor {twice[0]} is in two files")
            tensors |= part
        model, report = model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{problem}: {error}") from error
    for name, _ in model.named_parameters():
        if name in tensors and not tensors[name].is_floating_point():
            raise ValueError(f"{problem}: {name} is of {tensors[name].dtype}")
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{folder}: the weights lack {len(missing)} tensors of the model ({missing[0]}, ...); "
            "download or save the checkpoint again"
        )
    return model


def _load_tokenizer(folder: Path, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer; ValueError if it is damaged, or not one of this model."""
    settings, size = folder / "tokenizer_config.json", config.text_config.vocab_size
    name = read_json(settings).get("tokenizer_class") if settings.is_file() else None
    with errors_name(settings):
        check_choice("tokenizer_class", name, (*TOKENIZERS, None))
    # The tokenizers library raises exceptions of no other class.
    with errors_name(f"{folder}: the tokenizer is damaged or of another kind", Exception):
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, config=config, **options)
        except ImportError as error:
            remedy = "it needs sentencepiece and protobuf; pip install 'ordlib[siglip]'"
            raise ValueError(f"{folder}: {remedy}") from error
        ids = tokenizer("a photo")["input_ids"]
    last = max(tokenizer.get_vocab().values(), default=-1)
    if last >= size:
        raise ValueError(
            f"{folder}: the tokenizer has {last + 1} tokens, the model {size}; they belong "
            "to different checkpoints"
        )
    if ids[-1:] != [tokenizer.eos_token_id] or len(ids) < 2:
        raise ValueError(
            f"{folder}: the tokenizer puts no EOS token behind a prompt: 'a photo' becomes {ids}; "
            "save it with add_eos_token=True, or take the model's own"
        )
    if config.model_type == "clip":
        _check_special_tokens(folder, ids)
    return tokenizer


def _check_special_tokens(folder: Path, ids: list[int]) -> None:
    """Raise ValueError if a prompt begins or ends with another token than in training.

    Configs of OpenAI have the ids 0 and 2, with which transformers takes the feature of the token
    with the largest id.
    """
    config = read_json(folder / "config.json").get("text_config") or {}
    for name, usual, position in (("bos_token_id", 0, 0), ("eos_token_id", 2, -1)):
        expected = config.get(name)
        if expected in (None, usual):
            expected = max(ids) if name == "eos_token_id" else ids[0]
        if ids[position] != expected:
            raise ValueError(
                f"{folder}: the tokenizer turns 'a photo' into {ids}, but the model was trained "
                f"with {name} = {expected}; take the model's own tokenizer"
            )


def _raise_if_not_finite(model: PreTrainedModel, problem: str) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"{problem}: {name} contains NaN or infinite values")


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable transformers' progress bars and loading reports temporarily."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
