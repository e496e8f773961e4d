"""The dating task: equal at every size, hints of the decade without proof, a full canvas."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ordlib.synthetic import dating, film, frames, photos, scenes
from ordlib.synthetic.brush import Brush
from ordlib.synthetic.moods import MOODS, draw_mood
from ordlib.synthetic.rng import generator

MAGENTA = (255, 0, 255)


def draw(index, split="train", side=64):
    return dating.draw(generator("dating", split, index), split, side)


@pytest.fixture(scope="module")
def samples():
    return [draw(index) for index in range(300)]


def looks(count, first=0):
    rng = np.random.default_rng(first)
    decades = rng.integers(5, size=count)
    return np.array([list(film.draw_look(rng, d).values()) for d in decades]), decades


def test_decades_are_uniform(samples):
    decades, counts = np.unique([sample.value for sample in samples], return_counts=True)
    assert decades.tolist() == [0, 1, 2, 3, 4]
    assert counts.min() > 35


def test_record_fields(samples):
    for sample in samples:
        words = {key for key, value in sample.record.items() if isinstance(value, str)}
        assert words == {"scene", "tint", "frame"}
        assert sample.record["frame"] in frames.KINDS
        assert sample.record["scene"].split()[0] in ("a", "an", "couples", "old")
        numbers = [value for key, value in sample.record.items() if key not in words]
        assert np.isfinite(numbers).all()
        assert set(film.ERAS) < set(sample.record)


def test_every_scene_occurs(samples):
    assert len({sample.record["scene"] for sample in samples}) >= 18


@pytest.mark.parametrize("index", range(12))
def test_draw_is_equal_at_two_sizes(index):
    small, large = draw(index, side=64), draw(index, side=192)
    shrunk = np.float32(Image.fromarray(large.image).reduce(3))
    pixels = np.float32(small.image)
    assert np.corrcoef(shrunk.ravel(), pixels.ravel())[0, 1] > 0.96
    assert np.abs(shrunk.mean((0, 1)) - pixels.mean((0, 1))).max() < 6
    assert small.value == large.value
    differing = {key for key in small.record if small.record[key] != large.record[key]}
    assert differing <= {"brightness"}


@pytest.mark.parametrize("split", ["pretrain", "val", "test"])
def test_scenes_use_only_training_photographs(split, monkeypatch):
    loaded, load = set(), photos.photograph
    monkeypatch.setattr(photos, "photograph", lambda name: loaded.add(name) or load(name))
    monkeypatch.setattr(scenes, "PHOTOGRAPH_SHARE", 1.0)
    for index in range(20):
        draw(index, split)
    assert loaded == set(scenes.PHOTOGRAPHS)
    assert loaded <= {scene.name for scene in photos.scenes("train")}


@pytest.mark.parametrize("painter", scenes.PAINTERS, ids=lambda painter: painter.__name__)
def test_painters_cover_the_canvas(painter):
    for seed in range(6):
        image, rng = Image.new("RGB", (150, 150), MAGENTA), np.random.default_rng(seed)
        phrase = painter(Brush(image, 150), rng, draw_mood(rng), style=seed % 5)
        assert not (np.asarray(image) == MAGENTA).all(-1).any(), (phrase, seed)


def test_film_parameters_predict_the_decade_in_part():
    numbers, decades = looks(4000)
    test_numbers, test_decades = looks(2000, first=1)
    model = LinearDiscriminantAnalysis().fit(numbers, decades)
    assert 0.55 < model.score(test_numbers, test_decades) < 0.85
    for column, name in enumerate(film.ERAS):
        single = LinearDiscriminantAnalysis().fit(numbers[:, [column]], decades)
        assert single.score(test_numbers[:, [column]], test_decades) < 0.5, name


def test_scenes_predict_the_decade_in_part(samples):
    later, earlier = ("jet", "diesel", "television"), ("propeller", "steam", "wireless")
    dated = [p for p in samples if any(word in p.record["scene"] for word in later + earlier)]
    modern = [any(word in p.record["scene"] for word in later) for p in dated]
    assert 0.2 < spearmanr(modern, [p.value for p in dated]).statistic < 0.85


def plain_look(**changes):
    neutral = {"saturation": 1.0, "contrast": 1.0, "softness": 0.001}
    return dict.fromkeys(film.ERAS, 0.0) | neutral | changes


def test_develop_fading_and_grain():
    black = np.zeros((64, 64, 3), np.float32)
    faded, deep = (
        film.develop(black, plain_look(fading=fading), np.random.default_rng(0))
        for fading in (0.25, 0.0)
    )
    assert faded.mean() > deep.mean() + 0.15
    grey = np.full((96, 96, 3), 0.5, np.float32)
    spread = [
        film.develop(grey, plain_look(grain=grain), np.random.default_rng(0)).std()
        for grain in (0.0, 0.03, 0.08)
    ]
    assert spread == sorted(spread)
    assert spread[2] > 2 * spread[1]


def test_develop_warmth_and_saturation():
    rng = np.random.default_rng(0)
    image = np.broadcast_to(rng.uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32), (64, 64, 3))
    warm = film.develop(image, plain_look(warmth=0.6), np.random.default_rng(0))
    cool = film.develop(image, plain_look(warmth=-0.4), np.random.default_rng(0))
    assert (warm[..., 0] - warm[..., 2]).mean() > (cool[..., 0] - cool[..., 2]).mean() + 0.15
    grey = film.develop(image, plain_look(saturation=0.0), np.random.default_rng(0))
    assert np.ptp(grey, axis=-1).max() < 0.01


def test_mount_adds_a_border():
    black = np.zeros((96, 96, 3), np.float32)
    for decade in range(60):
        frame = frames.draw_frame(np.random.default_rng(decade), decade % 5)
        mounted = frames.mount(black, frame, yellowing=0.3)
        assert (mounted[30:66, 30:66] == 0).all()
        ring = round((frame.margin + 0.5 * frame.width) * 96)
        if frame.width:
            assert mounted[ring, 48].min() > 0.7, frame.kind
        elif frame.kind == "no border":
            assert (mounted == 0).all()


def test_draw_mood_is_mostly_day():
    rng = np.random.default_rng(0)
    lamps = np.mean([draw_mood(rng).lamps for _ in range(400)])
    assert len(MOODS) >= 6
    assert 0.1 < lamps < 0.3
