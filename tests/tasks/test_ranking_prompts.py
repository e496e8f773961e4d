"""Sentences that ask for an order: several for each task, those for tests apart."""

import pytest

from ordlib.synthetic.tasks import WORDINGS
from ordlib.tasks import OrdinalTask, load_task
from ordlib.tasks.builtin import DEFINITIONS, RENDERED
from ordlib.tasks.ranking_prompts import prompt_templates_for
from ordlib.tasks.templates import placeholder_names


def plain(sentence: str) -> str:
    """Leave letters and figures: what differs in a stop or a capital alone is the same."""
    return "".join(letter for letter in sentence.lower() if letter.isalnum())


@pytest.mark.parametrize("name", [*RENDERED, *DEFINITIONS])
def test_all_sentences_of_a_task_differ(name):
    found = prompt_templates_for(load_task(name))
    sentences = [*found.train, *found.held_out]
    assert len(found.train) >= 3
    assert len(found.held_out) >= 1
    assert len({plain(sentence) for sentence in sentences}) == len(sentences)
    assert all(sentence.strip() == sentence != "" for sentence in sentences)


def test_ordlibs_own_tasks_have_sentences_that_no_other_task_has():
    assert set(WORDINGS) == set(RENDERED)
    for name, found in WORDINGS.items():
        assert prompt_templates_for(load_task(name)) is found
        assert len(found.held_out) >= 2
    sentences = [plain(s) for w in WORDINGS.values() for s in (*w.train, *w.held_out)]
    assert len(set(sentences)) == len(sentences)


def test_only_counting_names_a_thing_and_not_in_every_sentence():
    for name, found in WORDINGS.items():
        named = [placeholder_names(s) for s in (*found.train, *found.held_out)]
        if name == "counting":
            assert {"plural"} in named
            assert set() in named
            assert (
                placeholder_names(found.train[0])
                == placeholder_names(found.held_out[0])
                == {"plural"}
            )
        assert all(fields <= ({"plural"} if name == "counting" else set()) for fields in named)


def test_another_task_is_asked_for_by_its_name():
    task = OrdinalTask(name="state_of_decay", unit="steps", values=("fresh", "rotten"))
    found = prompt_templates_for(task)
    for sentence in (*found.train, *found.held_out):
        assert "state of decay" in sentence
        assert not placeholder_names(sentence)


def test_the_list_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        WORDINGS["dating"] = WORDINGS["ageing"]
