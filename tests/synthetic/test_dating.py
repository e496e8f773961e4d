"""The dating task: hints of the decade without proof, and a full canvas."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ordlib.synthetic import dating, film, frames, photos, scenes
from ordlib.synthetic.brush import Brush
from ordlib.synthetic.moods import MOODS, draw_mood
from ordlib.synthetic.rng import generator

MAGENTA = (255, 0, 255)
LATER, EARLIER = "jet|diesel|television", "propeller|steam|wireless"


def draw(index, split="train", side=64):
    return dating.draw(generator("dating", split, index), split, side)


@pytest.fixture(scope="module")
def records():
    """Records of samples, with their label."""
    samples = [draw(index) for index in range(300)]
    return pd.DataFrame([sample.record | {"value": sample.value} for sample in samples])


def looks(count, first=0):
    rng = np.random.default_rng(first)
    decades = rng.integers(5, size=count)
    return np.array([list(film.draw_look(rng, d).values()) for d in decades]), decades


def test_decades_are_uniform(records):
    decades, counts = np.unique(records["value"], return_counts=True)
    assert decades.tolist() == [0, 1, 2, 3, 4]
    assert counts.min() > 35


def test_record_fields(records):
    assert set(records.select_dtypes(exclude="number")) == {"scene", "tint", "frame"}
    assert set(records["frame"]) <= set(frames.KINDS)
    assert set(records["scene"].str.split().str[0]) <= {"a", "an", "couples", "old"}
    assert records["scene"].nunique() >= 18
    assert np.isfinite(records.select_dtypes("number")).all(axis=None)
    assert set(film.ERAS) < set(records)


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


def test_scenes_predict_the_decade_in_part(records):
    later, earlier = (records["scene"].str.contains(words) for words in (LATER, EARLIER))
    dated = later | earlier
    assert 0.2 < spearmanr(later[dated], records["value"][dated]).statistic < 0.85


def develop(image, **changes):
    """Develop with an otherwise neutral look."""
    neutral = {"saturation": 1.0, "contrast": 1.0, "softness": 0.001}
    look = dict.fromkeys(film.ERAS, 0.0) | neutral | changes
    return film.develop(image, look, np.random.default_rng(0))


def test_develop_fading_and_grain():
    black = np.zeros((64, 64, 3), np.float32)
    assert develop(black, fading=0.25).mean() > develop(black).mean() + 0.15
    grey = np.full((96, 96, 3), 0.5, np.float32)
    none, fine, coarse = (develop(grey, grain=grain).std() for grain in (0.0, 0.03, 0.08))
    assert none <= fine < coarse / 2


def test_develop_warmth_and_saturation():
    rng = np.random.default_rng(0)
    image = np.broadcast_to(rng.uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32), (64, 64, 3))
    warm, cool = develop(image, warmth=0.6), develop(image, warmth=-0.4)
    assert (warm[..., 0] - warm[..., 2]).mean() > (cool[..., 0] - cool[..., 2]).mean() + 0.15
    assert np.ptp(develop(image, saturation=0.0), axis=-1).max() < 0.01


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
