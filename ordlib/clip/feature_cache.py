"""Image features of a dataset, cached on disk."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..utils.cache import atomic_write, cache_dir, content_hash
from . import ClipBackbone

if TYPE_CHECKING:
    from ..data import ImageData


def cached_image_features(
    clip: ClipBackbone, data: "ImageData", batch_size: int = 64
) -> torch.Tensor:
    """Image features of a dataset, ``(N, D)`` float32 on the CPU, not normalized.

    Raises:
        ValueError: the backbone's weights have changed since loading.
        FloatingPointError: a feature is NaN or infinite; the message names the image.
    """
    return _cached(clip, data, batch_size, "image", clip.image_features, torch.float32)


def cached_image_tokens(
    clip: ClipBackbone, data: "ImageData", batch_size: int = 64
) -> torch.Tensor:
    """Class and patch token features, ``(N, 1 + P, D)`` float16 on the CPU."""
    return _cached(clip, data, batch_size, "visual", clip.image_token_features, torch.float16)


def _cached(
    clip: ClipBackbone,
    data: "ImageData",
    batch_size: int,
    kind: str,
    encode: Callable[[torch.Tensor], torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    if not clip.weights_unchanged:
        raise ValueError(
            f"the weights of {clip.name} have changed since loading (fine-tuning or LoRA), so "
            "cached features would be wrong; use clip.encode_images instead"
        )
    # The weights alone do not decide a feature: config.json has activations and heads.
    config = (clip.folder / "config.json").read_bytes()
    setting = (clip.dtype, clip.device.type, clip.preprocessor.key, config)
    key = content_hash(kind, clip.weights_hash, data.fingerprint, len(data), *setting)
    path = cache_dir() / "features" / f"{kind}-{key}.safetensors"
    with suppress(FileNotFoundError, SafetensorError):
        return load_file(path)["features"]
    # One tensor is filled batch by batch, so that memory never holds the data twice.
    features, done = None, 0
    with torch.no_grad():
        for pixels in clip.batches(data, batch_size):
            batch = encode(pixels)
            if features is None:
                features = torch.empty(len(data), *batch.shape[1:], dtype=dtype)
            batch = batch.to("cpu", dtype)
            _raise_if_not_finite(batch, data, done, clip.dtype)
            features[done : done + len(batch)] = batch
            done += len(batch)
    try:
        with atomic_write(path) as temporary:
            save_file({"features": features}, temporary)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"cannot cache the features in {path}: {error}", stacklevel=3)
    return features


def _raise_if_not_finite(
    features: torch.Tensor, data: "ImageData", start: int, dtype: torch.dtype
) -> None:
    """Raise FloatingPointError that names the first image with a NaN or infinite feature."""
    finite = features.flatten(1).isfinite().all(1)
    if not finite.all():
        row = start + int(finite.int().argmin())
        image = data.images[row]
        name = str(image) if isinstance(image, Path) else f"image {row}"
        advice = "check the backbone's weights"
        if dtype != torch.float32:
            advice = "load the backbone in higher precision, with dtype=torch.float32"
        raise FloatingPointError(f"features of {name} are NaN or infinite in {dtype}: {advice}")
