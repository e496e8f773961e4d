"""The quality task: scores follow distortions, and splits share no photographs."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, spearmanr

from ordlib.synthetic import distortions, photos, quality
from ordlib.synthetic.rng import generator

WORDS = {"sharp", "blurry", "noisy", "blocky", "dark", "overexposed", "washed out"}
DAMAGE = {
    "blur": distortions.blur,
    "noise": lambda image, s: distortions.noise(image, s, np.random.default_rng(0)),
    "compression": distortions.compress,
    "dark": lambda image, s: distortions.expose(image, -s),
    "bright": distortions.expose,
    "fading": distortions.fade,
}


def draw(index, split="train", side=64):
    return quality.draw(generator("quality", split, index), split, side)


def sharpness(image):
    return np.abs(np.diff(np.float32(image), axis=1)).mean()


@pytest.fixture(scope="module")
def records():
    """Records of samples, with their score and sharpness."""
    samples = [draw(index) for index in range(450)]
    more = [{"value": sample.value, "sharpness": sharpness(sample.image)} for sample in samples]
    return pd.DataFrame([s.record | m for s, m in zip(samples, more, strict=True)])


@pytest.fixture(scope="module")
def severities(records):
    return records[list(quality.KINDS)].abs()


@pytest.fixture(scope="module")
def cat():
    return np.float32(photos.crop(np.random.default_rng(0), "chelsea", 96))


def test_scores_are_uniform(records):
    assert records["value"].between(1, 5).all()
    assert np.histogram(records["value"], 4, (1, 5))[0].min() > 75


def test_record_fields(records, severities):
    assert set(records.select_dtypes(exclude="number")) == {"scene", "scene_id", "distortion"}
    words = {scene.name: scene.words for scene in photos.SCENES}
    assert (records["scene"] == records["scene_id"].map(words)).all()
    assert set(records["distortion"]) == WORDS
    assert (severities <= 1).all(axis=None)
    assert ((severities > 0).sum(axis=1).between(1, 3) | (records["value"] > 4.5)).all()


def test_distortion_word_names_the_most_severe(records, severities):
    words = records["distortion"]
    assert severities[words == "sharp"].max(axis=None) < 0.13
    assert set(severities.idxmax(axis=1)[words == "blurry"]) == {"blur"}
    assert records["exposure"][words == "dark"].max() < 0


def test_splits_share_no_photographs(monkeypatch):
    loaded, load = {}, photos.photograph
    for split in ("pretrain", "train", "val", "test"):
        names = loaded[split] = set()
        monkeypatch.setattr(
            photos, "photograph", lambda name, names=names: names.add(name) or load(name)
        )
        for index in range(40):
            draw(index, split)
    assert loaded["pretrain"] == loaded["train"]
    assert loaded["test"] == {"chelsea", "coffee", "china"}
    assert not loaded["train"] & (loaded["test"] | loaded["val"])
    assert not loaded["val"] & loaded["test"]


@pytest.mark.parametrize("kind", DAMAGE)
def test_distortions_increase_with_severity(kind, cat):
    results = np.stack([DAMAGE[kind](cat, s) for s in (0, 0.2, 0.4, 0.6, 0.7, 0.8, 1)])
    assert results.min() >= 0
    assert results.max() <= 255
    errors = np.abs(results - cat).mean((1, 2, 3))
    # Even a fine JPEG file halves the resolution of colour.
    assert errors[0] < 3
    assert (np.diff(errors) > 0).all()


def test_blur_lowers_sharpness_and_fade_lowers_saturation(cat):
    blurred = [sharpness(distortions.blur(cat, severity)) for severity in (0, 0.3, 0.6, 1)]
    faded = [np.ptp(distortions.fade(cat, s), axis=-1).mean() for s in (0, 0.3, 0.6, 1)]
    assert (np.diff([blurred, faded]) < 0).all()


def test_sharpness_falls_with_blur(records):
    blurry = records.query("blur != 0 and noise == 0")
    assert spearmanr(blurry["blur"], blurry["sharpness"]).statistic < -0.4


def test_score_correlates_with_damage(records, severities):
    damage = (severities**1.6).sum(axis=1) ** (1 / 1.6)
    assert 0.9 < -spearmanr(damage, records["value"]).statistic < 0.995


def test_score_slopes_are_similar_across_distortions(records, severities):
    alone = severities[(severities > 0).sum(axis=1) == 1]
    slopes = []
    for kind in quality.KINDS:
        severity = alone[kind][alone[kind] > 0]
        slopes.append(-linregress(severity, records["value"][severity.index]).slope)
    assert max(slopes) < 1.25 * min(slopes)


def test_crop_has_detail():
    for index in range(60):
        assert quality._crop(np.random.default_rng(index), "rocket", 64).std() > 8
