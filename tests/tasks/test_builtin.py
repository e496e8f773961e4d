import numpy as np
import pytest

from ordlib.synthetic.vocabulary import COLOURS, OBJECTS
from ordlib.tasks import load_task
from ordlib.tasks.builtin import DEFINITIONS, RENDERED

WORLD = {
    "counting": ("objects", 1, 20, 20, 5),
    "dating": ("decades", 0, 4, 5, 5),
    "ageing": ("years", 1, 90, 90, 5),
    "quality": ("points", 1, 5, 5, 5),
}
PUBLIC = {"morph", "utkface", "adience", "hci", "aesthetics", "koniq", "ava", "object_count"}


def test_the_list_is_complete():
    assert (set(DEFINITIONS), set(RENDERED)) == (PUBLIC, set(WORLD))


@pytest.mark.parametrize("name", [*RENDERED, *DEFINITIONS])
def test_every_definition_is_right(name):
    task = load_task(name)
    assert task.name == name
    for template in range(len(task.templates)):
        assert len(set(task.prompts(template))) == task.num_ranks
    for template in range(len(task.bin_templates)):
        assert len(set(task.bin_prompts(template))) == task.num_bins
    assert set(task.bin_index(task.rank_values)) <= set(range(task.num_bins))


@pytest.mark.parametrize("name", WORLD)
def test_the_world_has_the_ranks_that_are_rendered_and_no_digits_but_decades(name):
    task = load_task(name)
    unit, low, high, ranks, bins = WORLD[name]
    assert (task.unit, *task.range) == (unit, low, high)
    assert (task.num_ranks, task.num_bins) == (ranks, bins)
    assert (np.bincount(task.bin_index(task.rank_values)) > 0).all()
    words = task.bin_phrases if name == "dating" else task.rank_names + task.bin_phrases
    assert not any(character.isdigit() for word in words for character in word)


def test_counting_knows_every_object_in_the_plural_and_has_five_bins():
    task = load_task("counting")
    assert task.placeholders["object"] == tuple(noun.plural for noun in OBJECTS)
    assert task.placeholders["colour"] == tuple(COLOURS)
    # One noun form for all counts, or grammar tells one from more.
    assert task.prompts(object="stars")[0] == "a photo of one stars"
    assert task.bin_prompts(object="stars")[0] == "a photo of hardly any stars"
    assert np.bincount(task.bin_index(task.rank_values)).tolist() == [2, 3, 4, 4, 7]


def test_ageing_has_the_bins_of_numclip():
    task = load_task("ageing")
    ages = [1, 12, 13, 18, 19, 34, 35, 64, 65, 90]
    assert task.bin_index(ages).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert task.bin_prompts()[2] == "age estimation: the person is a young adult"
    assert task.rank_names[20] == "twenty one"
    assert task.bin_midpoints()[-1] == 77.5


def test_quality_takes_scores_between_its_ranks():
    task = load_task("quality")
    assert task.rank_index([1.49, 1.5, 3.2]).tolist() == [0, 1, 2]
    assert task.bin_index([1.49, 1.5, 3.2]).tolist() == [0, 1, 2]


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"no task named 'counts'; .*counting.*OrdinalTask\("):
        load_task("counts")
