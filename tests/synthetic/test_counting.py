"""Counting pictures: what is drawn is what is said, all of it visible, and nothing leaks."""

import unicodedata

import numpy as np
import pytest
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr

from ordlib.synthetic import (
    backgrounds,
    counting,
    glyphs,
    layouts,
    photos,
    render,
    render_many,
    render_split,
)
from ordlib.synthetic.vocabulary import COLOURS, OBJECTS, with_article
from ordlib.tasks.builtin import number_words

LEAK = 0.55


@pytest.fixture(scope="module")
def train():
    rendered = render_split("counting", "train", 64)
    return rendered.values, rendered.metadata


def test_no_recorded_number_orders_the_labels(train):
    values, records = train
    numbers = records.select_dtypes("number")
    assert numbers.shape[1] >= 5
    leaks = {name: spearmanr(numbers[name], values)[0] for name in numbers}
    assert not {name: rho for name, rho in leaks.items() if not abs(rho) < LEAK}, leaks


def test_labels_are_uniform(train):
    values, _ = train
    counts = np.bincount(values.astype(int), minlength=21)[1:]
    assert set(values) == set(range(1, 21))
    # 100 are expected of each; five standard deviations.
    assert np.abs(counts - 100).max() < 49


def test_every_object_colour_layout_and_background_occurs(train):
    _, records = train
    assert set(records["plural"]) == {noun.plural for noun in OBJECTS}
    assert set(records["colour"]) == set(COLOURS)
    assert set(records["layout"]) == set(layouts.LAYOUTS)
    assert "photo" in set(records["background"])
    kinds = records.groupby("background")["background_colour"]
    assert all((words == "").all() == (kind == "photo") for kind, words in kinds)
    pictured = set(records["background_scene"]) - {""}
    assert pictured <= {scene.words for scene in photos.scenes("train")}
    assert (records["glyph_scale"] * 64 >= 6).all()


@pytest.mark.parametrize("split", ["val", "test", "distractors"])
def test_backgrounds_are_train_photographs_in_every_split(split):
    _, _, records = render_many("counting", split, range(120), 64)
    pictured = set(records["background_scene"]) - {""}
    assert pictured
    assert "old coins" not in pictured
    assert pictured <= {scene.words for scene in photos.scenes("train")}


@pytest.mark.parametrize("index", range(12))
def test_pictures_hold_as_many_objects_as_they_say(index, monkeypatch):
    """Stamp discs instead of glyphs, each in one piece, and count the pieces."""
    disc = next(noun for noun in OBJECTS if noun.plural == "circles")
    monkeypatch.setattr(counting, "OBJECTS", [disc, disc])
    seen = {}
    paint = counting._paint

    def spy(field, masks, *rest):
        seen["pieces"] = ndimage.label(np.asarray(masks)[..., 1] > 200)[1]
        seen["border"] = np.asarray(masks)[[0, -1], :, 1].max()
        return paint(field, masks, *rest)

    monkeypatch.setattr(counting, "_paint", spy)
    picture = render("counting", "test", index, side=224)
    assert seen["pieces"] == picture.value
    assert seen["border"] == 0


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("n", [1, 2, 7, 20, 25])
def test_objects_neither_overlap_nor_leave_the_picture(layout, n):
    rng = np.random.default_rng(n)
    for _ in range(10):
        sizes = np.full(n, np.sqrt(4 / np.pi * counting.PACKING / n)) * rng.uniform(0.7, 1, n)
        centres, sizes = layouts.place(rng, layout, sizes, rng.uniform(0.5, 1))
        assert (centres - sizes[:, None] / 2 > 0).all()
        assert (centres + sizes[:, None] / 2 < 1).all()
        for i in range(n):
            for j in range(i):
                gap = np.hypot(*(centres[i] - centres[j])) - (sizes[i] + sizes[j]) / 2
                assert gap > 0, (layout, i, j)


@pytest.mark.parametrize("index", range(0, 60, 5))
def test_objects_stand_out_from_what_lies_behind(index):
    """Lightness on the drawn picture: the objects' ink against the background alone."""
    picture = render("counting", "train", index, side=96)
    colour = np.uint8([[COLOURS[picture.record["colour"]]]])
    near = np.abs(picture.image.astype(int) - colour).sum(-1) < 60
    lightness = np.asarray(Image.fromarray(picture.image).convert("L"), dtype=float)
    far = ~ndimage.binary_dilation(near, iterations=4)
    assert near.any()
    assert far.any()
    assert abs(np.median(lightness[near]) - np.median(lightness[far])) > 35


def test_every_colour_has_grounds_of_its_own():
    for colour in COLOURS:
        assert len(backgrounds.fitting_grounds((colour,))) >= 4, colour


def test_distractors_are_of_another_kind_and_do_not_count():
    _, values, records = render_many("counting", "distractors", range(150), 64)
    assert (records["distractor"] != records["object"]).all()
    assert records["distractor_count"].between(1, counting.MOST_DISTRACTORS).all()
    other = records["distractor_colour"] != records["colour"]
    assert 0.5 < other.mean() < 1
    assert values.max() == 20
    assert abs(spearmanr(records["distractor_count"], values)[0]) < 0.3


def test_vocabulary_is_nameable():
    charmap = FT2Font(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf").get_charmap()
    assert len(OBJECTS) >= 60
    assert len(COLOURS) == 10
    assert len({noun.singular for noun in OBJECTS}) == len({noun.plural for noun in OBJECTS})
    assert len({noun.plural for noun in OBJECTS}) == len({noun.character for noun in OBJECTS})
    assert len({noun.plural for noun in OBJECTS}) == len(OBJECTS)
    numbers = {word for n in range(121) for word in number_words(n).split()} - {"and"}
    for noun in OBJECTS:
        assert ord(noun.character) in charmap, noun
        assert len(noun.plural.split()) <= 2, noun
        assert not numbers & set(f"{noun.singular} {noun.plural}".split()), noun
        assert "DIGIT" not in unicodedata.name(noun.character)


@pytest.mark.parametrize("noun", OBJECTS, ids=lambda noun: noun.plural)
def test_glyphs_fill_their_circle_and_stay_in_it(noun):
    tile = np.asarray(glyphs.glyph(noun).tiles[0])[..., 1]
    rows, columns = np.nonzero(tile > 127)
    middle = (glyphs.TILE - 1) / 2
    reach = np.hypot(rows - middle, columns - middle).max() / (glyphs.TILE * glyphs.FILL / 2)
    assert 0.95 < reach < 1.01
    assert 0.1 < glyphs.glyph(noun).fullness <= 1.01


def test_numbers_in_words():
    said = [number_words(n) for n in range(1000)]
    assert len(set(said)) == 1000
    assert said[:3] == ["zero", "one", "two"]
    assert said[20] == "twenty"
    assert said[45] == "forty five"
    assert said[100] == "one hundred"
    assert said[999] == "nine hundred and ninety nine"
    for n in (-1, 1000):
        with pytest.raises(ValueError, match=str(n)):
            number_words(n)


def test_articles_are_right():
    an = {noun.singular for noun in OBJECTS if with_article(noun.singular).startswith("an ")}
    assert an == {
        "umbrella",
        "anchor",
        "aeroplane",
        "arrow",
        "envelope",
        "atom",
        "ampersand",
        "at sign",
        "asterisk",
        "arrowhead",
    }
