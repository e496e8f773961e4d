"""What ranking adapters are trained and tested on: nothing that is held back is ever shown."""

import numpy as np
import pytest

from ordlib.experiments import adapter_data as ranking_data
from ordlib.experiments.adapter_data import HELD_OUT_OBJECTS, eval_sets, training_data
from ordlib.synthetic.load import load_data
from ordlib.synthetic.vocabulary import OBJECTS

PLURALS = [noun.plural for noun in OBJECTS]
WORDINGS = {"seen": ("{plural}?", "No."), "held_out": ("How many {plural}?", "No.")}
PLAIN = {"seen": ("By age.", "No."), "held_out": ("Oldest?", "No.")}

pytestmark = pytest.mark.usefixtures("small_world")


def pictures(data) -> list[bytes]:
    return [image.tobytes() for image in data.images]


@pytest.fixture
def counting(clip):
    return {each.name: each for each in eval_sets(clip, "counting", WORDINGS)}


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_never_shows_them(clip, split):
    usual = load_data("counting", split, clip.image_size, 30 if split == "train" else 24)
    data = training_data(clip, "counting", split)
    kept = [i for i, name in enumerate(usual.metadata["plural"]) if name not in HELD_OUT_OBJECTS]
    assert 0 < len(kept) < len(usual)
    assert len(set(HELD_OUT_OBJECTS)) == pytest.approx(len(PLURALS) / 8, abs=1)
    assert set(HELD_OUT_OBJECTS) < set(PLURALS)
    assert pictures(data) == [usual.images[i].tobytes() for i in kept]
    assert data.values.tolist() == usual.values[kept].tolist()
    assert data.metadata["plural"].tolist() == usual.metadata["plural"][kept].tolist()
    assert data.split == split


@pytest.mark.parametrize("task", ["counting", "ageing"])
def test_a_larger_train_split_begins_with_the_usual_one(clip, task):
    data, usual = training_data(clip, task, "train"), load_data(task, "train", clip.image_size)
    known = (
        usual.metadata["plural"].isin(HELD_OUT_OBJECTS)
        if task == "counting"
        else [False] * len(usual)
    )
    expected = [image.tobytes() for image, no in zip(usual.images, known, strict=True) if not no]
    assert pictures(data)[: len(expected)] == expected
    assert len(data) > len(expected)
    assert len(usual) == 20


def test_quality_is_learned_from_damaged_drawings_too(clip, monkeypatch):
    """Undamaged, they are training pictures: no photograph of val, no unseen object."""
    monkeypatch.setattr(ranking_data, "_damaged", lambda picture, rng: (picture, 2.0))
    drawings = [training_data(clip, task, "train") for task in ("counting", "ageing")]
    each = len(drawings[0])
    monkeypatch.setattr(ranking_data, "DAMAGED_EACH", each)
    data = training_data(clip, "quality", "train")
    photographs = load_data("quality", "train", clip.image_size, 30)
    assert pictures(data) == [
        *pictures(photographs),
        *pictures(drawings[0])[:each],
        *pictures(drawings[1])[:each],
    ]
    assert data.values.tolist() == [*photographs.values, *[2.0] * 2 * each]
    assert data.metadata["scene_id"].tolist() == data.groups.tolist()
    assert data.groups.tolist() == [*photographs.groups, *["drawing"] * 2 * each]
    assert data.fingerprint not in {each.fingerprint for each in (photographs, *drawings)}
    val = training_data(clip, "quality", "val")
    assert pictures(val) == pictures(load_data("quality", "val", clip.image_size))


