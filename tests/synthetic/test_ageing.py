"""The ageing task: many cues together predict age, none alone."""

import re
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from ordlib.synthetic import render_split
from ordlib.synthetic.backdrops import paint_backdrop
from ordlib.synthetic.canvas import canvas_size, finish
from ordlib.synthetic.cues import CUES, cues_at, stage
from ordlib.synthetic.hair import STYLES
from ordlib.synthetic.people import BEARDS, TABLES, choose, draw_individual, look_at
from ordlib.synthetic.portrait import paint

WRITTEN_BY_YEARS = [name for name, cue in CUES.items() if cue.rare is not None]


@pytest.fixture(scope="module")
def train():
    return render_split("ageing", "train", 64)


@pytest.fixture(scope="module")
def words(train):
    return train.metadata.select_dtypes(exclude="number")


def people(count, start=0):
    return [draw_individual(np.random.default_rng(seed)) for seed in range(start, start + count)]


def test_no_word_predicts_age(train, words):
    for name in words:
        means = pd.Series(train.values).groupby(words[name]).transform("mean")
        assert abs(spearmanr(means, train.values).statistic) < 0.6, name


def heldout_correlation(model, features, ages):
    model.fit(features[:1400], ages[:1400])
    return spearmanr(model.predict(features[1400:]), ages[1400:]).statistic


def test_all_cues_together_predict_age(train):
    model = HistGradientBoostingRegressor(max_iter=60, random_state=0)
    assert heldout_correlation(model, train.metadata[list(CUES)].to_numpy(), train.values) > 0.85


def test_thumbnails_do_not_predict_age(train):
    small = [Image.fromarray(p).resize((12, 12), Image.Resampling.BOX) for p in train.images]
    pixels = np.stack(small).reshape(len(small), -1) / 255
    assert heldout_correlation(Ridge(alpha=30), pixels, train.values) < 0.75


def test_words_do_not_state_the_age(words):
    assert {"person", "hair", "hairstyle", "accessory", "clothes", "mood", "garment"} <= {*words}
    for entry in pd.unique(words.to_numpy().ravel()):
        assert re.fullmatch(r"[A-Za-z \-]*", entry), entry
        assert "year" not in entry


def test_look_at_children_have_no_signs_of_age():
    for who, age in product(people(300), (1, 6, 12)):
        look = look_at(who, age)
        assert look.words["beard"] == ""
        assert look.words["hairstyle"] != "a bald head"
        assert {name: look.cues[name] for name in WRITTEN_BY_YEARS if look.cues[name]} == {}


def test_cues_follow_age_on_average():
    means = {
        age: pd.DataFrame([look_at(who, age).cues for who in people(200)]).mean()
        for age in (2, 12, 30, 60, 88)
    }
    for name in WRITTEN_BY_YEARS:
        assert means[12][name] < means[60][name] < means[88][name], name
    for name in ("eye_size", "eye_height", "cheeks", "head_width"):
        assert means[2][name] > means[12][name] > means[30][name], name
    for name in ("shoulders", "nose_length", "neck_length"):
        assert means[2][name] < means[12][name] < means[30][name], name


def test_signs_of_age_are_independent():
    lines = pd.DataFrame([look_at(who, 80).cues for who in people(600)])[WRITTEN_BY_YEARS]
    lines = lines.drop(columns="recession")  # differs between women and men
    correlations = lines.corr().to_numpy()[~np.eye(lines.shape[1], dtype=bool)]
    assert np.abs(correlations).max() < 0.2


def test_cues_at_stays_within_bounds():
    for age, extreme in product((1, 20, 55, 90), (-2.2, 2.2)):
        values = cues_at(age, np.full((len(CUES), 3), extreme), sex=1.0)
        for name, value in values.items():
            assert CUES[name].floor <= value <= CUES[name].ceiling


def test_stage_is_increasing_and_concave():
    steps = np.diff(stage(np.arange(1, 91)))
    assert (steps > 0).all()
    assert steps[:10].min() > steps[-30:].max()


def test_choose_follows_weights():
    rng = np.random.default_rng(0)
    drawn = [choose(BEARDS, rng.gumbel(size=len(BEARDS)), 0.7, sex=1.0) for _ in range(4000)]
    weights = {b.name: b.weight * np.exp(-0.5 * ((0.7 - b.peak) / b.width) ** 2) for b in BEARDS}
    for name, weight in weights.items():
        expected = weight / sum(weights.values())
        assert drawn.count(name) / len(drawn) == pytest.approx(expected, abs=0.025)


def test_look_at_changes_rarely():
    changes = []
    for who in people(30):
        styles = [look_at(who, age).words["hairstyle"] for age in range(1, 91, 2)]
        changes.append(sum(a != b for a, b in pairwise(styles)))
    assert 1 <= np.mean(changes) <= 6


@pytest.mark.parametrize("position", range(len(TABLES["accessory"])))
def test_paint_shows_every_accessory_in_full(position):
    choice = TABLES["accessory"][position]
    for who in people(12, start=50):
        if choice.sex not in (0.5, who.sex):
            continue
        tastes = {name: taste.copy() for name, taste in who.tastes.items()}
        tastes["accessory"][position] = 500.0
        who = replace(who, tastes=tastes, drift=dict.fromkeys(who.drift, 0.0), zoom=1.12, y=-0.03)
        age = float(np.interp(min(choice.peak, 0.96), stage(np.arange(1, 91)), np.arange(1, 91)))
        look = look_at(who, age)
        assert look.words["accessory"] == choice.name
        image = paint(look, 64)[0]
        empty = finish(paint_backdrop(canvas_size(64), who), 64)
        assert np.array_equal(image[0], empty[0])
        if choice.name not in ("", "a headscarf"):
            bare = replace(look, words=look.words | {"accessory": ""})
            assert (paint(bare, 64)[0] != image).any(2).sum() > 8


def test_every_hairstyle_has_a_painter():
    drawn = set(STYLES) | {"a tuft of hair", "a bald head", "covered hair"}
    assert {choice.name for choice in TABLES["hairstyle"]} <= drawn
