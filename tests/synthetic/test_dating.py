"""The dating task: one picture at every side, hints without proof, a canvas painted all over."""

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
def pictures():
    return [draw(index) for index in range(300)]


def looks(count, first=0):
    rng = np.random.default_rng(first)
    decades = rng.integers(5, size=count)
    return np.array([list(film.draw_look(rng, d).values()) for d in decades]), decades


def test_same_address_same_picture_whatever_was_drawn_before(pictures):
    for index in (7, 3):
        again = draw(index)
        np.testing.assert_array_equal(again.image, pictures[index].image)
        assert again.record == pictures[index].record
    assert not np.array_equal(pictures[7].image, pictures[3].image)


def test_values_are_the_five_decades_about_equally_often(pictures):
    decades, counts = np.unique([picture.value for picture in pictures], return_counts=True)
    assert decades.tolist() == [0, 1, 2, 3, 4]
    assert counts.min() > 35


def test_image_and_record(pictures):
    for picture in pictures:
        assert picture.image.shape == (64, 64, 3)
        assert picture.image.dtype == np.uint8
        words = {key for key, value in picture.record.items() if isinstance(value, str)}
        assert words == {"scene", "tint", "frame"}
        assert picture.record["frame"] in frames.KINDS
        assert picture.record["scene"].split()[0] in ("a", "an", "couples", "old")
        numbers = [value for key, value in picture.record.items() if key not in words]
        assert np.isfinite(numbers).all()
        assert set(film.ERAS) < set(picture.record)


def test_every_scene_occurs(pictures):
    assert len({picture.record["scene"] for picture in pictures}) >= 18


@pytest.mark.parametrize("index", range(12))
def test_the_same_picture_at_two_sides(index):
    small, large = draw(index, side=64), draw(index, side=192)
    shrunk = np.float32(Image.fromarray(large.image).reduce(3))
    pixels = np.float32(small.image)
    assert np.corrcoef(shrunk.ravel(), pixels.ravel())[0, 1] > 0.96
    assert np.abs(shrunk.mean((0, 1)) - pixels.mean((0, 1))).max() < 6
    assert small.value == large.value
    differing = {key for key in small.record if small.record[key] != large.record[key]}
    assert differing <= {"brightness"}


@pytest.mark.parametrize("split", ["pretrain", "val", "test"])
def test_only_training_photographs_stand_behind_scenes(split, monkeypatch):
    loaded, load = set(), photos.photograph
    monkeypatch.setattr(photos, "photograph", lambda name: loaded.add(name) or load(name))
    monkeypatch.setattr(scenes, "PHOTOGRAPH_SHARE", 1.0)
    for index in range(20):
        draw(index, split)
    assert loaded == set(scenes.PHOTOGRAPHS)
    assert loaded <= {scene.name for scene in photos.scenes("train")}


@pytest.mark.parametrize("painter", scenes.PAINTERS, ids=lambda painter: painter.__name__)
def test_no_spot_of_the_canvas_is_left_unpainted(painter):
    for seed in range(6):
        image, rng = Image.new("RGB", (150, 150), MAGENTA), np.random.default_rng(seed)
        phrase = painter(Brush(image, 150), rng, draw_mood(rng), style=seed % 5)
        assert not (np.asarray(image) == MAGENTA).all(-1).any(), (phrase, seed)


def test_film_numbers_tell_the_decade_but_not_for_sure():
    numbers, decades = looks(4000)
    unseen, truth = looks(2000, first=1)
    reader = LinearDiscriminantAnalysis().fit(numbers, decades)
    assert 0.55 < reader.score(unseen, truth) < 0.85
    for column, name in enumerate(film.ERAS):
        alone = LinearDiscriminantAnalysis().fit(numbers[:, [column]], decades)
        assert alone.score(unseen[:, [column]], truth) < 0.5, name


def test_what_is_shown_leans_towards_the_decade_but_proves_nothing(pictures):
    later, earlier = ("jet", "diesel", "television"), ("propeller", "steam", "wireless")
    dated = [p for p in pictures if any(word in p.record["scene"] for word in later + earlier)]
    modern = [any(word in p.record["scene"] for word in later) for p in dated]
    assert 0.2 < spearmanr(modern, [p.value for p in dated]).statistic < 0.85


def plain_look(**changes):
    return {
        **dict.fromkeys(film.ERAS, 0.0),
        "saturation": 1.0,
        "contrast": 1.0,
        "softness": 0.001,
        **changes,
    }


def test_fading_lifts_blacks_and_grain_roughens():
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


def test_warmth_reddens_and_no_saturation_is_grey():
    rng = np.random.default_rng(0)
    picture = np.broadcast_to(rng.uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32), (64, 64, 3))
    warm = film.develop(picture, plain_look(warmth=0.6), np.random.default_rng(0))
    cool = film.develop(picture, plain_look(warmth=-0.4), np.random.default_rng(0))
    assert (warm[..., 0] - warm[..., 2]).mean() > (cool[..., 0] - cool[..., 2]).mean() + 0.15
    grey = film.develop(picture, plain_look(saturation=0.0), np.random.default_rng(0))
    assert np.ptp(grey, axis=-1).max() < 0.01


def test_borders_are_paper_and_the_middle_is_the_picture():
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


def test_moods_are_many_and_most_are_day():
    rng = np.random.default_rng(0)
    lamps = np.mean([draw_mood(rng).lamps for _ in range(400)])
    assert len(MOODS) >= 6
    assert 0.1 < lamps < 0.3
