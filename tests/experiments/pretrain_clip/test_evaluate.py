"""Metrics against loops over images and prompts in plain transformers."""

import json
import shutil
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from commands import fail, invoke, run
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from transformers import CLIPModel, CLIPTokenizer

from ordlib import ImageData, load_clip, load_task
from ordlib.clip.preprocessing import PROCESSOR
from ordlib.experiments.pretrain_clip import evaluate as module
from ordlib.experiments.pretrain_clip.evaluate import color_top1, evaluate_counting, object_top1
from ordlib.synthetic import SPLIT_SIZES, render

NOUNS, COLORS = ("stars", "mice", "chess kings"), ("red", "blue", "green")
PLACEHOLDERS = {"object": NOUNS, "colour": COLORS}
TASK = replace(load_task("counting"), placeholders=PLACEHOLDERS)
NUMBER_WORDS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
]  # fmt: skip
PHRASES = ("hardly any", "a few", "several", "many", "a crowd of")
TEMPLATES = ("a photo of {} {}", "{} {}", "a picture of {} {}")


class Naive:
    """Plain transformers, one image and one prompt at a time."""

    def __init__(self, folder):
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.processor = PROCESSOR.from_pretrained(folder)
        self.scale = np.exp(self.model.logit_scale.item())
        self.text, self.mean = lru_cache(self._text), lru_cache(self._mean)

    @torch.no_grad()
    def _text(self, prompt):
        tokens = self.tokenizer(prompt, return_tensors="pt")
        return unit(self.model.get_text_features(**tokens).pooler_output)

    @torch.no_grad()
    def raw(self, image):
        pixels = self.processor(image, return_tensors="pt")
        return np.asarray(self.model.get_image_features(**pixels).pooler_output, np.float64)[0]

    def _mean(self, quantity, nouns):
        """Text feature of a rank, averaged over nouns within a template, then over templates."""
        means = [
            unit(sum(self.text(template.format(quantity, n)) for n in nouns))
            for template in TEMPLATES
        ]
        return unit(sum(means))

    def top1(self, image, phrases):
        """Return the most similar phrase, in the templates without a rank."""
        feature, scores = unit(self.raw(image)), []
        for phrase in phrases:
            prompts = (f"a photo of {phrase}", phrase, f"a picture of {phrase}")
            scores.append(unit(sum(map(self.text, prompts))) @ feature)
        return phrases[int(np.argmax(scores))]

    def probs(self, image, quantities, nouns):
        feature = unit(self.raw(image))
        probs = [np.exp(self.scale * (self.mean(q, nouns) @ feature)) for q in quantities]
        return np.array(probs) / sum(probs)


def unit(vector):
    vector = np.asarray(vector, np.float64).ravel()
    return vector / np.sqrt((vector**2).sum())


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture(scope="module")
def naive(tiny_clip_folder):
    return Naive(tiny_clip_folder)


