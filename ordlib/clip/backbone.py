"""Frozen CLIP: image and text features, token features, and a text encoder for learned prompts."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..utils.cache import content_hash
from ..utils.threads import NUM_THREADS, prefetch
from .checkpoints import hash_weights
from .checksum import checksum
from .preprocessing import Preprocessor, Resize
from .settings_hash import hash_settings
from .text import PromptEmbeddings, TokenizedPrompts, tokenize

if TYPE_CHECKING:
    from ..data import ImageData

Images = Sequence[Image.Image | np.ndarray]
# Batches are filled up to a multiple: matrix products of other numbers of rows round differently on
# a CPU, and an image's features would depend on how many others are encoded with it.
BATCH_MULTIPLE = 8
# A warning follows where the crop leaves out this fraction of this share of the images.
UNSEEN_FRACTION, UNSEEN_SHARE = 0.2, 0.1


class ClipBackbone:
    """Frozen CLIP (Radford et al., 2021): image/text features, token features, learned prompts.

    :meth:`encode_images` and :meth:`encode_text` take any number of inputs, without gradients, and
    return to the CPU. The other methods take one batch, with gradients, on the device. Features
    are float32 and not normalized. Shapes: N images, M prompts, T tokens, P patches.

    Attributes:
        name: argument of :func:`load_clip`.
        folder: checkpoint folder; None for a model of open_clip.
        model: model of transformers or open_clip, frozen and in eval mode.
        image_encoder, text_encoder: its two encoders (``ordlib.clip.encoders``).
        tokenizer: transformers tokenizer.
        preprocessor: image preprocessing.
        embed_dim: D, dimension of the joint embedding space.
        text_width: W, width of the text encoder.
        image_size: input size in pixels.
        grid_size: patches per side; P is its square.
        context_length: maximum number of tokens of a prompt, including start and end.
        num_start_tokens: 1 if prompts begin with a start token, 0 for SigLIP.
        logit_scale: factor of cosine similarities, about 100 for OpenAI's models.
        logit_bias: SigLIP's, added to the scaled cosines before a sigmoid; 0 for CLIP. The methods
            here take the softmax over ranks, which does not depend on it.
        loaded_checksum: hash of the weights in memory when they were loaded.

    References:
        Radford et al. (2021), Learning Transferable Visual Models From Natural Language
        Supervision, arXiv:2103.00020. Zhai et al. (2023), Sigmoid loss for language image
        pre-training, arXiv:2303.15343. Tschannen et al. (2025), SigLIP 2, arXiv:2502.14786.
    """

    def __init__(
        self,
        name: str,
        folder: Path | None,
        model: nn.Module,
        encoders: tuple[nn.Module, nn.Module],
        tokenizer: PreTrainedTokenizerBase,
        preprocessor: Preprocessor,
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> None:
        self.name, self.folder, self.tokenizer = name, folder, tokenizer
        self.model = model.eval().requires_grad_(False)
        self.image_encoder, self.text_encoder = encoders
        self.preprocessor = preprocessor
        self.embed_dim, self.text_width = self.image_encoder.embed_dim, self.text_encoder.width
        self.image_size, self.grid_size = (
            self.image_encoder.image_size,
            self.image_encoder.grid_size,
        )
        self.context_length = self.text_encoder.context_length
        self.num_start_tokens = tokenize(tokenizer, [""], self.context_length).ids.shape[1] - 1
        self.logit_scale, self.logit_bias = logit_scale, logit_bias
        self.loaded_checksum = checksum(self.model)
        self._warned_of_crop = False

    @classmethod
    def from_open_clip(
        cls,
        model: nn.Module,
        preprocess: Callable[[Image.Image], torch.Tensor],
        tokenizer: Callable[..., torch.Tensor],
        name: str,
    ) -> Self:
        """Wrap a model of open_clip, which is frozen in place; nothing of it is loaded or saved.

        ZeroShot, LinearProbe, CORN and FineTuned run on every model; methods that learn prompts on
        those with open_clip's own text transformer; the ranking adapter on its vision transformers.
        What a model cannot do raises ValueError. A component that was trained on a model loads onto
        the same weights in the same precision.

        Args:
            model, preprocess: as from ``open_clip.create_model_from_pretrained``.
            tokenizer: as from ``open_clip.get_tokenizer``.
            name: of the model, for messages and configs.

        Raises:
            TypeError: not a model of open_clip.
            ValueError: random preprocessing, pixels of another size, or a text encoder that this
                version of ordlib does not reproduce.

        References:
            Ilharco et al. (2021), OpenCLIP, https://github.com/mlfoundations/open_clip.

        Example:
            >>> model, preprocess = open_clip.create_model_from_pretrained(
            ...     "ViT-B-32", "laion2b_s34b_b79k")  # doctest: +SKIP
            >>> tokenizer = open_clip.get_tokenizer("ViT-B-32")  # doctest: +SKIP
            >>> clip = ClipBackbone.from_open_clip(
            ...     model, preprocess, tokenizer, "ViT-B-32")  # doctest: +SKIP
        """
        from .open_clip import wrap

        return wrap(cls, model, preprocess, tokenizer, name)

    def __repr__(self) -> str:
        grid = f"{self.grid_size}x{self.grid_size}" if self.grid_size else "no"
        return (
            f"ClipBackbone({self.name!r}, {self.image_size} pixels, {grid} patches, "
            f"width {self.embed_dim}, {self.dtype} on {self.device})"
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
        """SHA-256 of the checkpoint's weights; of open_clip's models, of those in memory."""
        if self.folder is None:
            return content_hash(self.loaded_checksum)
        return hash_weights(self.folder)

    @cached_property
    def settings_hash(self) -> str:
        """Hash of what decides features beside the weights; see ``settings_hash.py``."""
        return hash_settings(self)

    @property
    def resize(self) -> Resize:
        """How an image becomes a square: "crop", "squash", "pad" or "squash_crop"."""
        return self.preprocessor.resize

    @property
    def weights_unchanged(self) -> bool:
        """Whether the weights equal those that were loaded: no fine-tuning, no LoRA, no edit."""
        return checksum(self.model) == self.loaded_checksum

    def preprocess(self, images: Images) -> torch.Tensor:
        """Pixels ``(N, 3, image_size, image_size)`` float32; see :class:`Preprocessor`."""
        return self.preprocessor(images, self.device)

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected image features, ``(N, D)``, of pixels from :meth:`preprocess`."""
        return self.image_encoder(pixels).float()

    def image_token_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class and patch token features, ``(N, 1 + P, D)``, patches in row-major order.

        After the final layer norm and the projection; ``[:, 0]`` equals :meth:`image_features`.
        SigLIP has neither class token nor projection: ``(N, P, D)``, before the pooling.
        """
        return self.image_encoder.tokens(pixels).float()

    def tokenize(self, prompts: Sequence[str]) -> TokenizedPrompts:
        """Token ids and mask, each ``(M, T)``; ValueError for a prompt that is too long."""
        tokens = tokenize(self.tokenizer, prompts, self.context_length)
        return TokenizedPrompts(*(part.to(self.device) for part in tokens))

    def text_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """Projected text features, ``(M, D)``."""
        if self.text_encoder.token_embedding is None:
            return self.text_encoder.encode_ids(*self.tokenize(prompts)).float()
        embedded = self.token_embeddings(prompts)
        return self.encode_text_embeddings(embedded.embeddings, embedded.eos_positions)

    def text_token_features(
        self, prompts: Sequence[str], all_positions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Text token features, ``(M, T, W)``, not projected, and their ``(M, T)`` bool mask.

        With ``all_positions``, T is the context length; behind the EOS token are padding tokens: of
        id 0, as in open_clip, or those of SigLIP.
        """
        self.check_token_embeddings()
        ids, mask = self.tokenize(prompts)
        if all_positions:
            missing = (0, self.context_length - ids.shape[1])
            ids, mask = F.pad(ids * mask, missing), F.pad(mask, missing)
        embeddings = self.text_encoder.token_embedding(ids).float()
        return self.text_encoder.tokens(embeddings, mask.sum(1) - 1).float(), mask

    def token_embeddings(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """Token embeddings of prompts, without positional embeddings.

        Raises:
            ValueError: the text encoder takes token ids only.
        """
        self.check_token_embeddings()
        tokens = self.tokenize(prompts)
        embeddings = self.text_encoder.token_embedding(tokens.ids).float()
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
        self._check_length(embeddings)
        return self.text_encoder(embeddings, eos_positions).float()

    def check_token_embeddings(self) -> None:
        """Raise ValueError if the text encoder takes token ids only."""
        if self.text_encoder.token_embedding is None:
            raise ValueError(
                f"{self.name}: its text encoder ({type(self.text_encoder.text).__name__}) takes "
                "token ids only, so prompts cannot be learned, nor can the ranking adapter use its "
                "tokens; use ZeroShot, LinearProbe, CORN or FineTuned, or another backbone"
            )

    def _check_length(self, embeddings: torch.Tensor) -> None:
        if embeddings.shape[1] > self.context_length:
            raise ValueError(
                f"the prompts take {embeddings.shape[1]} positions; the context of {self.name} "
                f"holds {self.context_length}"
            )

    @torch.no_grad()
    def encode_images(self, images: "Images | ImageData", batch_size: int = 64) -> torch.Tensor:
        """Image features, ``(N, D)`` on the CPU, of any number of images or an ``ImageData``."""
        batches = self.encode_batches(images, batch_size, self.image_features)
        return torch.cat([features.cpu() for _, features in batches])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Text features, ``(M, D)`` on the CPU, of any number of prompts."""
        batches = [prompts[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
        bar = _progress_bar(batches or [prompts], "encoding prompts")
        return torch.cat([self.text_features(batch).cpu() for batch in bar])

    @torch.no_grad()
    def encode_batches(
        self,
        images: "Images | ImageData",
        batch_size: int,
        encode: Callable[[torch.Tensor], torch.Tensor],
        rows: Sequence[int] | None = None,
    ) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        """Rows and features of each batch, in order, with a progress bar after two seconds.

        The next batch is read while one is encoded. Warns at the end if the center crop left out
        much of many images; once per backbone, since a folder is encoded in chunks.

        Args:
            images: N images.
            batch_size: maximum number of images per batch.
            encode: :meth:`image_features` or :meth:`image_token_features`.
            rows: indices of the images to encode; None takes all.
        """
        rows = range(len(images)) if rows is None else rows
        batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)] or [rows]
        unseen: list[float] = []
        loaded = prefetch(partial(self._read_batch, images, unseen=unseen), batches)
        for batch, pixels in zip(_progress_bar(batches, "encoding images"), loaded, strict=True):
            missing = -len(batch) % BATCH_MULTIPLE
            filled = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
            yield batch, encode(filled)[: len(batch)]
        self._warn_of_crop(unseen)

    def load_pixels(self, images: "Images | ImageData", rows: Sequence[int]) -> torch.Tensor:
        """Pixels like those of :meth:`preprocess`, of the given rows; files are read in threads."""
        return self._read_batch(images, rows, unseen=[])

    def _read_batch(self, images: Images, rows: Sequence[int], unseen: list) -> torch.Tensor:
        read = partial(self._read, images)
        if len(rows) > 1 and getattr(images, "is_on_disk", False):
            with ThreadPoolExecutor(NUM_THREADS) as pool:
                results = list(pool.map(read, rows))
        else:
            results = [read(row) for row in rows]
        if not results:
            raise ValueError("images = []: no images to encode")
        resized, fractions = zip(*results, strict=True)
        unseen += fractions
        return self.preprocessor.normalize(resized, self.device)

    def _read(self, images: Images, row: int) -> tuple[np.ndarray, float]:
        """Resize each image as soon as it is read, so that memory never holds a batch of them."""
        load = getattr(images, "load", None)
        image = load(row, self.preprocessor.min_side) if load else images[row]
        size = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
        return self.preprocessor.resize_image(image, row), self.preprocessor.unseen_fraction(*size)

    def _warn_of_crop(self, unseen: Sequence[float]) -> None:
        cropped = sum(fraction > UNSEEN_FRACTION for fraction in unseen)
        if cropped > UNSEEN_SHARE * len(unseen) and not self._warned_of_crop:
            self._warned_of_crop = True
            warnings.warn(
                f"CLIP's center crop leaves out {np.mean(unseen):.0%} of the area of {len(unseen)} "
                f"images on average, at most {max(unseen):.0%}; load_clip(..., resize='pad') or "
                "'squash' shows all of each image",
                stacklevel=3,
            )


def _progress_bar(batches: Sequence, description: str) -> tqdm:
    # None for a single batch: in a notebook even an invisible bar sends a dozen messages, and
    # hundreds of such calls overran the message queue.
    disable = len(batches) == 1
    return tqdm(batches, description, leave=False, delay=2, unit="batch", disable=disable)
