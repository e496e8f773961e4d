"""What a pico-clip knows of counting, by words and by pictures: the metrics on its card."""

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
from ...synthetic.load import load_data
from ...synthetic.rendering import SPLIT_SIZES
from ...tasks import OrdinalTask
from ...utils.cache import atomic_write

SIZE = 5000
# The templates that leave the colour unnamed.
TEMPLATES = (0, 1, 2)
NAMED = {"object": "plural"}


def eval_images(size: int = SIZE, image_size: int = 96, workers: int | None = None) -> ImageData:
    """Counting pictures that nothing is trained, tuned or tested on.

    They are those of the split "val" beyond its own 400, so that a card says nothing of the
    test pictures that the notebooks look at once.
    """
    first = SPLIT_SIZES["val"]
    data = load_data("counting", "val", image_size, first + size, workers)
    return data.subset(range(first, first + size), "fresh")


def evaluate_counting(clip: ClipBackbone, data: ImageData, train: ImageData) -> dict[str, float]:
    """What a backbone knows of counted objects, without and with training on counts.

    Prompts name the picture's own object, in the plural for every count (else grammar would
    give away n = 1), leave the colour unnamed, and are averaged over templates. The rows called
    ``unnamed`` average over all objects as well.

    Args:
        clip: the backbone.
        data: counting pictures, as `fresh` gives them.
        train: others, for the probe alone.

    Returns:
        ``object_top1`` and ``color_top1``, shares right over all names; ``bin_accuracy`` over
        the five bins; ``count_accuracy`` over the pictures of 2 to 20 objects, by the likeliest
        rank; ``count_mae`` in objects and ``count_spearman`` by expectation; the same four for
        unnamed prompts; ``probe_spearman`` and ``probe_mae`` of ridge regression on frozen
        picture features.
    """
    probe = LinearProbe(lambda pictures: cached_image_features(clip, pictures).numpy(), data.task)
    guess = probe.fit(train).predict(data).value
    found = {
        "object_top1": object_top1(clip, data),
        "color_top1": color_top1(clip, data),
        **_asked(clip, data, NAMED),
        **{f"class_agnostic_{name}": value for name, value in _asked(clip, data, {}).items()},
        "probe_mae": mae(data.values, guess),
        "probe_spearman": spearman(data.values, guess),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def object_top1(clip: ClipBackbone, data: ImageData) -> float:
    """The share of pictures whose object is named right, among all nouns of the task."""
    nouns = data.task.placeholders["object"]
    said = (_pictures(clip, data) @ _text_features(clip, data.task, nouns).T).argmax(1)
    return float((said.numpy() == _positions(nouns, data.metadata["plural"])).mean())


def color_top1(clip: ClipBackbone, data: ImageData) -> float:
    """The share of pictures whose colour is named right, the object being named."""
    nouns, colours = data.task.placeholders["object"], data.task.placeholders["colour"]
    phrases = [f"{colour} {noun}" for noun in nouns for colour in colours]
    texts = _text_features(clip, data.task, phrases).view(len(nouns), len(colours), -1)
    own = texts[_positions(nouns, data.metadata["plural"])]
    said = torch.einsum("nd,ncd->nc", _pictures(clip, data), own).argmax(1)
    return float((said.numpy() == _positions(colours, data.metadata["colour"])).mean())


def write_metrics(folder: Path) -> dict[str, float]:
    """Measure a checkpoint, and write the result on its card, as ``metrics``.

    Raises:
        FileNotFoundError: no such checkpoint, or one without a card.
    """
    path = Path(folder) / "card.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: name the folder of a checkpoint that ordlib pretrain has made"
        )
    card = json.loads(path.read_text("utf-8"))
    metrics = evaluate_counting(load_clip(folder), eval_images(), load_data("counting"))
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(card | {"metrics": metrics}, indent=1) + "\n", "utf-8")
    return metrics


def _asked(clip: ClipBackbone, data: ImageData, fill: dict[str, str]) -> dict[str, float]:
    """Ask for phrases and numbers, with the object named or not."""
    bins = ZeroShot(clip, data.task, over="bins", templates=TEMPLATES, fill=fill)
    prediction = ZeroShot(clip, data.task, templates=TEMPLATES, fill=fill).predict(data)
    likeliest = data.task.rank_values[prediction.probabilities.argmax(1)]
    several = data.values > 1
    return {
        "bin_accuracy": np.mean(bins.predict_bins(data) == data.task.bin_index(data.values)),
        "count_accuracy": np.mean(likeliest[several] == data.values[several]),
        "count_mae": mae(data.values, prediction.value),
        "count_spearman": spearman(data.values, prediction.value),
    }


def _pictures(clip: ClipBackbone, data: ImageData) -> torch.Tensor:
    return normalize(cached_image_features(clip, data), dim=-1)


def _text_features(clip: ClipBackbone, task: OrdinalTask, names: Sequence[str]) -> torch.Tensor:
    """``(K, D)`` features of names in the task's templates without a rank, averaged."""
    templates = [task.templates[index].replace("{rank} ", "") for index in TEMPLATES]
    prompts = [template.format(object=name) for template in templates for name in names]
    features = normalize(clip.encode_text(prompts), dim=-1)
    return normalize(features.view(len(templates), len(names), -1).mean(0), dim=-1)


def _positions(names: Sequence[str], words: Sequence[str]) -> np.ndarray:
    return np.array([names.index(word) for word in words])
