"""Frozen CLIP: image and text features, token features, and a text encoder for learned prompts."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase
from transformers.utils import logging

from ..utils.device import pick_device
from .checkpoints import find_checkpoint, hash_weights
from .preprocessing import Preprocessor, Resize
from .text import PromptEmbeddings, TokenizedPrompts, encode_embeddings, tokenize

Images = Sequence[Image.Image | np.ndarray]
# A warning follows where the crop leaves out this fraction of this share of the images.
UNSEEN_FRACTION, UNSEEN_SHARE = 0.2, 0.1


class ClipBackbone:
    """Frozen CLIP (Radford et al., 2021): image/text features, token features, learned prompts.

    :meth:`encode_images` and :meth:`encode_text` take any number of inputs, without gradients, and
    return to the CPU. All other methods take one batch, with gradients, on the device. Features
    are float32 and not normalized. Shapes: N images, M prompts, T tokens, P patches.

    Attributes:
        name: argument of :func:`load_clip`.
        folder: checkpoint folder.
        model: transformers model, frozen and in eval mode.
        tokenizer: transformers tokenizer.
        preprocessor: image preprocessing.
        embed_dim: D, dimension of the joint embedding space.
        text_width: W, width of the text encoder.
        image_size: input size in pixels.
        grid_size: patches per side; P is its square.
        context_length: maximum number of tokens of a prompt, including start and end.
        logit_scale: factor of cosine similarities, about 100 for OpenAI's models.

    References:
        Radford et al. (2021), Learning Transferable Visual Models From Natural Language
        Supervision, arXiv:2103.00020.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        model: CLIPModel,
        tokenizer: PreTrainedTokenizerBase,
        preprocessor: Preprocessor,
        logit_scale: float,
    ) -> None:
        self.name, self.folder, self.tokenizer = name, folder, tokenizer
        self.model = model.eval().requires_grad_(False)
        # OpenAI's configs have 2, for which transformers pools at the largest token id.
        self.model.text_model.eos_token_id = tokenizer.eos_token_id
        self.preprocessor = preprocessor
        text, vision = model.config.text_config, model.config.vision_config
        self.embed_dim = model.config.projection_dim
        self.text_width = text.hidden_size
        self.image_size = vision.image_size
        self.grid_size = vision.image_size // vision.patch_size
        self.context_length = text.max_position_embeddings
        self.logit_scale = logit_scale
        self._loaded = self._state()
        self._warned_of_crop = False

    def __repr__(self) -> str:
        return (
            f"ClipBackbone({self.name!r}, {self.image_size} pixels, {self.grid_size}x"
            f"{self.grid_size} patches, width {self.embed_dim}, {self.dtype} on {self.device})"
        )

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.logit_scale.dtype

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the checkpoint's weights."""
        return hash_weights(self.folder)

    @property
    def resize(self) -> Resize:
        """How an image becomes a square: "crop", "squash" or "pad"."""
        return self.preprocessor.resize

    @property
    def weights_unchanged(self) -> bool:
        """Whether the weights equal the checkpoint: no fine-tuning, no LoRA."""
        return self._state() == self._loaded

    def _state(self) -> list[tuple]:
        return [(name, id(p), p._version) for name, p in self.model.named_parameters()]

    def preprocess(self, images: Images) -> torch.Tensor:
        """Pixels ``(N, 3, image_size, image_size)`` float32; see :class:`Preprocessor`."""
        return self.preprocessor(images, self.device)

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected image features, ``(N, D)``, of pixels from :meth:`preprocess`."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output.float()

    def image_token_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class and patch token features, ``(N, 1 + P, D)``, patches in row-major order.

        After the final layer norm and the projection; ``[:, 0]`` equals :meth:`image_features`.
        """
        vision = self.model.vision_model
        tokens = vision(pixel_values=pixels).last_hidden_state
        return self.model.visual_projection(vision.post_layernorm(tokens)).float()

    def tokenize(self, prompts: Sequence[str]) -> TokenizedPrompts:
        """Token ids and mask, each ``(M, T)``; ValueError for a prompt that is too long."""
        tokens = tokenize(self.tokenizer, prompts, self.context_length)
        return TokenizedPrompts(*(part.to(self.device) for part in tokens))

    def text_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """Projected text features, ``(M, D)``."""
        embedded = self.token_embeddings(prompts)
        return self.encode_text_embeddings(embedded.embeddings, embedded.eos_positions)

    def text_token_features(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Text token features, ``(M, T, W)``, not projected, and their ``(M, T)`` bool mask."""
        embedded = self.token_embeddings(prompts)
        return self._encode(embedded.embeddings).float(), embedded.mask

    def token_embeddings(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """Token embeddings of prompts, without positional embeddings."""
        tokens = self.tokenize(prompts)
        embeddings = self.model.text_model.embeddings.token_embedding(tokens.ids).float()
        return PromptEmbeddings(embeddings, tokens.mask.sum(1) - 1, tokens.mask)

    def encode_text_embeddings(
        self, embeddings: torch.Tensor, eos_positions: torch.Tensor
    ) -> torch.Tensor:
        """Projected text features, ``(M, D)``, of token embeddings, with gradients to them.

        Args:
            embeddings: ``(M, T, W)`` as from :meth:`token_embeddings`, possibly learned; padding
                has no effect but costs time.
            eos_positions: ``(M,)`` int64 position of each EOS token.
        """
        hidden = self._encode(embeddings)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), eos_positions]  # (M, W)
        return self.model.text_projection(pooled).float()

    def _encode(self, embeddings: torch.Tensor) -> torch.Tensor:
        if embeddings.shape[1] > self.context_length:
            raise ValueError(
                f"the prompts take {embeddings.shape[1]} positions; the context of {self.name} "
                f"holds {self.context_length}"
            )
        return encode_embeddings(self.model, embeddings.to(self.dtype))

    @torch.no_grad()
    def encode_images(self, images: Images, batch_size: int = 64) -> torch.Tensor:
        """Image features, ``(N, D)`` on the CPU, of any number of images or an ``ImageData``."""
        return torch.cat([self.image_features(p).cpu() for p in self.batches(images, batch_size)])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Text features, ``(M, D)`` on the CPU, of any number of prompts."""
        batches = [prompts[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
        bar = _progress_bar(batches or [prompts], "encoding prompts")
        return torch.cat([self.text_features(batch).cpu() for batch in bar])

    def batches(self, images: Images, batch_size: int) -> Iterator[torch.Tensor]:
        """Preprocessed batches of images, with a progress bar after two seconds.

        Warns at the end if the center crop left out much of many images; once per backbone, since
        a folder is encoded in chunks.
        """
        unseen: list[float] = []
        starts = range(0, len(images), batch_size) or range(1)
        for start in _progress_bar(starts, "encoding images"):
            batch = [images[row] for row in range(start, min(start + batch_size, len(images)))]
            yield self.preprocess(batch)
            sizes = [x.size if isinstance(x, Image.Image) else x.shape[1::-1] for x in batch]
            unseen += [self.preprocessor.unseen_fraction(*size) for size in sizes]
        cropped = sum(fraction > UNSEEN_FRACTION for fraction in unseen)
        if cropped > UNSEEN_SHARE * len(images) and not self._warned_of_crop:
            self._warned_of_crop = True
            warnings.warn(
                f"CLIP's center crop leaves out {np.mean(unseen):.0%} of the area of {len(images)} "
                f"images on average, at most {max(unseen):.0%}; load_clip(..., resize='pad') or "
                "'squash' shows all of each image",
                stacklevel=2,
            )


def _progress_bar(batches: Sequence, description: str) -> tqdm:
    # None for a single batch: in a notebook even an invisible bar sends a dozen messages, and
    # hundreds of such calls overran the message queue.
    disable = len(batches) == 1
    return tqdm(batches, description, leave=False, delay=2, unit="batch", disable=disable)


def load_clip(
    name: str | os.PathLike,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    resize: Resize = "crop",
) -> ClipBackbone:
    """Load a frozen CLIP from any checkpoint that transformers supports.

    Args:
        name: a bundled name, a hub id like "openai/clip-vit-base-patch32", or a local folder.
        device: "cuda", "mps" or "cpu"; "auto" or None selects the best one available.
        dtype: precision of the weights; None uses float16 on CUDA and float32 elsewhere.
        revision: branch, tag or commit on the hub.
        resize: how an image becomes a square: "crop" (CLIP's own), "squash" or "pad"; see
            :class:`~ordlib.clip.preprocessing.Preprocessor`.

    Raises:
        FileNotFoundError: no such checkpoint, or the hub is unreachable.
        ValueError: not a CLIP model, damaged or missing weights, no such device, unknown resize.

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
        options = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        preprocessor = Preprocessor(folder, model.config.vision_config.image_size, resize)
    size = model.config.text_config.vocab_size
    if len(tokenizer) > size:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {size}; they belong "
            "to different checkpoints"
        )
    # Read before the cast: half precision would round OpenAI's scale of 100 to 100.03.
    scale = model.logit_scale.exp().item()
    _raise_if_not_finite(model, f"{folder}: the weights are damaged")
    model = model.to(device, dtype)
    _raise_if_not_finite(model, f"{folder}: {dtype} is too small for the weights, use float32")
    return ClipBackbone(os.fspath(name), folder, model, tokenizer, preprocessor, scale)


def _load_model(folder: Path) -> CLIPModel:
    """Load in float32; missing weights are an error, where transformers would initialize them."""
    options = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    try:
        model, report = CLIPModel.from_pretrained(folder, dtype=torch.float32, **options)
    except (SafetensorError, RuntimeError) as error:
        problem = "the weights are damaged or do not match config.json"
        raise ValueError(f"{folder}: {problem}: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{folder}: the weights lack {len(missing)} tensors of the model ({missing[0]}, ...); "
            "download or save the checkpoint again"
        )
    return model


def _raise_if_not_finite(model: CLIPModel, problem: str) -> None:
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
