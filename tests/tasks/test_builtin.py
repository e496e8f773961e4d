import numpy as np
import pytest

from ordlib.synthetic.vocabulary import COLOURS, OBJECTS
from ordlib.tasks import load_task
from ordlib.tasks.builtin import DEFINITIONS, SYNTHETIC

SYNTHETIC_FIELDS = {
    "counting": ("objects", 1, 20, 20, 5),
    "dating": ("decades", 0, 4, 5, 5),
    "ageing": ("years", 1, 90, 90, 5),
    "quality": ("points", 1, 5, 5, 5),
}
AGES = {"morph", "morph_101", "utkface", "clap2015", "clap2016", "fgnet", "cacd", "adience"}
PUBLIC = AGES | {"hci", "aesthetics", "koniq", "koniq_100", "ava", "aadb", "object_count"}


def test_definitions_are_complete():
    assert (set(DEFINITIONS), set(SYNTHETIC)) == (PUBLIC, set(SYNTHETIC_FIELDS))


@pytest.mark.parametrize("name", [*SYNTHETIC, *DEFINITIONS])
def test_load_task_has_distinct_prompts(name):
    task = load_task(name)
    assert task.name == name
    for template in range(len(task.templates)):
        assert len(set(task.prompts(template))) == task.num_ranks
    for template in range(len(task.bin_templates)):
        assert len(set(task.bin_prompts(template))) == task.num_bins
    assert set(task.bin_index(task.rank_values)) <= set(range(task.num_bins))


@pytest.mark.parametrize("name", SYNTHETIC_FIELDS)
def test_synthetic_task_has_rendered_ranks_and_no_digits_except_decades(name):
    task = load_task(name)
    fields = (task.unit, *task.range, task.num_ranks, task.num_bins)
    assert fields == SYNTHETIC_FIELDS[name]
    assert (np.bincount(task.bin_index(task.rank_values)) > 0).all()
    names = task.bin_phrases if name == "dating" else task.rank_names + task.bin_phrases
    assert not any(character.isdigit() for name in names for character in name)


def test_counting_has_plural_objects_and_five_bins():
    task = load_task("counting")
    assert task.placeholders["object"] == tuple(noun.plural for noun in OBJECTS)
    assert task.placeholders["colour"] == tuple(COLOURS)
    # One noun form for all counts; otherwise grammar would separate one from more.
    assert task.prompts(object="stars")[0] == "a photo of one stars"
    assert task.bin_prompts(object="stars")[0] == "a photo of hardly any stars"
    assert np.bincount(task.bin_index(task.rank_values)).tolist() == [2, 3, 4, 4, 7]


def test_ageing_has_bins_of_numclip():
    task = load_task("ageing")
    ages = [1, 12, 13, 18, 19, 34, 35, 64, 65, 90]
    assert task.bin_index(ages).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert task.bin_prompts()[2] == "age estimation: the person is a young adult"
    assert task.rank_names[20] == "twenty one"
    assert task.bin_midpoints()[-1] == 77.5


def test_load_task_unknown_name_lists_tasks():
    with pytest.raises(ValueError, match=r"task = 'counts': .*counting.*OrdinalTask\("):
        load_task("counts")
