"""Image features of a dataset, cached on disk by image."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ..utils.cache import cache_dir, content_hash, file_signature
from ..utils.device import torch_defaults
from .backbone import ClipBackbone
from .feature_store import FeatureStore

if TYPE_CHECKING:
    from ..data import ImageData

# A change of how images are read or encoded needs another number.
VERSION = 3
DTYPES = {"features": np.float32, "tokens": np.float16}
# Stores with features that could not be written, by data set and folder: kept as long as the data
# set, of which several results are often computed.
_IN_MEMORY: WeakKeyDictionary["ImageData", dict[Path, FeatureStore]] = WeakKeyDictionary()


def cached_image_features(
    clip: ClipBackbone, data: "ImageData", batch_size: int = 64
) -> torch.Tensor:
    """Image features of a dataset, ``(N, D)`` float32 on the CPU, not normalized.

    Each image is encoded once: whatever its labels, splits and file name become, its features are
    read from the cache. An interrupted call keeps what it has encoded.

    Raises:
        ValueError: the backbone's weights have changed since loading.
        FloatingPointError: a feature is NaN or infinite; the message names the image.
        OSError: an image file cannot be read, or has changed while it was encoded.
    """
    return _open(clip, data, batch_size, "features")[range(len(data))]


def cached_image_tokens(
    clip: ClipBackbone, data: "ImageData", batch_size: int = 64
) -> torch.Tensor:
    """Class and patch token features, ``(N, 1 + P, D)`` float16 on the CPU, in memory."""
    return open_image_tokens(clip, data, batch_size)[range(len(data))]


def open_image_tokens(
    clip: ClipBackbone, data: "ImageData", batch_size: int = 64
) -> "CachedFeatures":
    """Class and patch token features of a dataset, encoded if necessary and left on disk."""
    return _open(clip, data, batch_size, "tokens")


class CachedFeatures:
    """Features on disk of N images: indexing by rows reads those, as a tensor on the CPU.

    Those that have been deleted from the cache since are encoded again.
    """

    def __init__(self, encode: Callable[..., tuple[FeatureStore, Sequence[str]]]) -> None:
        self._encode = encode
        self._store, self._keys = encode()

    def __getitem__(self, rows: Sequence[int]) -> torch.Tensor:
        try:
            return self._read(rows)
        except OSError:
            self._store, self._keys = self._encode(reuse=False)
            return self._read(rows)

    def _read(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(self._store.read([self._keys[row] for row in rows]))


def _open(
    clip: ClipBackbone, data: "ImageData", batch_size: int, kind: Literal["features", "tokens"]
) -> CachedFeatures:
    return CachedFeatures(partial(_encoded, clip, data, batch_size, kind))


def _encoded(
    clip: ClipBackbone,
    data: "ImageData",
    batch_size: int,
    kind: Literal["features", "tokens"],
    reuse: bool = True,
) -> tuple[FeatureStore, list[str]]:
    """The store with the features of a data set, and the keys of its images.

    ``reuse`` that of an earlier call, if it has features that could not be written.
    """
    if not clip.weights_unchanged:
        raise ValueError(
            f"the weights of {clip.name} have changed since loading (fine-tuning or LoRA), so "
            "cached features would be wrong; use clip.encode_images instead"
        )
    # The weights alone do not decide a feature: the config has activations and heads.
    config = clip.image_encoder.settings
    settings = (clip.loaded_checksum, config, clip.dtype, clip.device.type, clip.preprocessor.key)
    folder = cache_dir() / "features" / f"{kind}-{content_hash(VERSION, *settings)}"
    precision = str(clip.dtype).removeprefix("torch.")
    description = f"{kind} of {clip.name} ({precision}, {clip.device.type}, {clip.resize})"
    # Before the hashes, so that any later change of a file is noticed.
    signatures = [file_signature(image) if isinstance(image, Path) else () for image in data.images]
    shape = (clip.embed_dim,)
    if kind == "tokens":
        shape = (clip.image_encoder.num_cls_tokens + clip.grid_size**2, *shape)
    store = _IN_MEMORY.get(data, {}).get(folder) if reuse else None
    store = store or FeatureStore(folder, description, DTYPES[kind], shape)
    keys = data.image_keys
    rows = {key: row for row, key in enumerate(keys) if key not in store}
    if rows:
        _encode(clip, data, batch_size, kind, sorted(rows.values()), keys, signatures, store)
    if store.is_in_memory:
        _IN_MEMORY.setdefault(data, {})[folder] = store
    return store, keys


@torch_defaults()  # autocast is not in the key of the store
def _encode(
    clip: ClipBackbone,
    data: "ImageData",
    batch_size: int,
    kind: str,
    rows: Sequence[int],
    keys: Sequence[str],
    signatures: Sequence[tuple],
    store: FeatureStore,
) -> None:
    """Encode the given rows, shard by shard; after an error or Ctrl-C, what is done is kept."""
    encode = clip.image_features if kind == "features" else clip.image_token_features
    dtype, pending, done = DTYPES[kind], [], []
    try:
        for batch, encoded in clip.encode_batches(data, batch_size, encode, rows):
            features = encoded.cpu().numpy().astype(dtype)
            _raise_if_not_finite(features, data, batch, clip.dtype)
            _raise_if_changed(data, batch, signatures)
            size = store.max_images(features)
            for row, feature in zip(batch, features, strict=True):
                pending.append(feature)
                done.append(keys[row])
                if len(pending) == size:
                    store.add(done, np.stack(pending))
                    pending, done = [], []
    finally:
        if pending:
            store.add(done, np.stack(pending))


def _raise_if_changed(data: "ImageData", rows: Sequence[int], signatures: Sequence[tuple]) -> None:
    """Raise OSError if a file is no longer the one whose content hash is the key."""
    for row in rows:
        if signatures[row] and file_signature(data.images[row]) != signatures[row]:
            raise OSError(f"{data.images[row]} changed while it was encoded; start again")


def _raise_if_not_finite(
    features: np.ndarray, data: "ImageData", rows: Sequence[int], dtype: torch.dtype
) -> None:
    """Raise FloatingPointError that names the first image with a NaN or infinite feature."""
    finite = np.isfinite(features).reshape(len(features), -1).all(1)
    if not finite.all():
        row = rows[int(finite.argmin())]
        image = data.images[row]
        name = str(image) if isinstance(image, Path) else f"image {row}"
        advice = "check the backbone's weights"
        if dtype != torch.float32:
            advice = "load the backbone in higher precision, with dtype=torch.float32"
        raise FloatingPointError(f"features of {name} are NaN or infinite in {dtype}: {advice}")
