"""The counting task: images show the labelled number of objects, without shortcuts."""

import unicodedata
from itertools import combinations
from unittest.mock import Mock

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


def test_split_has_every_object_colour_layout_and_background():
    records = render_split("counting", "train", 64).metadata
    assert set(records["plural"]) == {noun.plural for noun in OBJECTS}
    assert set(records["colour"]) == set(COLOURS)
    assert set(records["layout"]) == set(layouts.LAYOUTS)
    assert "photo" in set(records["background"])
    kinds = records.groupby("background")["background_colour"]
    assert all((words == "").all() == (kind == "photo") for kind, words in kinds)
    scene_words = set(records["background_scene"]) - {""}
    assert scene_words <= {scene.words for scene in photos.scenes("train")}
    assert (records["glyph_scale"] * 64 >= 6).all()


@pytest.mark.parametrize("split", ["val", "test", "distractors"])
def test_backgrounds_are_training_photographs_in_every_split(split):
    _, _, records = render_many("counting", split, range(120), 64, workers=1)
    scene_words = set(records["background_scene"]) - {""}
    assert scene_words
    assert "old coins" not in scene_words
    assert scene_words <= {scene.words for scene in photos.scenes("train")}


@pytest.mark.parametrize("index", range(12))
def test_render_draws_the_labelled_number_of_objects(index, monkeypatch):
    """Draw discs instead of glyphs, and count the connected components."""
    disc = next(noun for noun in OBJECTS if noun.plural == "circles")
    monkeypatch.setattr(counting, "OBJECTS", [disc, disc])
    paint = Mock(wraps=counting._paint)
    monkeypatch.setattr(counting, "_paint", paint)
    sample = render("counting", "test", index, side=224)
    mask = np.asarray(paint.call_args.args[1])[..., 1]
    assert ndimage.label(mask > 200)[1] == sample.value
    assert mask[[0, -1]].max() == 0


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("n", [1, 2, 7, 20, 25])
def test_place_avoids_overlaps_and_borders(layout, n):
    rng = np.random.default_rng(n)
    for _ in range(10):
        sizes = np.full(n, np.sqrt(4 / np.pi * counting.PACKING / n)) * rng.uniform(0.7, 1, n)
        centres, sizes = layouts.place(rng, layout, sizes, rng.uniform(0.5, 1))
        assert (centres - sizes[:, None] / 2 > 0).all()
        assert (centres + sizes[:, None] / 2 < 1).all()
        for i, j in combinations(range(n), 2):
            assert np.hypot(*(centres[i] - centres[j])) > (sizes[i] + sizes[j]) / 2


@pytest.mark.parametrize("index", range(0, 60, 5))
def test_objects_contrast_with_the_background(index):
    sample = render("counting", "train", index, side=96)
    colour = np.uint8([[COLOURS[sample.record["colour"]]]])
    near = np.abs(sample.image.astype(int) - colour).sum(-1) < 60
    lightness = np.asarray(Image.fromarray(sample.image).convert("L"), dtype=float)
    far = ~ndimage.binary_dilation(near, iterations=4)
    assert near.any()
    assert far.any()
    assert abs(np.median(lightness[near]) - np.median(lightness[far])) > 35


def test_every_colour_has_fitting_grounds():
    assert min(len(backgrounds.fitting_grounds((colour,))) for colour in COLOURS) >= 4


def test_distractors_are_other_objects_and_not_counted():
    _, values, records = render_many("counting", "distractors", range(150), 64, workers=1)
    assert (records["distractor"] != records["object"]).all()
    assert records["distractor_count"].between(1, counting.MOST_DISTRACTORS).all()
    other = records["distractor_colour"] != records["colour"]
    assert 0.5 < other.mean() < 1
    assert values.max() == 20
    assert abs(spearmanr(records["distractor_count"], values)[0]) < 0.3


def test_vocabulary_is_unambiguous():
    charmap = FT2Font(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf").get_charmap()
    assert len(OBJECTS) >= 60
    assert len(COLOURS) == 10
    for field in ("singular", "plural", "character"):
        assert len({getattr(noun, field) for noun in OBJECTS}) == len(OBJECTS)
    numbers = {word for n in range(121) for word in number_words(n).split()} - {"and"}
    for noun in OBJECTS:
        assert ord(noun.character) in charmap, noun
        assert len(noun.plural.split()) <= 2, noun
        assert not numbers & set(f"{noun.singular} {noun.plural}".split()), noun
        assert "DIGIT" not in unicodedata.name(noun.character)


@pytest.mark.parametrize("noun", OBJECTS, ids=lambda noun: noun.plural)
def test_glyphs_fill_their_circle(noun):
    tile = np.asarray(glyphs.glyph(noun).tiles[0])[..., 1]
    rows, columns = np.nonzero(tile > 127)
    middle = (glyphs.TILE - 1) / 2
    reach = np.hypot(rows - middle, columns - middle).max() / (glyphs.TILE * glyphs.FILL / 2)
    assert 0.95 < reach < 1.01
    assert 0.1 < glyphs.glyph(noun).fullness <= 1.01


def test_number_words():
    words = [number_words(n) for n in range(1000)]
    assert len(set(words)) == 1000
    assert words[:3] == ["zero", "one", "two"]
    assert (words[20], words[45], words[100]) == ("twenty", "forty five", "one hundred")
    assert words[999] == "nine hundred and ninety nine"
    for n in (-1, 1000):
        with pytest.raises(ValueError, match=str(n)):
            number_words(n)


def test_with_article():
    an = sorted(o.singular for o in OBJECTS if with_article(o.singular).startswith("an "))
    expected = "aeroplane ampersand anchor arrow arrowhead asterisk at-sign atom envelope umbrella"
    assert " ".join(noun.replace(" ", "-") for noun in an) == expected
