"""Directions of ranking prompts, with and without the rank names of tasks."""

import pytest

from ordlib import OrdinalTask, load_task
from ordlib.inference.direction import is_descending

DECAY = OrdinalTask(name="decay", unit="days", values=("fresh", "ripe", "rotten"))
TOAST = OrdinalTask(name="toast", unit="steps", values=("white", "light brown", "dark brown"))
SIZE = OrdinalTask(name="size", unit="cm", values=("tiny", "small", "big", "huge"))


@pytest.mark.parametrize(
    ("prompt", "task", "expected"),
    [
        ("Sort from rotten to fresh.", DECAY, True),
        ("Sort from fresh to rotten.", DECAY, False),
        ("from the Fresh to the Rotten ones", DECAY, False),
        ("from rotten to fresh", None, False),
        ("from dark brown to light brown", TOAST, True),
        ("from light brown to dark brown", TOAST, False),
        ("Which fruit is the freshest?", DECAY, False),
        ("Which fruit is the ripest?", DECAY, True),
        ("Which is the most rotten?", DECAY, True),
        ("Which is the most fresh?", DECAY, False),
        ("Which is the tiniest?", SIZE, False),
        ("Which is the biggest?", SIZE, True),
        ("tiny first", SIZE, False),
        ("huge ones first", SIZE, True),
        ("from biggest to smallest", SIZE, True),
        ("from smallest to biggest", SIZE, False),
        ("from biggest to smallest", None, True),
        ("number of stars, ascending", None, False),
        ("number of stars, descending", None, True),
        ("fewest first", None, False),
        ("most stars first", None, True),
        ("Which picture has the fewest stars?", None, False),
        ("Who is the youngest?", None, False),
        ("photographs from 1930 to 1970 by sharpness", None, True),
        ("the quality of photographs from 1930 to 1970", "quality", True),
        ("the decade of a photograph taken from 1930 to 1970", "dating", True),
        ("people from 20 to 30, by age", "ageing", True),
        ("Rank from 20 to 80.", "ageing", False),
        ("Rank the photos from 80 to 20.", "ageing", True),
        ("Rank from the 1970s to the 1930s.", "dating", True),
        ("Rank from the 1930s to the 1970s.", "dating", False),
        ("from one to twenty", "counting", False),
        ("from twenty to one", "counting", True),
    ],
)
def test_is_descending(prompt, task, expected):
    task = load_task(task) if isinstance(task, str) else task
    assert is_descending(prompt, [task] if task else []) is expected


@pytest.mark.parametrize("name", ["counting", "dating", "ageing", "quality"])
def test_training_prompts_keep_their_direction(name):
    """All ask for the highest score first, but for those "from A to B"."""
    from ordlib.tasks.ranking_prompts import prompt_templates_for

    templates = prompt_templates_for(load_task(name))
    for template in (*templates.train, *templates.held_out):
        prompt = template.format_map({"plural": "stars"})
        ascending = " from " in prompt
        tasks = [load_task(task) for task in ("counting", "dating", "ageing", "quality")]
        assert is_descending(prompt, tasks) is not ascending, prompt
        assert is_descending(prompt, [load_task(name)]) is not ascending, prompt
