"""Cost of the methods: trained parameters, seconds and memory of training, speed of prediction.

``ordlib results make cost`` writes the results table that notebook 05 shows. Everything runs on
one CPU thread, or on the GPU if there is one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.benchmark import set_torch_threads

from ordlib.clip import ClipBackbone, feature_cache, load_clip
from ordlib.data import ImageData
from ordlib.experiments.synthetic_data import load_data
from ordlib.methods.base import TrainableModule
from ordlib.methods.predictor import Predictor
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.training.config import TrainingConfig
from ordlib.training.fit import fit
from ordlib.utils.device import device_description

from ..experiment import BACKBONE, train_method
from ..grid import FROZEN, LORA_CONFIGS, METHODS_IN_TABLE, TRAINED
from ..ranking_table import SINGLE_TASK
from ..train_adapter import CONFIG as ADAPTER_CONFIG
from .tools import median_seconds, peak_memory

TASK = "counting"
THREADS = 1
BATCH_SIZE = 256
# Predictions one by one, of so many images.
NUM_SINGLE = 64

Train = Callable[[ImageData, ImageData, TrainingConfig], Predictor]


def make(table: str) -> dict:
    """Compute the results table; also record the load of the machine, which should be idle."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    clip = load_clip(BACKBONE)
    train, val = (load_data(TASK, split, clip.image_size) for split in ("train", "val"))
    return {
        "description": f"Cost of the methods on {TASK}: {len(train):,} training images, trained as "
        f"for the table methods (the ranking adapter in {ADAPTER_CONFIG.epochs} epochs of batches "
        f"of {ADAPTER_CONFIG.batch_size}). Frozen image features are cached before training. "
        "Prediction includes resizing, the image encoder and the text encoder, from decoded images "
        f"in memory, {BATCH_SIZE} at a time and one by one.",
        "load_average": load,
        "backbone": BACKBONE,
        "records": records(clip, train, val),
    }


def records(clip: ClipBackbone, train: ImageData, val: ImageData) -> list[dict]:
    """Return one record per method and image encoder."""
    rows = []
    with set_torch_threads(THREADS):
        for method, encoder, config, train_model in _entries(clip):
            row = {"method": method, "task": TASK, "image_encoder": encoder}
            rows.append(row | _measure(train_model, config, train, val, clip))
    return rows


def _entries(clip: ClipBackbone) -> Iterator[tuple[str, str, TrainingConfig, Train]]:
    """Yield method, image encoder, config and training function of each row."""
    for label, (method, options) in METHODS_IN_TABLE.items():
        if not label.startswith("L2RCLIP ("):  # as many steps and parameters as in two stages
            yield label, "frozen", FROZEN, partial(_train, clip, method, options)
    for label in TRAINED:
        method, options = METHODS_IN_TABLE[label]
        tuned = options | {"image_encoder": "lora"}
        yield label, "lora", LORA_CONFIGS[label], partial(_train, clip, method, tuned)
    yield SINGLE_TASK, "frozen", ADAPTER_CONFIG, partial(_train_adapter, clip)


def _train(
    clip: ClipBackbone, method: str, options: dict, train: ImageData, val: ImageData,
    config: TrainingConfig,
) -> Predictor:  # fmt: skip
    return train_method(method, clip, train, val, config, **options)[0]


def _train_adapter(
    clip: ClipBackbone, train: ImageData, val: ImageData, config: TrainingConfig
) -> Predictor:
    model = RankingAdapter(clip, train.task)
    fit(model, train, val, config, calibration=None, progress=False)
    return model


def _measure(
    train_model: Train, config: TrainingConfig, train: ImageData, val: ImageData, clip: ClipBackbone
) -> dict:
    # An epoch of few images first: imports, and features to be cached, are not training.
    prompt_epochs = min(config.prompt_epochs, 1)
    warmup = replace(config, epochs=prompt_epochs + 1, prompt_epochs=prompt_epochs)
    train_model(train.subset(range(64)), val, warmup)
    models: list[Predictor] = []
    run = partial(_append_trained, models, train_model, train, val, config)
    mib, seconds = peak_memory(lambda: median_seconds({"train": run}, 1, warmup=False)["train"])
    model = models[0]
    return {
        "num_parameters": _num_parameters(model),
        "bytes": _saved_bytes(model),
        "epochs": config.epochs,
        "train_seconds": round(seconds, 3),
        "train_peak_mib": None if isnan(mib) else round(mib, 1),
        **_images_per_second(model, val),
        "device": device_description(clip.device),
        "threads": THREADS if clip.device.type == "cpu" else None,
    }


def _append_trained(models: list[Predictor], train_model: Train, *data: object) -> None:
    models.append(train_model(*data))


def _num_parameters(model: Predictor) -> int:
    if isinstance(model, TrainableModule):
        return sum(tensor.numel() for tensor in model.trainable_state_dict().values())
    regressor = getattr(model, "_regressor", None)  # of the linear probe
    return 0 if regressor is None else regressor[-1].coef_.size + 1


def _saved_bytes(model: Predictor) -> int | None:
    """Size of the weights file; None for methods that save nothing."""
    if not isinstance(model, TrainableModule):
        return None
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return Path(folder, "model.safetensors").stat().st_size


def _images_per_second(model: Predictor, data: ImageData, repeats: int = 5) -> dict[str, float]:
    """Return the speed of prediction without cached features, one by one and in batches."""
    batch = data.subset([row % len(data) for row in range(BATCH_SIZE)])
    singles = [data.subset([row % len(data)]) for row in range(NUM_SINGLE)]
    functions = {1: lambda: [model.predict(part) for part in singles]}
    functions |= {BATCH_SIZE: lambda: model.predict(batch)}
    with _without_feature_cache():
        seconds = median_seconds(functions, repeats)
    counts = {1: NUM_SINGLE, BATCH_SIZE: BATCH_SIZE}
    return {
        f"images_per_second_{size}": round(counts[size] / seconds[size], 1) for size in functions
    }


@contextmanager
def _without_feature_cache() -> Iterator[None]:
    """Encode images whenever a model asks for their features."""

    @torch.no_grad()
    def encode(clip: ClipBackbone, data: ImageData, batch_size: int, kind: str) -> Tensor:
        encode = clip.image_features if kind == "features" else clip.image_token_features
        return encode(clip.load_pixels(data, range(len(data)))).cpu()

    with patch.object(feature_cache, "_open", encode):
        yield
