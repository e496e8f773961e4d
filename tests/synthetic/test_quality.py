"""The quality task: scores that damage deserves, photographs kept apart by split."""

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
    "noise": lambda picture, s: distortions.noise(picture, s, np.random.default_rng(0)),
    "compression": distortions.compress,
    "dark": lambda picture, s: distortions.expose(picture, -s),
    "bright": distortions.expose,
    "fading": distortions.fade,
}


def draw(index, split="train", side=64):
    return quality.draw(generator("quality", split, index), split, side)


@pytest.fixture(scope="module")
def pictures():
    return [draw(index) for index in range(300)]


@pytest.fixture(scope="module")
def cat():
    return np.float32(photos.crop(np.random.default_rng(0), "chelsea", 96))


def sharpness(picture):
    return np.abs(np.diff(picture, axis=1)).mean()


def test_same_address_same_picture_whatever_was_drawn_before(pictures):
    for index in (11, 2):
        again = draw(index)
        np.testing.assert_array_equal(again.image, pictures[index].image)
        assert again.record == pictures[index].record
    assert not np.array_equal(pictures[11].image, pictures[2].image)


def test_values_are_uniform_from_one_to_five(pictures):
    values = np.array([picture.value for picture in pictures])
    assert values.min() >= 1
    assert values.max() <= 5
    assert np.histogram(values, 4, (1, 5))[0].min() > 50


def test_image_and_record(pictures):
    for picture in pictures:
        assert picture.image.shape == (64, 64, 3)
        assert picture.image.dtype == np.uint8
        words = {key for key, value in picture.record.items() if isinstance(value, str)}
        assert words == {"scene", "scene_id", "distortion"}
        scene = {scene.name: scene.words for scene in photos.SCENES}
        assert picture.record["scene"] == scene[picture.record["scene_id"]]
        severities = [picture.record[kind] for kind in quality.KINDS]
        assert 0 <= np.abs(severities).max() <= 1
        assert 1 <= np.count_nonzero(severities) <= 3 or picture.value > 4.5
    assert {picture.record["distortion"] for picture in pictures} == WORDS


def test_the_word_names_the_worst_fault(pictures):
    for picture in pictures:
        severities = {kind: picture.record[kind] for kind in quality.KINDS}
        worst = max(severities, key=lambda kind: abs(severities[kind]))
        if picture.record["distortion"] == "sharp":
            assert abs(severities[worst]) < 0.13
        if picture.record["distortion"] == "blurry":
            assert worst == "blur"
        if picture.record["distortion"] == "dark":
            assert severities["exposure"] < 0


def test_splits_share_no_photograph(monkeypatch):
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


def test_the_same_picture_at_two_sides():
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
def test_more_severe_is_farther_from_the_photograph(kind, cat):
    errors = [
        np.abs(DAMAGE[kind](cat, severity) - cat).mean() for severity in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    # Even a fine JPEG file halves the resolution of colour.
    assert errors[0] < 3
    assert (np.diff(errors) > 0).all()


def test_every_result_is_a_picture(cat):
    for damage in DAMAGE.values():
        result = damage(cat, 0.7)
        assert result.shape == cat.shape
        assert result.min() >= 0
        assert result.max() <= 255


def test_blur_takes_sharpness_and_fading_takes_colour(cat):
    blurred = [sharpness(distortions.blur(cat, severity)) for severity in (0, 0.3, 0.6, 1)]
    assert (np.diff(blurred) < 0).all()
    faded = [
        np.ptp(distortions.fade(cat, severity), axis=-1).mean() for severity in (0, 0.3, 0.6, 1)
    ]
    assert (np.diff(faded) < 0).all()


def test_in_the_task_sharpness_falls_with_blur(pictures):
    blurry = [p for p in pictures if p.record["blur"] and not p.record["noise"]]
    severity = [p.record["blur"] for p in blurry]
    assert spearmanr(severity, [sharpness(np.float32(p.image)) for p in blurry]).statistic < -0.4


def test_the_score_follows_the_damage_but_is_an_opinion(pictures):
    severities = np.array([[abs(p.record[kind]) for kind in quality.KINDS] for p in pictures])
    damage = (severities**1.6).sum(1) ** (1 / 1.6)
    correlation = -spearmanr(damage, [p.value for p in pictures]).statistic
    assert 0.9 < correlation < 0.995


def test_kinds_of_damage_cost_about_the_same():
    found = [draw(index) for index in range(450)]
    slopes = []
    for kind in quality.KINDS:
        alone = [
            p
            for p in found
            if p.record[kind] and not any(p.record[k] for k in quality.KINDS if k != kind)
        ]
        severity = np.abs([[p.record[kind]] for p in alone])
        fit = LinearRegression().fit(severity, [p.value for p in alone])
        slopes.append(-fit.coef_[0])
    assert max(slopes) < 1.25 * min(slopes)


def test_crops_show_something():
    for index in range(60):
        crop = quality._crop(np.random.default_rng(index), "rocket", 64)
        assert crop.std() > 8