def test_a_drawing_is_damaged_as_its_score_says(clip):
    drawings = load_data("ageing", "train", clip.image_size, 30)
    photographs = load_data("quality", "val", clip.image_size, 2)
    data, again = (
        ranking_data.add_distorted_drawings(photographs, [drawings], 30) for _ in range(2)
    )
    assert pictures(data) == pictures(again)
    scores = data.values[2:]
    assert 1 <= scores.min() < 2 < 4 < scores.max() <= 5
    off = np.abs(np.float64(data.images[2:]) - drawings.images).mean(axis=(1, 2, 3))
    # Kinds of damage differ in how far they move pixels: only the ends are sure.
    assert off[scores > 4].mean() < off[scores < 3].mean() / 2


def test_counting_is_tested_in_four_ways(counting, clip):
    assert [*counting] == ["test", "held-out objects", "distractors", "absent objects"]
    test = load_data("counting", "test", clip.image_size)
    assert pictures(counting["test"].data) == pictures(test)
    assert len(test) == 20
    many = load_data("counting", "test", clip.image_size, 40)
    unseen = [i for i, name in enumerate(many.metadata["plural"]) if name in HELD_OUT_OBJECTS]
    assert unseen
    assert pictures(counting["held-out objects"].data) == [many.images[i].tobytes() for i in unseen]
    crowded = load_data("counting", "distractors", clip.image_size)
    assert pictures(counting["distractors"].data) == pictures(crowded)


def test_every_picture_is_asked_for_its_own_objects(counting):
    for name in ("test", "held-out objects", "distractors"):
        judged = counting[name]
        assert judged.truth.tolist() == judged.data.values.tolist()
        plurals = judged.data.metadata["plural"].tolist()
        assert judged.prompts["seen"] == [f"{plural}?" for plural in plurals]
        assert judged.prompts["held_out"] == [f"How many {plural}?" for plural in plurals]


def test_absent_objects_are_others_and_there_are_none_of_them(counting):
    absent, test = counting["absent objects"], counting["test"].data
    count = len(test)
    assert len(absent.data) == len(absent.truth) == 2 * count
    assert pictures(absent.data) == pictures(test) * 2
    assert absent.truth.tolist() == [*test.values, *[0.0] * count]
    assert [*absent.prompts] == ["seen"]
    asked = [prompt.removesuffix("?") for prompt in absent.prompts["seen"]]
    own = test.metadata["plural"].tolist()
    assert asked[:count] == own
    for other, shown in zip(asked[count:], own, strict=True):
        assert other != shown
        assert other in PLURALS
    assert absent.data.metadata["plural"].tolist() == asked
    # By chance, but the same every time; and not one for all.
    assert len(set(asked[count:])) > count / 2


def test_other_tasks_have_their_test_split_alone(clip):
    (judged,) = eval_sets(clip, "ageing", PLAIN)
    assert judged.name == "test"
    assert pictures(judged.data) == pictures(load_data("ageing", "test", clip.image_size))
    assert judged.truth.tolist() == judged.data.values.tolist()
    assert judged.prompts == {"seen": ["By age."] * 20, "held_out": ["Oldest?"] * 20}


@pytest.mark.parametrize("task", ["counting", "ageing"])
def test_no_picture_that_is_tested_was_trained_on(clip, task):
    seen = set()
    for split in ("train", "val"):
        seen |= set(pictures(training_data(clip, task, split)))
    prompt_templates = WORDINGS if task == "counting" else PLAIN
    for judged in eval_sets(clip, task, prompt_templates):
        assert seen.isdisjoint(pictures(judged.data))


def test_an_absent_object_is_never_the_pictures_own(clip, monkeypatch):
    """With three objects chance alone would hit the own one in a third of the pictures."""
    test = load_data("counting", "test", clip.image_size)
    names = test.metadata["plural"].tolist()
    few = [noun for noun in OBJECTS if noun.plural in names[:3]]
    monkeypatch.setattr(ranking_data, "OBJECTS", few)
    judged = eval_sets(clip, "counting", WORDINGS)[-1]
    others = [prompt.removesuffix("?") for prompt in judged.prompts["seen"][len(names) :]]
    assert all(other != name for other, name in zip(others, names, strict=True))
