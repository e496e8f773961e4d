"""Models of open_clip (Ilharco et al., 2021) as backbones; open_clip itself is not imported.

Its models differ by version and configuration, so that what can be measured is measured: the width
of the features, the special tokens, the normalization, whether the center is cropped.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .checkpoints import OPEN_CLIP
from .encoders.siglip import pad_embeddings
from .preprocessing import Preprocessor, to_pil

if TYPE_CHECKING:
    from .backbone import ClipBackbone

MIN_COSINE = 0.999  # of the features of a prompt, here and in the model itself


class OpenClipImageEncoder(nn.Module):
    """Image encoder of any kind; patch tokens of a ``VisionTransformer`` with one projection."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.vision = vision = model.visual
        sides = vision.image_size
        sides = set(sides) if isinstance(sides, tuple | list) else {sides}
        if len(sides) > 1:
            raise ValueError(
                f"image_size = {vision.image_size}: must be a square; use another model"
            )
        self.image_size = sides.pop()
        with torch.no_grad():
            black = torch.zeros(1, 3, self.image_size, self.image_size)
            self.embed_dim = self(black.to(model.logit_scale.device)).shape[1]
        self.grid_size, self.num_cls_tokens, self.num_layers = None, 0, 0
        has_tokens = all(hasattr(vision, name) for name in ("forward_intermediates", "ln_post"))
        if has_tokens and vision.attn_pool is None and vision.proj is not None:
            self.grid_size = vision.grid_size[0]
            self.num_cls_tokens = int(vision.pool_type == "tok")
            self.num_layers = len(vision.transformer.resblocks)
        blocks = getattr(getattr(vision, "transformer", None), "resblocks", [])
        # Attention of torch is no choice: peft's LoRA for it rounds the weights at each step.
        self.lora_target_modules = r".*\.mlp\.(c_fc|c_proj)" if blocks else None
        self.settings = _settings(vision)

    def forward(self, pixels: Tensor) -> Tensor:
        """Image features, ``(N, D)``, of ``(N, 3, S, S)`` pixels."""
        features = self.vision(pixels.to(next(self.vision.parameters()).dtype))
        return features[0] if isinstance(features, tuple) else features  # with output_tokens=True

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class and patch token features, ``(N, 1 + P, D)``; see :attr:`num_cls_tokens`."""
        output = self.vision.forward_intermediates(
            pixels.to(next(self.vision.parameters()).dtype),
            indices=1,
            normalize_intermediates=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        prefix = output["image_intermediates_prefix"][-1][:, : self.num_cls_tokens]
        return torch.cat([prefix, output["image_intermediates"][-1]], 1) @ self.vision.proj


class OpenClipTextEncoder(nn.Module):
    """Text transformer of ``CLIP`` or ``CustomTextCLIP``, on token embeddings.

    Where attention is causal and the feature is that of the EOS token, padding has no effect;
    otherwise prompts are padded to the whole context, as their tokenizer does.
    """

    def __init__(self, model: nn.Module, tokenizer: "OpenClipTokenizer") -> None:
        super().__init__()
        text = getattr(model, "text", model)
        self.token_embedding, self.ln_final = text.token_embedding, text.ln_final
        self.transformer, self.text_projection = text.transformer, text.text_projection
        self.positional_embedding, self.settings = text.positional_embedding, _settings(text)
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self.width, self.context_length = text.ln_final.normalized_shape[0], text.context_length
        self.pad_token_id, pool_type = tokenizer.pad_token_id, _pool_type(text)
        self.pools_last = pool_type == "last"
        self.pads = self.pools_last or self.attn_mask is None

    @property
    def projection_weight(self) -> Tensor:
        """Matrix of the projection, ``(D, W)``."""
        linear = isinstance(self.text_projection, nn.Linear)
        return self.text_projection.weight if linear else self.text_projection.T

    def _encode(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        if self.pads:
            padding = self.token_embedding.weight[self.pad_token_id]
            embeddings = pad_embeddings(embeddings, eos_positions, padding, self.context_length)
        length, dtype = embeddings.shape[1], self.transformer.get_cast_dtype()
        hidden = embeddings.to(dtype) + self.positional_embedding[:length].to(dtype)
        mask = None if self.attn_mask is None else self.attn_mask[:length, :length]
        # Older versions take the positions first, and have no such attribute.
        if hasattr(self.transformer, "batch_first"):
            hidden = self.transformer(hidden, attn_mask=mask)
        else:
            hidden = self.transformer(hidden.transpose(0, 1), attn_mask=mask).transpose(0, 1)
        return self.ln_final(hidden)

    def tokens(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Token features, ``(M, T, W)``, after the final layer norm, not projected."""
        return self._encode(embeddings, eos_positions)[:, : embeddings.shape[1]]

    def forward(self, embeddings: Tensor, eos_positions: Tensor) -> Tensor:
        """Projected features, ``(M, D)``, of the EOS tokens, or of the last positions."""
        hidden = self._encode(embeddings, eos_positions)
        rows = torch.arange(len(hidden), device=hidden.device)
        hidden = hidden[:, -1] if self.pools_last else hidden[rows, eos_positions]
        return F.linear(hidden, self.projection_weight, getattr(self.text_projection, "bias", None))