def noise(name: str, seed: int) -> ImageData:
    """Thirty images of colored blocks, with random labels and metadata."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    metadata = pd.DataFrame({"plural": rng.choice(NOUNS, 30), "colour": rng.choice(COLORS, 30)})
    values = rng.integers(1, 21, 30).astype(float)
    images = blocks.repeat(8, axis=1).repeat(8, axis=2)
    return ImageData(TASK, images, values, metadata, name, "val")


@pytest.fixture(scope="module")
def data(naive):
    """Two thirds of the labels are predictions, as random labels would hardly ever be hit."""
    data = noise("tested", 0)
    for row in range(0, 30, 3):
        word = naive.probs(data.images[row], NUMBER_WORDS, (data.metadata["plural"][row],))
        data.values[row] = 1 + word.argmax()
        phrase = naive.probs(data.images[row + 1], PHRASES, (data.metadata["plural"][row + 1],))
        data.values[row + 1] = (1, 3, 6, 10, 14)[phrase.argmax()]
    # Single objects, which count_accuracy excludes.
    data.values[[2, 5, 8]] = 1
    return data


def test_object_top1_equals_naive_loop(clip, data, naive):
    predicted = [naive.top1(image, NOUNS) for image in data.images]
    accuracy = np.mean(predicted == data.metadata["plural"])
    assert len(set(predicted)) > 1
    assert 0 < accuracy < 1
    assert object_top1(clip, data) == pytest.approx(accuracy)


def test_color_top1_equals_naive_loop_given_the_object(clip, data, naive):
    right, predictions, metadata = [], set(), data.metadata
    for image, noun, color in zip(data.images, metadata["plural"], metadata["colour"], strict=True):
        predicted = naive.top1(image, [f"{color} {noun}" for color in COLORS])
        predictions.add(predicted)
        right.append(predicted == f"{color} {noun}")
    assert len(predictions) > len(NOUNS)
    assert 0 < np.mean(right) < 1
    assert color_top1(clip, data) == pytest.approx(np.mean(right))


@pytest.fixture(scope="module")
def metrics(clip, data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return evaluate_counting(clip, data, noise("train", 1))


@pytest.mark.parametrize("name", ["count", "class_agnostic_count"])
def test_evaluate_counting_counts_equal_naive_loop(metrics, data, naive, name):
    most_likely, expected = [], []
    for image, noun in zip(data.images, data.metadata["plural"], strict=True):
        probs = naive.probs(image, NUMBER_WORDS, (noun,) if name == "count" else NOUNS)
        most_likely.append(1 + probs.argmax())
        expected.append(sum(n * prob for n, prob in enumerate(probs, 1)))
    hits = np.array(most_likely) == data.values
    accuracy = hits[data.values > 1].mean()
    assert (data.values > 1).sum() < 30
    assert 0 < accuracy < 1
    assert hits.mean() != pytest.approx(accuracy, abs=1e-3)
    assert metrics[f"{name}_accuracy"] == pytest.approx(accuracy, abs=6e-5)
    mae = np.abs(expected - data.values).mean()
    assert metrics[f"{name}_mae"] == pytest.approx(mae, abs=1e-4)
    order = spearmanr(expected, data.values).statistic
    assert metrics[f"{name}_spearman"] == pytest.approx(order, abs=1e-4)


@pytest.mark.parametrize("name", ["bin_accuracy", "class_agnostic_bin_accuracy"])
def test_evaluate_counting_bins_equal_naive_loop(metrics, data, naive, name):
    right = []
    for image, noun, value in zip(data.images, data.metadata["plural"], data.values, strict=True):
        nouns = NOUNS if name.startswith("class_agnostic") else (noun,)
        predicted = naive.probs(image, PHRASES, nouns).argmax()
        right.append(predicted == sum(value >= edge for edge in (3, 6, 10, 14)))
    assert 0 < np.mean(right) < 1
    assert metrics[name] == pytest.approx(np.mean(right), abs=6e-5)


def test_evaluate_counting_probe_equals_ridge_regression(metrics, data, naive):
    train = noise("train", 1)
    train_x, test_x = (np.array([naive.raw(p) for p in d.images]) for d in (train, data))
    mean, std = train_x.mean(0), train_x.std(0)
    ridge = RidgeCV(10.0 ** np.arange(-1, 5.5, 0.5)).fit((train_x - mean) / std, train.values)
    y_pred = ridge.predict((test_x - mean) / std).clip(1, 20)
    assert metrics["probe_mae"] == pytest.approx(np.abs(y_pred - data.values).mean(), abs=2e-4)
    order = spearmanr(y_pred, data.values).statistic
    assert metrics["probe_spearman"] == pytest.approx(order, abs=2e-3)


def test_evaluate_counting_names_the_metrics(metrics, clip, data):
    zero_shot = ("bin_accuracy", "count_accuracy", "count_mae", "count_spearman")
    assert set(metrics) == {
        *("object_top1", "color_top1", "probe_mae", "probe_spearman"),
        *zero_shot,
        *(f"class_agnostic_{name}" for name in zero_shot),
    }
    assert metrics["object_top1"] == round(object_top1(clip, data), 4)
    assert metrics["color_top1"] == round(color_top1(clip, data), 4)
    assert all(type(value) is float for value in metrics.values())


def test_eval_images_follow_the_val_split(monkeypatch):
    assert SPLIT_SIZES["val"] == 400
    monkeypatch.setitem(module.SPLIT_SIZES, "val", 3)
    data = module.eval_images(2, image_size=64, num_workers=1)
    assert data.split == "eval"
    for row in range(2):
        sample = render("counting", "val", 3 + row, 64)
        assert (data.images[row] == sample.image).all()
        assert data.values[row] == sample.value
        assert data.metadata["plural"][row] == sample.record["plural"]


@pytest.fixture
def checkpoint(tiny_clip_folder, data, tmp_path, monkeypatch):
    """A checkpoint with a card, evaluated on noise."""
    folder = shutil.copytree(tiny_clip_folder, tmp_path / "pico")
    card = {"name": "pico", "train_loss": [[1, 3.5]], "description": "ü", "metrics": {"old": 1}}
    (folder / "card.json").write_text(json.dumps(card), "utf-8")
    monkeypatch.setattr(module, "eval_images", lambda: data)
    monkeypatch.setattr(module, "load_data", lambda task: noise("train", 1))
    return folder


def test_write_metrics_updates_only_the_metrics_of_the_card(checkpoint, metrics):
    before = json.loads((checkpoint / "card.json").read_text("utf-8"))
    others = sorted(path.name for path in checkpoint.iterdir())
    result = run("evaluate-clip", checkpoint)
    printed = dict(line.split() for line in result.output.strip().splitlines())
    assert {name: float(n) for name, n in printed.items()} == pytest.approx(metrics, abs=1e-3)
    card = json.loads((checkpoint / "card.json").read_text("utf-8"))
    assert card.pop("metrics") == pytest.approx(metrics, abs=2e-4)
    assert before.pop("metrics") == {"old": 1}
    assert card == before
    assert sorted(path.name for path in checkpoint.iterdir()) == others


def test_command_evaluate_clip_fails_with_one_line(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").write_bytes(b"")
    for folder, message in ((tmp_path / "none", "has no card.json"), (checkpoint, "damaged")):
        assert len(fail(message, "evaluate-clip", folder).splitlines()) == 1
    assert invoke("evaluate-clip").exit_code == 2
