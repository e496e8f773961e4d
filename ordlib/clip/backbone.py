"""A frozen CLIP: pictures and prompts in, features and tokens out."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm
from transformers import CLIPModel, PreTrainedTokenizerBase

from .checkpoints import hash_weights
from .preprocessing import Preprocessor
from .text import Tokens, Words, encode_embeddings, tokenize

Images = Sequence[Image.Image | np.ndarray]


class ClipBackbone:
    """A frozen CLIP: pictures and prompts to features, tokens, and back-propagation to words.

    The methods named after what they return keep gradients, stay on the device, and take one
    batch. :meth:`encode_images` and :meth:`encode_prompts` take any number, need no gradient,
    and return to the CPU. Features are float32 and not normalised.

    Attributes:
        name: what :func:`load_clip` was given.
        folder: where the checkpoint lies.
        model: the transformers model; its parameters are frozen, and it is in eval mode.
        tokenizer: the transformers tokenizer.
        preprocessor: pictures to pixels, behind :meth:`preprocess`.
        feature_width: D, width of the shared space of pictures and texts.
        word_width: W, width of a word embedding and of a text token.
        image_side: pixels of the square that the image tower sees.
        patch_grid: patches along a side; P is its square.
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
        self.feature_width = model.config.projection_dim
        self.word_width = text.hidden_size
        self.image_side = vision.image_size
        self.patch_grid = vision.image_size // vision.patch_size
        self.context_length = text.max_position_embeddings
        self.logit_scale = logit_scale
        self._loaded = self._state()

    def __repr__(self) -> str:
        return (
            f"ClipBackbone({self.name!r}, {self.image_side} pixels, {self.patch_grid}x"
            f"{self.patch_grid} patches, width {self.feature_width}, {self.dtype} on {self.device})"
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
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
    def is_as_loaded(self) -> bool:
        """Whether the weights are still those of the file: not tuned, no LoRA put in."""
        return self._state() == self._loaded

    def _state(self) -> list[tuple]:
        return [(name, id(p), p._version) for name, p in self.model.named_parameters()]

    def preprocess(self, images: Images) -> torch.Tensor:
        """Return pixels that the image tower takes.

        Args:
            images: N PIL pictures, or uint8 arrays ``(H, W, 3)``.

        Returns:
            ``(N, 3, image_side, image_side)`` float32 on the device.

        Raises:
            ValueError: no pictures, or an array that is no uint8 picture.
        """
        return self.preprocessor(images, self.device)

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return projected picture features.

        Args:
            pixels: ``(N, 3, image_side, image_side)`` from :meth:`preprocess`.

        Returns:
            ``(N, D)`` float32, not normalised.
        """
        return self.model.get_image_features(pixel_values=pixels).pooler_output.float()

    def visual_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the projected class token, then one for each patch, row by row.

        Args:
            pixels: ``(N, 3, image_side, image_side)`` from :meth:`preprocess`.

        Returns:
            ``(N, 1 + P, D)`` float32, after the final layer norm and the visual projection; the
            first of each is its :meth:`image_features`.
        """
        vision = self.model.vision_model
        tokens = vision(pixel_values=pixels).last_hidden_state
        return self.model.visual_projection(vision.post_layernorm(tokens)).float()

    def patch_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return one projected token for each patch, row by row, without the class token.

        Args:
            pixels: ``(N, 3, image_side, image_side)`` from :meth:`preprocess`.

        Returns:
            ``(N, P, D)`` float32, after the final layer norm and the visual projection.
        """
        return self.visual_tokens(pixels)[:, 1:]

    def tokenize(self, prompts: Sequence[str]) -> Tokens:
        """Turn prompts into token numbers, no longer than the longest of them.

        Args:
            prompts: M strings.

        Returns:
            ``ids`` and ``mask``, each ``(M, T)``, on the device.

        Raises:
            ValueError: no prompts, or one that is too long (with both lengths).
        """
        tokens = tokenize(self.tokenizer, prompts, self.context_length)
        return Tokens(*(part.to(self.device) for part in tokens))

    def text_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return projected text features.

        Args:
            prompts: M strings.

        Returns:
            ``(M, D)`` float32, not normalised.
        """
        words = self.word_embeddings(prompts)
        return self.text_features_from(words.embeddings, words.end_positions)

    def text_tokens(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one token for each word, after the final layer norm, not projected.

        Args:
            prompts: M strings.

        Returns:
            ``(M, T, W)`` float32 tokens, and the ``(M, T)`` bool mask of those alive.
        """
        words = self.word_embeddings(prompts)
        return self._run_text(words.embeddings).float(), words.mask

    def word_embeddings(self, prompts: Sequence[str]) -> Words:
        """Return what the text tower reads: the embedding of every token, without positions.

        Args:
            prompts: M strings.

        Returns:
            ``embeddings`` ``(M, T, W)`` float32, ``end_positions`` ``(M,)``, ``mask`` ``(M, T)``.
        """
        tokens = self.tokenize(prompts)
        embeddings = self.model.text_model.embeddings.token_embedding(tokens.ids).float()
        return Words(embeddings, tokens.mask.sum(1) - 1, tokens.mask)

    def text_features_from(
        self, embeddings: torch.Tensor, end_positions: torch.Tensor
    ) -> torch.Tensor:
        """Return text features of prompts given as word embeddings, with gradient to them.

        Whatever stands behind a prompt's end cannot matter, but costs time: leave it out.

        Args:
            embeddings: ``(M, T, W)``, as of :meth:`word_embeddings`, some perhaps learned.
            end_positions: ``(M,)`` int64, where each prompt's end token stands.

        Returns:
            ``(M, D)`` float32, not normalised.

        Raises:
            ValueError: more positions than the context holds.
        """
        hidden = self._run_text(embeddings)
        ends = hidden[torch.arange(len(hidden), device=hidden.device), end_positions]
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
        """Return the features of any number of pictures.

        Args:
            images: N PIL pictures or uint8 arrays, or an ``ImageData``.
            batch_size: pictures in memory at once.

        Returns:
            ``(N, D)`` float32 on the CPU, not normalised.
        """
        return torch.cat([self.image_features(p).cpu() for p in self.batches(images, batch_size)])

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Return the features of any number of prompts.

        Args:
            prompts: M strings.
            batch_size: prompts in memory at once.

        Returns:
            ``(M, D)`` float32 on the CPU, not normalised.
        """
        chunks = [prompts[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
        bar = _bar(chunks or [prompts], "encoding prompts")
        return torch.cat([self.text_features(chunk).cpu() for chunk in bar])

    def batches(self, images: Images, batch_size: int) -> Iterator[torch.Tensor]:
        """Yield the pixels of pictures, a batch at a time, with a bar after two seconds."""
        starts = range(0, len(images), batch_size) or range(1)
        for i in _bar(starts, "encoding pictures"):
            rows = range(i, min(i + batch_size, len(images)))
            yield self.preprocess([images[row] for row in rows])


def _bar(batches: Sequence, what: str) -> tqdm:
    """Show progress after two seconds, and none of a single batch.

    In a notebook every bar, seen or not, is a dozen messages to the front end: hundreds of calls
    with a batch each overran the queue of a reader that was waiting for the cell to end.
    """
    return tqdm(batches, what, leave=False, delay=2, unit="batch", disable=len(batches) == 1)