class OpaqueTextEncoder(nn.Module):
    """Text encoder that takes token ids only, such as one of transformers inside open_clip."""

    token_embedding = width = None

    def __init__(self, model: nn.Module, tokenizer: "OpenClipTokenizer") -> None:
        super().__init__()
        self.text, self._encode = model.text, model.encode_text
        self.settings = _settings(model.text)
        self.context_length, self.pad_token_id = tokenizer.context_length, tokenizer.pad_token_id

    def encode_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features ``(M, D)`` of ``(M, T)`` token ids."""
        ids = ids.where(mask, torch.full_like(ids, self.pad_token_id))
        missing = (0, self.context_length - ids.shape[1])
        return self._encode(F.pad(ids, missing, value=self.pad_token_id))


class OpenClipTokenizer:
    """Tokenizer of open_clip with the interface of transformers, without padding or truncation.

    Args:
        tokenizer: maps N texts and ``context_length`` to ``(N, context_length)`` ids.
        context_length: of the model.
    """

    def __init__(self, tokenizer: Callable[..., Tensor], context_length: int) -> None:
        self.tokenizer, self.context_length = tokenizer, context_length
        self.pad_token_id = self._rows([""])[0][-1]
        empty, word = (self._strip(row) for row in self._rows(["", "a"]))
        num_start = next((k for k, id_ in enumerate(empty) if word[k] != id_), len(empty))
        # SigLIP's EOS token is its padding; that of others may have been replaced by padding.
        self.ends_with_padding = num_start == len(empty)
        self.eos_token_id = self.pad_token_id if self.ends_with_padding else empty[-1]

    def _rows(self, prompts: Sequence[str]) -> list[list[int]]:
        # Longer than the context, so that a prompt that is too long is noticed.
        return self.tokenizer(list(prompts), context_length=4 * self.context_length).tolist()

    def _strip(self, row: list[int]) -> list[int]:
        while row and row[-1] == self.pad_token_id:
            row = row[:-1]
        return row

    def __call__(self, prompts: Sequence[str], **_: object) -> dict[str, list[list[int]]]:
        """Token ids of each prompt, with start and EOS token."""
        end = [self.pad_token_id] if self.ends_with_padding else []
        return {"input_ids": [self._strip(row) + end for row in self._rows(prompts)]}


class OpenClipPreprocessor(Preprocessor):
    """A transform of open_clip as it is, from PIL images to pixels.

    Args:
        transform: the one for evaluation, which is not random.
        image_size: of the model.
    """

    def __init__(self, transform: Callable[[Image.Image], Tensor], image_size: int) -> None:
        self._transform, self.image_size, self.resize = transform, image_size, "crop"
        self.min_side = 2 * image_size
        noise = np.random.default_rng(0).integers(0, 256, (image_size + 1, 2 * image_size, 3))
        noise = Image.fromarray(noise.astype(np.uint8))
        pixels = self.resize_image(noise)
        if pixels.shape != (3, image_size, image_size):
            raise ValueError(
                f"preprocess: returns pixels of shape {pixels.shape}, but the model takes "
                f"(3, {image_size}, {image_size})"
            )
        if not np.array_equal(pixels, self.resize_image(noise)):
            raise ValueError(
                "preprocess: is random; pass the transform for evaluation, the last one that "
                "open_clip.create_model_and_transforms returns"
            )
        self.key = hashlib.blake2b(pixels.tobytes()).hexdigest()[:32]
        square = (image_size, image_size)
        black, white = (self.resize_image(Image.new("RGB", square, c))[:, :1, :1] for c in
                        ("black", "white"))  # fmt: skip
        self._shift, self._factor = torch.from_numpy(black), torch.from_numpy((white - black) / 255)
        left = Image.new("RGB", (2 * image_size, image_size))
        left.paste("white", (0, 0, image_size // 2 - 1, image_size))
        self._crops = np.allclose(self.resize_image(left), black, atol=1e-3)

    def resize_steps(self) -> None:
        """None: a transform is a function."""

    def resize_image(self, image: Image.Image | np.ndarray, index: int = 0) -> np.ndarray:
        """Pixels ``(3, image_size, image_size)`` float32 of an image."""
        return self._transform(to_pil(image, index)).numpy()

    def normalize(self, resized: Sequence[np.ndarray], device: torch.device | str) -> Tensor:
        """Pixels for the image encoder of N arrays from :meth:`resize_image`."""
        return torch.from_numpy(np.stack(resized)).to(device)


def _text_encoder(
    model: nn.Module, tokenizer: Callable[..., Tensor]
) -> tuple[nn.Module, OpenClipTokenizer]:
    text = getattr(model, "text", model)
    context_length = getattr(model, "context_length", None) or text.context_length
    wrapped = OpenClipTokenizer(tokenizer, context_length)
    learnable = all(hasattr(text, n) for n in ("token_embedding", "ln_final", "attn_mask"))
    learnable = learnable and _pool_type(text) in ("argmax", "eos", "last")
    # CoCa's class token, and masks that depend on the ids.
    learnable = learnable and getattr(text, "cls_emb", None) is None
    learnable = learnable and not getattr(text, "use_pad_mask", False)
    return (OpenClipTextEncoder if learnable else OpaqueTextEncoder)(model, wrapped), wrapped


def wrap(
    cls: type["ClipBackbone"],
    model: nn.Module,
    preprocess: Callable[[Image.Image], Tensor],
    tokenizer: Callable[..., Tensor],
    name: str,
) -> "ClipBackbone":
    """Backbone of a model; see :meth:`~.backbone.ClipBackbone.from_open_clip`."""
    for attribute in ("visual", "encode_image", "encode_text", "logit_scale"):
        if not hasattr(model, attribute):
            raise TypeError(f"model = {type(model).__name__}: is not of open_clip: no {attribute}")
    model.eval().requires_grad_(False)
    image_encoder = OpenClipImageEncoder(model)
    text_encoder, wrapped = _text_encoder(model, tokenizer)
    preprocessor = OpenClipPreprocessor(preprocess, image_encoder.image_size)
    scale, bias = model.logit_scale.exp().item(), getattr(model, "logit_bias", None)
    encoders, bias = (image_encoder, text_encoder), 0.0 if bias is None else bias.item()
    clip = cls(OPEN_CLIP + name, None, model, encoders, wrapped, preprocessor, scale, bias)
    _check_text_features(clip, tokenizer)
    return clip


def _check_text_features(clip: "ClipBackbone", tokenizer: Callable[..., Tensor]) -> None:
    """Raise ValueError if text features differ from those of the model itself."""
    prompts = ["a photo of a cat", "seven"]
    with torch.no_grad():
        ids = tokenizer(prompts, context_length=clip.context_length).to(clip.device)
        expected, ours = clip.model.encode_text(ids).float(), clip.text_features(prompts)
    if F.cosine_similarity(ours, expected).min() < MIN_COSINE:
        raise ValueError(
            f"{clip.name}: text features differ from those of the model; its text encoder "
            f"({type(getattr(clip.model, 'text', clip.model)).__name__}) is not supported"
        )


def _pool_type(text: nn.Module) -> str:
    return getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))


def _settings(module: nn.Module) -> list[tuple]:
    """Sizes, numbers of heads, activations and the like: whatever is no tensor."""
    simple = (int, float, str, tuple, type(None))
    return [
        (name, type(layer).__name__, key, value)
        for name, layer in module.named_modules()
        for key, value in sorted(vars(layer).items())
        if isinstance(value, simple) and key != "training" and not key.startswith("_")
    ]
