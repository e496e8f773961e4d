"""A frozen CLIP: any checkpoint, pictures and prompts in; features and tokens out."""

import os
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
from .preprocessing import Preprocessor
from .text import PromptEmbeddings, TokenizedPrompts, encode_embeddings, tokenize

Images = Sequence[Image.Image | np.ndarray]


class ClipBackbone:
    """A frozen CLIP: pictures and prompts to features, tokens, and back-propagation to words.

    The methods named after what they return keep gradients, stay on the device, and take one
    batch. :meth:`encode_images` and :meth:`encode_text` take any number, need no gradient,
    and return to the CPU. Features are float32 and not normalised. Below, N is the number of
    pictures, M of prompts, T of the tokens of the longest prompt.

    Attributes:
        name: what :func:`load_clip` was given.
        folder: where the checkpoint lies.
        model: the transformers model; its parameters are frozen, and it is in eval mode.
        tokenizer: the transformers tokenizer.
        preprocessor: pictures to pixels, behind :meth:`preprocess`.
        embed_dim: D, width of the shared space of pictures and texts.
        text_width: W, width of a word embedding and of a text token.
        image_size: pixels of the square that the image tower sees.
        grid_size: patches along a side; P is its square.
        context_length: most tokens of a prompt, start and end included.
        logit_scale: factor on cosine similarities, about 100 for OpenAI's models.
        device, dtype: of the weights.
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
        # OpenAI's configs say 2, which makes the model pool at the largest token number.
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
        """The sha256 of the weights file as it lies in the folder."""
        return hash_weights(self.folder)

    @property
    def weights_unchanged(self) -> bool:
        """Whether the weights are still those of the file: not tuned, no LoRA put in."""
        return self._state() == self._loaded

    def _state(self) -> list[tuple]:
        return [(name, id(p), p._version) for name, p in self.model.named_parameters()]

    def preprocess(self, images: Images) -> torch.Tensor:
        """Pixels ``(N, 3, image_size, image_size)`` float32 on the device.

        Raises:
            ValueError: no pictures, or an array that is no uint8 picture.
        """
        return self.preprocessor(images, self.device)

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected picture features, ``(N, D)``, of pixels from :meth:`preprocess`."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output.float()

    def image_token_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected class token and patch tokens, ``(N, 1 + P, D)``, patches row by row.

        After the final layer norm and the visual projection: the first of each is its
        :meth:`image_features`.
        """
        vision = self.model.vision_model
        tokens = vision(pixel_values=pixels).last_hidden_state
        return self.model.visual_projection(vision.post_layernorm(tokens)).float()

    def patch_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected patch tokens, ``(N, P, D)``: :meth:`image_token_features` without the class token."""
        return self.image_token_features(pixels)[:, 1:]

    def tokenize(self, prompts: Sequence[str]) -> TokenizedPrompts:
        """Token numbers, ``ids`` and ``mask``, each ``(M, T)``, on the device.

        Raises:
            ValueError: no prompts, or one that is too long (with both lengths).
        """
        tokens = tokenize(self.tokenizer, prompts, self.context_length)
        return TokenizedPrompts(*(part.to(self.device) for part in tokens))

    def text_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """Projected text features, ``(M, D)``."""
        words = self.token_embeddings(prompts)
        return self.encode_text_embeddings(words.embeddings, words.eos_positions)

    def text_token_features(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Text tokens, ``(M, T, W)``, and the ``(M, T)`` bool mask of those alive.

        After the final layer norm, not projected.
        """
        words = self.token_embeddings(prompts)
        return self._run_text(words.embeddings).float(), words.mask

    def token_embeddings(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """Word embeddings, which the text tower reads: of every token, without positions."""
        tokens = self.tokenize(prompts)
        embeddings = self.model.text_model.embeddings.token_embedding(tokens.ids).float()
        return PromptEmbeddings(embeddings, tokens.mask.sum(1) - 1, tokens.mask)

    def encode_text_embeddings(
        self, embeddings: torch.Tensor, eos_positions: torch.Tensor
    ) -> torch.Tensor:
        """Text features, ``(M, D)``, of prompts as word embeddings, with gradient to them.

        Whatever stands behind a prompt's end cannot matter, but costs time: leave it out.

        Args:
            embeddings: ``(M, T, W)``, as of :meth:`token_embeddings`, some perhaps learned.
            eos_positions: ``(M,)`` int64, where each prompt's end token stands.

        Raises:
            ValueError: more positions than the context holds.
        """
        hidden = self._run_text(embeddings)
        ends = hidden[torch.arange(len(hidden), device=hidden.device), eos_positions]
        return self.model.text_projection(ends).float()

    def _run_text(self, embeddings: torch.Tensor) -> torch.Tensor:
        if embeddings.shape[1] > self.context_length:
            raise ValueError(
                f"the prompts take {embeddings.shape[1]} positions; the context of {self.name} "
                f"holds {self.context_length}"
            )
        return encode_embeddings(self.model, embeddings.to(self.dtype))

    @torch.no_grad()
    def encode_images(self, images: Images, batch_size: int = 64) -> torch.Tensor:
        """Features of any number of pictures or an ``ImageData``, ``(N, D)`` on the CPU."""
        return torch.cat([self.image_features(p).cpu() for p in self.batches(images, batch_size)])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Features of any number of prompts, ``(M, D)`` on the CPU."""
        chunks = [prompts[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
        bar = _bar(chunks or [prompts], "encoding prompts")
        return torch.cat([self.text_features(chunk).cpu() for chunk in bar])

    def batches(self, images: Images, batch_size: int) -> Iterator[torch.Tensor]:
        """Pixels of pictures, a batch at a time, with a bar after two seconds."""
        starts = range(0, len(images), batch_size) or range(1)
        for i in _bar(starts, "encoding pictures"):
            rows = range(i, min(i + batch_size, len(images)))
            yield self.preprocess([images[row] for row in rows])


def _bar(batches: Sequence, what: str) -> tqdm:
    """Progress after two seconds, and none of a single batch."""
    # In a notebook every bar, seen or not, is a dozen messages to the front end: hundreds of
    # calls with a batch each overran the queue of a reader that waited for the cell to end.
    return tqdm(batches, what, leave=False, delay=2, unit="batch", disable=len(batches) == 1)


def load_clip(
    name: str | os.PathLike,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> ClipBackbone:
    """A frozen CLIP from any checkpoint that transformers can load.

    Args:
        name: a bundled name, a hub id like "openai/clip-vit-base-patch32", or a local folder.
        device: "cuda", "mps" or "cpu"; "auto" or None takes the first of these that there is.
        dtype: precision of the weights; None takes float16 on CUDA and float32 elsewhere.
            Features come back as float32 all the same.
        revision: branch, tag or commit on the hub.

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
    """The model in single precision; transformers would fill gaps with random numbers."""
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
