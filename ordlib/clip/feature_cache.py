"""Features of a data set, encoded once and then read from disk."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..utils.cache import cache_dir, digest, replacing
from . import ClipBackbone

if TYPE_CHECKING:
    from ..data import ImageData


def image_features(clip: ClipBackbone, data: "ImageData", batch_size: int = 64) -> torch.Tensor:
    """Return the picture features of a data set, from the disk cache where it holds them.

    Args:
        clip: the backbone, as it was loaded.
        data: N pictures.
        batch_size: pictures in memory at once.

    Returns:
        ``(N, D)`` float32 on the CPU, not normalised.

    Raises:
        ValueError: the backbone's weights were changed since it was loaded.
    """
    return _cached(clip, data, batch_size, "image", clip.image_features, torch.float32)


def visual_tokens(clip: ClipBackbone, data: "ImageData", batch_size: int = 64) -> torch.Tensor:
    """Return class and patch tokens of a data set, from the disk cache where it holds them.

    There are many of them, so they are kept in half precision; call ``.float()`` on a batch.

    Args:
        clip: the backbone, as it was loaded.
        data: N pictures.
        batch_size: pictures in memory at once.

    Returns:
        ``(N, 1 + P, D)`` float16 on the CPU, the class token first.

    Raises:
        ValueError: the backbone's weights were changed since it was loaded.
    """
    return _cached(clip, data, batch_size, "visual", clip.visual_tokens, torch.float16)


def _cached(
    clip: ClipBackbone,
    data: "ImageData",
    batch_size: int,
    kind: str,
    encode: Callable[[torch.Tensor], torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    if not clip.is_as_loaded:
        raise ValueError(
            f"the weights of {clip.name} were changed after loading (tuned, or LoRA put in), and "
            "cached features would be those of other weights: use clip.encode_images instead"
        )
    setting = (clip.dtype, clip.device.type, clip.preprocessor.key)
    key = digest(kind, clip.weights_hash, data.key, len(data), *setting)
    path = cache_dir() / "features" / f"{kind}-{key}.safetensors"
    try:
        return load_file(path)["features"]
    except (FileNotFoundError, SafetensorError):
        features = _encode(clip, data, batch_size, encode, dtype)
    try:
        with replacing(path) as temporary:
            save_file({"features": features}, temporary)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"the features could not be kept in {path}: {error}", stacklevel=3)
    return features


@torch.no_grad()
def _encode(
    clip: ClipBackbone,
    data: "ImageData",
    batch_size: int,
    encode: Callable[[torch.Tensor], torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Fill one result tensor batch by batch: twice the data never lies in memory."""
    result, done = None, 0
    for pixels in clip.batches(data, batch_size):
        batch = encode(pixels)
        if result is None:
            result = torch.empty(len(data), *batch.shape[1:], dtype=dtype)
        result[done : done + len(batch)] = batch.to("cpu", dtype)
        done += len(batch)
    return result
