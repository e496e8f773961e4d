import pytest

from ordlib.synthetic.tasks import RANKING_PROMPTS
from ordlib.tasks import OrdinalTask, load_task
from ordlib.tasks.builtin import DEFINITIONS, SYNTHETIC
from ordlib.tasks.ranking_prompts import prompt_templates_for
from ordlib.tasks.templates import placeholder_names


def letters(prompt: str) -> str:
    """Drop case and punctuation: prompts must differ in more than these."""
    return "".join(letter for letter in prompt.lower() if letter.isalnum())


@pytest.mark.parametrize("name", [*SYNTHETIC, *DEFINITIONS])
def test_prompt_templates_for_has_distinct_prompts(name):
    templates = prompt_templates_for(load_task(name))
    prompts = [*templates.train, *templates.held_out]
    assert len(templates.train) >= 3
    assert len(templates.held_out) >= 1
    assert len(set(map(letters, prompts))) == len(prompts)
    assert all(prompt.strip() == prompt != "" for prompt in prompts)


def test_synthetic_templates_are_distinct_across_tasks_and_immutable():
    assert set(RANKING_PROMPTS) == set(SYNTHETIC)
    for name, templates in RANKING_PROMPTS.items():
        assert prompt_templates_for(load_task(name)) is templates
        assert len(templates.held_out) >= 2
    prompts = [letters(s) for t in RANKING_PROMPTS.values() for s in (*t.train, *t.held_out)]
    assert len(set(prompts)) == len(prompts)
    with pytest.raises(TypeError):
        RANKING_PROMPTS["dating"] = RANKING_PROMPTS["ageing"]


def test_only_counting_templates_have_a_placeholder():
    for name, templates in RANKING_PROMPTS.items():
        placeholders = [placeholder_names(s) for s in (*templates.train, *templates.held_out)]
        if name == "counting":
            assert set() in placeholders
            for first in (templates.train[0], templates.held_out[0]):
                assert placeholder_names(first) == {"plural"}
        assert set().union(*placeholders) == ({"plural"} if name == "counting" else set())


def test_prompt_templates_for_other_task_contain_its_name():
    task = OrdinalTask(name="state_of_decay", unit="steps", values=("fresh", "rotten"))
    templates = prompt_templates_for(task)
    for prompt in (*templates.train, *templates.held_out):
        assert "state of decay" in prompt
        assert not placeholder_names(prompt)
