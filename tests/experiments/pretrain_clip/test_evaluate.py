"""The metrics of the card against loops over pictures and prompts in plain transformers."""

import json
import shutil
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from transformers import CLIPModel, CLIPTokenizer
from typer.testing import CliRunner

from ordlib import ImageData, load_clip, load_task
from ordlib.cli import app
from ordlib.clip.preprocessing import PROCESSOR
from ordlib.experiments.pretrain_clip import evaluate as measuring
from ordlib.experiments.pretrain_clip.evaluate import (
    color_top1,
    evaluate_counting,
    object_top1,
)
from ordlib.synthetic import SPLIT_SIZES, render

NOUNS, COLOURS = ("stars", "mice", "chess kings"), ("red", "blue", "green")
FILLERS = {"object": NOUNS, "colour": COLOURS}
TASK = replace(load_task("counting"), placeholders=FILLERS)
WORDS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)
PHRASES = ("hardly any", "a few", "several", "many", "a crowd of")
FRAMES = ("a photo of {} {}", "{} {}", "a picture of {} {}")


class Naive:
    """One picture and one prompt at a time, without any of ordlib's encoding."""

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
    def raw(self, picture):
        pixels = self.processor(picture, return_tensors="pt")
        return np.asarray(self.model.get_image_features(**pixels).pooler_output, np.float64)[0]

    def _mean(self, quantity, nouns):
        """The text of one rank: over the nouns within a template, then over templates."""
        each = [unit(sum(self.text(frame.format(quantity, n)) for n in nouns)) for frame in FRAMES]
        return unit(sum(each))

    def best(self, picture, phrases):
        """Which phrase, in the templates without a rank, is most like the picture."""
        image, scores = unit(self.raw(picture)), []
        for phrase in phrases:
            prompts = (f"a photo of {phrase}", phrase, f"a picture of {phrase}")
            scores.append(unit(sum(map(self.text, prompts))) @ image)
        return phrases[int(np.argmax(scores))]

    def odds(self, picture, quantities, nouns):
        image = unit(self.raw(picture))
        odds = [np.exp(self.scale * (self.mean(q, nouns) @ image)) for q in quantities]
        return np.array(odds) / sum(odds)


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
    """Thirty pictures of coloured blocks, with labels and words at random."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    records = pd.DataFrame({"plural": rng.choice(NOUNS, 30), "colour": rng.choice(COLOURS, 30)})
    values = rng.integers(1, 21, 30).astype(float)
    images = blocks.repeat(8, axis=1).repeat(8, axis=2)
    return ImageData(TASK, images, values, records, name, "val")


@pytest.fixture(scope="module")
def data(naive):
    """Random labels would hardly ever be hit: two thirds are what the model says."""
    data = noise("tested", 0)
    for row in range(0, 30, 3):
        word = naive.odds(data.images[row], WORDS, (data.metadata["plural"][row],))
        data.values[row] = 1 + word.argmax()
        phrase = naive.odds(data.images[row + 1], PHRASES, (data.metadata["plural"][row + 1],))
        data.values[row + 1] = (1, 3, 6, 10, 14)[phrase.argmax()]
    # Single objects, which count_accuracy leaves out.
    data.values[[2, 5, 8]] = 1
    return data


def test_objects_are_named_as_in_a_loop(clip, data, naive):
    said = [naive.best(picture, NOUNS) for picture in data.images]
    share = np.mean([a == b for a, b in zip(said, data.metadata["plural"], strict=True)])
    assert len(set(said)) > 1
    assert 0 < share < 1
    assert object_top1(clip, data) == pytest.approx(share)


def test_colours_are_named_as_in_a_loop_beside_the_own_object(clip, data, naive):
    right, guesses = [], set()
    for picture, noun, colour in zip(
        data.images, data.metadata["plural"], data.metadata["colour"], strict=True
    ):
        said = naive.best(picture, [f"{colour} {noun}" for colour in COLOURS])
        guesses.add(said)
        right.append(said == f"{colour} {noun}")
    assert len(guesses) > len(NOUNS)
    assert 0 < np.mean(right) < 1
    assert color_top1(clip, data) == pytest.approx(np.mean(right))


@pytest.fixture(scope="module")
def found(clip, data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return evaluate_counting(clip, data, noise("train", 1))


@pytest.mark.parametrize("name", ["count", "unnamed_count"])
def test_counts_are_those_of_a_loop(found, data, naive, name):
    likeliest, expected = [], []
    for picture, noun in zip(data.images, data.metadata["plural"], strict=True):
        odds = naive.odds(picture, WORDS, (noun,) if name == "count" else NOUNS)
        likeliest.append(1 + odds.argmax())
        expected.append(sum(n * odd for n, odd in enumerate(odds, 1)))
    hits = [a == b for a, b in zip(likeliest, data.values, strict=True) if b > 1]
    assert len(hits) < 30
    assert 0 < np.mean(hits) < 1
    assert np.mean(np.array(likeliest) == data.values) != pytest.approx(np.mean(hits), abs=1e-3)
    assert found[f"{name}_accuracy"] == pytest.approx(np.mean(hits), abs=6e-5)
    mae = np.mean([abs(a - b) for a, b in zip(expected, data.values, strict=True)])
    assert found[f"{name}_mae"] == pytest.approx(mae, abs=1e-4)
    order = spearmanr(expected, data.values).statistic
    assert found[f"{name}_spearman"] == pytest.approx(order, abs=1e-4)


@pytest.mark.parametrize("name", ["bin_accuracy", "unnamed_phrase_accuracy"])
def test_phrases_are_those_of_a_loop(found, data, naive, name):
    right = []
    for picture, noun, value in zip(data.images, data.metadata["plural"], data.values, strict=True):
        nouns = NOUNS if name.startswith("unnamed") else (noun,)
        said = naive.odds(picture, PHRASES, nouns).argmax()
        right.append(said == sum(value >= edge for edge in (3, 6, 10, 14)))
    assert 0 < np.mean(right) < 1
    assert found[name] == pytest.approx(np.mean(right), abs=6e-5)


def test_the_probe_is_ridge_regression_on_frozen_features(found, data, naive):
    train = noise("train", 1)
    known, asked = (np.array([naive.raw(p) for p in d.images]) for d in (train, data))
    mean, spread = known.mean(0), known.std(0)
    ridge = RidgeCV(10.0 ** np.arange(-1, 5.5, 0.5)).fit((known - mean) / spread, train.values)
    guess = ridge.predict((asked - mean) / spread).clip(1, 20)
    assert found["probe_mae"] == pytest.approx(np.abs(guess - data.values).mean(), abs=2e-4)
    order = spearmanr(guess, data.values).statistic
    assert found["probe_spearman"] == pytest.approx(order, abs=2e-3)


def test_the_metrics_have_their_names(found, clip, data):
    asked = ("bin_accuracy", "count_accuracy", "count_mae", "count_spearman")
    assert set(found) == {
        *("object_top1", "color_top1", "probe_mae", "probe_spearman"),
        *asked,
        *(f"class_agnostic_{name}" for name in asked),
    }
    assert found["object_top1"] == round(object_top1(clip, data), 4)
    assert found["color_top1"] == round(color_top1(clip, data), 4)
    assert all(type(value) is float for value in found.values())


def test_fresh_pictures_are_the_worlds(monkeypatch):
    """They follow the whole val split."""
    assert SPLIT_SIZES["val"] == 400
    monkeypatch.setitem(measuring.SPLIT_SIZES, "val", 3)
    data = eval_images(2, side=64, workers=1)
    assert data.split == "eval_images"
    for row in range(2):
        picture = render("counting", "val", 3 + row, 64)
        assert (data.images[row] == picture.image).all()
        assert data.values[row] == picture.value
        assert data.metadata["plural"][row] == picture.record["plural"]


@pytest.fixture
def checkpoint(tiny_clip_folder, data, tmp_path, monkeypatch):
    """A checkpoint with a card; what it is measured on is noise."""
    folder = shutil.copytree(tiny_clip_folder, tmp_path / "pico")
    card = {
        "name": "pico",
        "losses": [[1, 3.5], [2, 3.25]],
        "description": "ü",
        "metrics": {"old": 1},
    }
    (folder / "card.json").write_text(json.dumps(card), "utf-8")
    monkeypatch.setattr(measuring, "eval_images", lambda: data)
    monkeypatch.setattr(measuring, "load_data", lambda task: noise("train", 1))
    return folder


def test_metrics_are_written_and_the_rest_of_the_card_stays(checkpoint, found):
    before = json.loads((checkpoint / "card.json").read_text("utf-8"))
    others = sorted(path.name for path in checkpoint.iterdir())
    result = CliRunner().invoke(app, ["evaluate-clip", str(checkpoint)])
    assert result.exit_code == 0, result.output
    told = dict(line.split() for line in result.output.strip().splitlines())
    assert {name: float(n) for name, n in told.items()} == pytest.approx(found, abs=1e-3)
    card = json.loads((checkpoint / "card.json").read_text("utf-8"))
    assert card.pop("metrics") == pytest.approx(found, abs=2e-4)
    assert before.pop("metrics") == {"old": 1}
    assert card == before
    assert sorted(path.name for path in checkpoint.iterdir()) == others


def test_what_fails_is_one_line_and_exit_code_1(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").write_bytes(b"")
    for folder, message in ((tmp_path / "none", "there is no"), (checkpoint, "damaged")):
        result = CliRunner().invoke(app, ["evaluate-clip", str(folder)])
        assert result.exit_code == 1
        assert len(result.output.strip().splitlines()) == 1
        assert message in result.output
    assert CliRunner().invoke(app, ["evaluate-clip"]).exit_code == 2
