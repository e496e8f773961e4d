"""Evaluate a pico-clip: zero-shot and linear-probe counting metrics."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from ...clip import ClipBackbone, load_clip
from ...clip.feature_cache import cached_image_features
from ...data import ImageData
from ...methods.linear_probe import LinearProbe
from ...methods.zero_shot import ZeroShot
from ...metrics import mae, spearman
from ...synthetic.rendering import SPLIT_SIZES
from ...tasks import OrdinalTask
from ...utils.cache import atomic_write
from ..synthetic_data import load_data

NUM_EVAL_IMAGES = 5000
# The templates without the color.
TEMPLATES = (0, 1, 2)
OBJECT_COLUMN = {"object": "plural"}


def eval_images(
    num_images: int = NUM_EVAL_IMAGES, image_size: int = 96, num_workers: int | None = None
) -> ImageData:
    """Return counting images outside all splits: those that follow the 400 of "val"."""
    start = SPLIT_SIZES["val"]
    data = load_data("counting", "val", image_size, start + num_images, num_workers)
    return data.subset(range(start, start + num_images), "eval")


def evaluate_counting(clip: ClipBackbone, data: ImageData, train: ImageData) -> dict[str, float]:
    """Evaluate counting, zero-shot and with a linear probe.

    Zero-shot prompts contain the object of the image, always in the plural (grammatical number
    would reveal n = 1), and no color; text features are averaged over templates. The class-agnostic
    prompts are averaged over all objects as well. The probe is fitted to ``train``.

    Returns:
        ``object_top1`` and ``color_top1`` accuracy over all names; ``bin_accuracy`` over the five
        bins; ``count_accuracy`` of the most likely rank on images of 2 to 20 objects;
        ``count_mae`` (objects) and ``count_spearman`` of the expected value; the last four with
        prefix ``class_agnostic_``; ``probe_mae`` and ``probe_spearman`` of ridge regression on
        image features.
    """
    probe = LinearProbe(lambda images: cached_image_features(clip, images).numpy(), data.task)
    y_probe = probe.fit(train).predict(data).value
    class_agnostic = _zero_shot_metrics(clip, data, {})
    metrics = {
        "object_top1": object_top1(clip, data),
        "color_top1": color_top1(clip, data),
        **_zero_shot_metrics(clip, data, OBJECT_COLUMN),
        **{f"class_agnostic_{name}": value for name, value in class_agnostic.items()},
        "probe_mae": mae(data.values, y_probe),
        "probe_spearman": spearman(data.values, y_probe),
    }
    return {name: round(float(value), 4) for name, value in metrics.items()}


def object_top1(clip: ClipBackbone, data: ImageData) -> float:
    """Zero-shot top-1 accuracy of the object, over all nouns of the task."""
    nouns = data.task.placeholders["object"]
    image, text = _image_features(clip, data), _text_features(clip, data.task, nouns)
    y_pred = (image @ text.T).argmax(1).numpy()
    return float((y_pred == _indices(nouns, data.metadata["plural"])).mean())


def color_top1(clip: ClipBackbone, data: ImageData) -> float:
    """Zero-shot top-1 accuracy of the color, given the object."""
    nouns, colors = data.task.placeholders["object"], data.task.placeholders["colour"]
    phrases = [f"{color} {noun}" for noun in nouns for color in colors]
    text = _text_features(clip, data.task, phrases).view(len(nouns), len(colors), -1)
    text = text[_indices(nouns, data.metadata["plural"])]  # (N, C, D)
    y_pred = torch.einsum("nd,ncd->nc", _image_features(clip, data), text).argmax(1).numpy()
    return float((y_pred == _indices(colors, data.metadata["colour"])).mean())


def write_metrics(folder: Path) -> dict[str, float]:
    """Evaluate a checkpoint, and write the metrics to its card.

    Raises:
        FileNotFoundError: no checkpoint, or one without a card.
    """
    path = Path(folder) / "card.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"folder = {folder}: has no card.json; give a checkpoint made by `ordlib pretrain`"
        )
    card = json.loads(path.read_text("utf-8"))
    metrics = evaluate_counting(load_clip(folder), eval_images(), load_data("counting"))
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(card | {"metrics": metrics}, indent=1) + "\n", "utf-8")
    return metrics


def _zero_shot_metrics(
    clip: ClipBackbone, data: ImageData, placeholder_columns: dict[str, str]
) -> dict[str, float]:
    options = {"templates": TEMPLATES, "placeholder_columns": placeholder_columns}
    bins = ZeroShot(clip, data.task, prompts_for="bins", **options)
    prediction = ZeroShot(clip, data.task, **options).predict(data)
    most_likely = data.task.rank_values[prediction.probabilities.argmax(1)]
    is_plural = data.values > 1
    return {
        "bin_accuracy": np.mean(bins.predict_bins(data) == data.task.bin_index(data.values)),
        "count_accuracy": np.mean(most_likely[is_plural] == data.values[is_plural]),
        "count_mae": mae(data.values, prediction.value),
        "count_spearman": spearman(data.values, prediction.value),
    }


def _image_features(clip: ClipBackbone, data: ImageData) -> torch.Tensor:
    return normalize(cached_image_features(clip, data), dim=-1)


def _text_features(clip: ClipBackbone, task: OrdinalTask, names: Sequence[str]) -> torch.Tensor:
    """Return ``(K, D)`` features of names, averaged over the templates without their rank."""
    templates = [task.templates[index].replace("{rank} ", "") for index in TEMPLATES]
    prompts = [template.format(object=name) for template in templates for name in names]
    features = normalize(clip.encode_text(prompts), dim=-1)
    return normalize(features.view(len(templates), len(names), -1).mean(0), dim=-1)


def _indices(names: Sequence[str], values: Sequence[str]) -> np.ndarray:
    return np.array([names.index(value) for value in values])
