"""Sentences that ask for an order: several for each task, those for tests apart."""

import pytest

from ordlib.synthetic.tasks import WORDINGS
from ordlib.tasks import OrdinalTask, load_task
from ordlib.tasks.builtin import DEFINITIONS, RENDERED
from ordlib.tasks.ranking_prompts import wordings_of
from ordlib.tasks.templates import placeholders


def plain(sentence: str) -> str:
    """Leave letters and figures: what differs in a stop or a capital alone is the same."""
    return "".join(letter for letter in sentence.lower() if letter.isalnum())


@pytest.mark.parametrize("name", [*RENDERED, *DEFINITIONS])
def test_all_sentences_of_a_task_differ(name):
    found = wordings_of(load_task(name))
    sentences = [*found.trained, *found.unseen]
    assert len(found.trained) >= 3
    assert len(found.unseen) >= 1
    assert len({plain(sentence) for sentence in sentences}) == len(sentences)
    assert all(sentence.strip() == sentence != "" for sentence in sentences)


def test_ordlibs_own_tasks_have_sentences_that_no_other_task_has():
    assert set(WORDINGS) == set(RENDERED)
    for name, found in WORDINGS.items():
        assert wordings_of(load_task(name)) is found
        assert len(found.unseen) >= 2
    sentences = [plain(s) for w in WORDINGS.values() for s in (*w.trained, *w.unseen)]
    assert len(set(sentences)) == len(sentences)


def test_only_counting_names_a_thing_and_not_in_every_sentence():
    for name, found in WORDINGS.items():
        named = [placeholders(s) for s in (*found.trained, *found.unseen)]
        if name == "counting":
            assert {"plural"} in named
            assert set() in named
            assert placeholders(found.trained[0]) == placeholders(found.unseen[0]) == {"plural"}
        assert all(fields <= ({"plural"} if name == "counting" else set()) for fields in named)


def test_another_task_is_asked_for_by_its_name():
    task = OrdinalTask(name="state_of_decay", unit="steps", values=("fresh", "rotten"))
    found = wordings_of(task)
    for sentence in (*found.trained, *found.unseen):
        assert "state of decay" in sentence
        assert not placeholders(sentence)


def test_the_list_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        WORDINGS["dating"] = WORDINGS["ageing"]
