"""Training and evaluation sets of ranking adapters: held-out objects stay held out."""

import numpy as np
import pytest

from ordlib.experiments import adapter_data as module
from ordlib.experiments.adapter_data import HELD_OUT_OBJECTS, eval_sets, training_data
from ordlib.synthetic.load import load_data
from ordlib.synthetic.vocabulary import OBJECTS

PLURALS = [noun.plural for noun in OBJECTS]
TEMPLATES = {"seen": ("{plural}?", "No.", "Nothing."), "held_out": ("How many {plural}?", "No.")}
PLAIN = {"seen": ("By age.", "No."), "held_out": ("Oldest?", "No.")}

pytestmark = pytest.mark.usefixtures("small_world")


def image_bytes(data) -> list[bytes]:
    return [image.tobytes() for image in data.images]


def is_held_out(data) -> np.ndarray:
    return data.metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy()


@pytest.fixture
def counting(clip):
    return {eval_set.name: eval_set for eval_set in eval_sets(clip, "counting", TEMPLATES)}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("task", ["counting", "ageing"])
def test_training_data_excludes_held_out_objects(clip, task, split):
    expected = load_data(task, split, clip.image_size, 30 if split == "train" else 24)
    assert image_bytes(expected)[:20] == image_bytes(load_data(task, split, clip.image_size))[:20]
    data = training_data(clip, task, split)
    if task == "counting":
        held_out = is_held_out(expected)
        assert 0 < held_out.sum() < len(expected)
        expected = expected.subset(~held_out)
        assert data.metadata["plural"].tolist() == expected.metadata["plural"].tolist()
    assert image_bytes(data) == image_bytes(expected)
    assert data.values.tolist() == expected.values.tolist()
    assert data.split == split


def test_held_out_objects_are_an_eighth():
    assert len(set(HELD_OUT_OBJECTS)) == pytest.approx(len(PLURALS) / 8, abs=1)
    assert set(HELD_OUT_OBJECTS) < set(PLURALS)


def test_training_data_augments_quality_with_training_drawings(clip, monkeypatch):
    """No photograph of val, no held-out object."""
    monkeypatch.setattr(module, "_distort_drawing", lambda image, rng: (image, 2.0))
    drawings = [training_data(clip, task, "train") for task in ("counting", "ageing")]
    count = len(drawings[0])
    monkeypatch.setattr(module, "NUM_DISTORTED", count)
    data = training_data(clip, "quality", "train")
    photographs = load_data("quality", "train", clip.image_size, 30)
    augmented = [image for part in drawings for image in image_bytes(part)[:count]]
    assert image_bytes(data) == image_bytes(photographs) + augmented
    assert data.values.tolist() == [*photographs.values, *[2.0] * 2 * count]
    assert data.metadata["scene_id"].tolist() == data.groups.tolist()
    assert data.groups.tolist() == [*photographs.groups, *["drawing"] * 2 * count]
    assert data.fingerprint not in {part.fingerprint for part in (photographs, *drawings)}
    val = training_data(clip, "quality", "val")
    assert image_bytes(val) == image_bytes(load_data("quality", "val", clip.image_size))


def test_add_distorted_drawings_distorts_by_score(clip):
    drawings = load_data("ageing", "train", clip.image_size, 30)
    photographs = load_data("quality", "val", clip.image_size, 2)
    data, again = (module.add_distorted_drawings(photographs, [drawings], 30) for _ in range(2))
    assert image_bytes(data) == image_bytes(again)
    scores = data.values[2:]
    assert 1 <= scores.min() < 2 < 4 < scores.max() <= 5
    error = np.abs(np.float64(data.images[2:]) - drawings.images).mean(axis=(1, 2, 3))
    # Kinds of distortion differ in their pixel errors, so that only the extremes are ordered.
    assert error[scores > 4].mean() < error[scores < 3].mean() / 2


def test_eval_sets_of_counting(counting, clip):
    names = ["test", "known objects", "held-out objects", "distractors", "absent objects"]
    assert [*counting] == names
    test, distractors = (
        load_data("counting", split, clip.image_size) for split in ("test", "distractors")
    )
    assert len(test) == 20
    extended = load_data("counting", "test", clip.image_size, 40)
    held_out = extended.subset(is_held_out(extended))
    assert len(held_out) > 0
    parts = (test, test.subset(~is_held_out(test)), held_out, distractors)
    for eval_set, data in zip(counting.values(), parts, strict=False):
        assert image_bytes(eval_set.data) == image_bytes(data)
        assert eval_set.y_true.tolist() == eval_set.data.values.tolist()
        plurals = eval_set.data.metadata["plural"].tolist()
        assert eval_set.prompts["seen"] == [f"{plural}?" for plural in plurals]
        assert eval_set.prompts["held_out"] == [f"How many {plural}?" for plural in plurals]


def test_eval_sets_of_known_and_held_out_objects_have_new_names(counting):
    singulars = {noun.plural: noun.singular for noun in OBJECTS}
    for name, eval_set in counting.items():
        more = {"generic", "singular"} if name in ("known objects", "held-out objects") else set()
        assert set(eval_set.prompts) - {"seen", "held_out"} == more
        if more:
            plurals = eval_set.data.metadata["plural"]
            assert eval_set.prompts["generic"] == ["No."] * len(plurals)
            assert eval_set.prompts["singular"] == [f"{singulars[name]}?" for name in plurals]


def test_eval_sets_absent_objects_have_target_0(counting):
    absent, test = counting["absent objects"], counting["test"].data
    count = len(test)
    assert image_bytes(absent.data) == image_bytes(test) * 2
    assert absent.y_true.tolist() == [*test.values, *[0.0] * count]
    assert [*absent.prompts] == ["seen"]
    prompted = [prompt.removesuffix("?") for prompt in absent.prompts["seen"]]
    assert prompted[:count] == test.metadata["plural"].tolist()
    assert set(prompted) <= set(PLURALS)
    assert absent.data.metadata["plural"].tolist() == prompted
    # Sampled, not one for all.
    assert len(set(prompted[count:])) > count / 2
    assert absent.data.groups.tolist() == [*range(count)] * 2  # one image, two prompts


def test_eval_sets_of_other_tasks_are_the_test_split(clip):
    (eval_set,) = eval_sets(clip, "ageing", PLAIN)
    assert eval_set.name == "test"
    assert image_bytes(eval_set.data) == image_bytes(load_data("ageing", "test", clip.image_size))
    assert eval_set.y_true.tolist() == eval_set.data.values.tolist()
    assert eval_set.prompts == {"seen": ["By age."] * 20, "held_out": ["Oldest?"] * 20}


@pytest.mark.parametrize(("task", "templates"), [("counting", TEMPLATES), ("ageing", PLAIN)])
def test_eval_sets_are_disjoint_from_training_data(clip, task, templates):
    train, val = (image_bytes(training_data(clip, task, split)) for split in ("train", "val"))
    for eval_set in eval_sets(clip, task, templates):
        assert {*train, *val}.isdisjoint(image_bytes(eval_set.data))


def test_eval_sets_absent_objects_are_never_in_the_image(clip, monkeypatch):
    """With three objects, random ones would be in a third of the images."""
    names = load_data("counting", "test", clip.image_size).metadata["plural"].tolist()
    few = [noun for noun in OBJECTS if noun.plural in names[:3]]
    monkeypatch.setattr(module, "OBJECTS", few)
    prompts = eval_sets(clip, "counting", TEMPLATES)[-1].prompts["seen"][len(names) :]
    assert all(prompt != f"{name}?" for prompt, name in zip(prompts, names, strict=True))
