"""The quality task: scores follow distortions, and splits share no photographs."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

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


@pytest.fixture(scope="module")
def samples():
    return [draw(index) for index in range(300)]


@pytest.fixture(scope="module")
def cat():
    return np.float32(photos.crop(np.random.default_rng(0), "chelsea", 96))


def sharpness(image):
    return np.abs(np.diff(image, axis=1)).mean()


def test_scores_are_uniform(samples):
    values = np.array([sample.value for sample in samples])
    assert values.min() >= 1
    assert values.max() <= 5
    assert np.histogram(values, 4, (1, 5))[0].min() > 50


def test_record_fields(samples):
    for sample in samples:
        words = {key for key, value in sample.record.items() if isinstance(value, str)}
        assert words == {"scene", "scene_id", "distortion"}
        scene = {scene.name: scene.words for scene in photos.SCENES}
        assert sample.record["scene"] == scene[sample.record["scene_id"]]
        severities = [sample.record[kind] for kind in quality.KINDS]
        assert 0 <= np.abs(severities).max() <= 1
        assert 1 <= np.count_nonzero(severities) <= 3 or sample.value > 4.5
    assert {sample.record["distortion"] for sample in samples} == WORDS


def test_distortion_word_names_the_most_severe(samples):
    for sample in samples:
        severities = {kind: sample.record[kind] for kind in quality.KINDS}
        worst = max(severities, key=lambda kind: abs(severities[kind]))
        if sample.record["distortion"] == "sharp":
            assert abs(severities[worst]) < 0.13
        if sample.record["distortion"] == "blurry":
            assert worst == "blur"
        if sample.record["distortion"] == "dark":
            assert severities["exposure"] < 0


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


def test_draw_is_equal_at_two_sizes():
    differences = []
    for index in range(16):
        small, large = draw(index, side=64), draw(index, side=192)
        shrunk = np.float32(Image.fromarray(large.image).reduce(3))
        differences.append(np.abs(shrunk - np.float32(small.image)).mean())
        assert small.value == large.value
        near = {"brightness", "contrast"}
        assert all(small.record[key] == large.record[key] for key in set(small.record) - near)
    # Grey levels; strong noise is clipped pixel by pixel and differs most.
    assert np.mean(differences) < 5
    assert max(differences) < 14


@pytest.mark.parametrize("kind", DAMAGE)
def test_distortions_increase_with_severity(kind, cat):
    errors = [
        np.abs(DAMAGE[kind](cat, severity) - cat).mean() for severity in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    # Even a fine JPEG file halves the resolution of colour.
    assert errors[0] < 3
    assert (np.diff(errors) > 0).all()


def test_distortions_return_valid_images(cat):
    for damage in DAMAGE.values():
        result = damage(cat, 0.7)
        assert result.shape == cat.shape
        assert result.min() >= 0
        assert result.max() <= 255


def test_blur_lowers_sharpness_and_fade_lowers_saturation(cat):
    blurred = [sharpness(distortions.blur(cat, severity)) for severity in (0, 0.3, 0.6, 1)]
    assert (np.diff(blurred) < 0).all()
    faded = [
        np.ptp(distortions.fade(cat, severity), axis=-1).mean() for severity in (0, 0.3, 0.6, 1)
    ]
    assert (np.diff(faded) < 0).all()


def test_sharpness_falls_with_blur(samples):
    blurry = [p for p in samples if p.record["blur"] and not p.record["noise"]]
    severity = [p.record["blur"] for p in blurry]
    assert spearmanr(severity, [sharpness(np.float32(p.image)) for p in blurry]).statistic < -0.4


def test_score_correlates_with_damage(samples):
    severities = np.array([[abs(p.record[kind]) for kind in quality.KINDS] for p in samples])
    damage = (severities**1.6).sum(1) ** (1 / 1.6)
    correlation = -spearmanr(damage, [p.value for p in samples]).statistic
    assert 0.9 < correlation < 0.995


def test_score_slopes_are_similar_across_distortions():
    samples = [draw(index) for index in range(450)]
    slopes = []
    for kind in quality.KINDS:
        alone = [
            p
            for p in samples
            if p.record[kind] and not any(p.record[k] for k in quality.KINDS if k != kind)
        ]
        severity = np.abs([[p.record[kind]] for p in alone])
        fit = LinearRegression().fit(severity, [p.value for p in alone])
        slopes.append(-fit.coef_[0])
    assert max(slopes) < 1.25 * min(slopes)


def test_crop_has_detail():
    for index in range(60):
        crop = quality._crop(np.random.default_rng(index), "rocket", 64)
        assert crop.std() > 8
