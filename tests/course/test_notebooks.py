"""The document rules, applied to the notebooks that are committed."""

from pathlib import Path

import pytest

from ordlib.course.runner import lint as documents

HOME = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in (HOME / "source").glob("*.py"))


def test_there_is_a_notebook_for_each_source_and_lab():
    assert NAMES, "no notebook in notebooks/source: the rules below would check nothing"
    assert sorted(path.stem for path in HOME.glob("*.ipynb")) == NAMES
    assert sorted(path.stem for path in (HOME / "labs").glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", documents.LINT_RULES, ids=lambda rule: rule.__name__)
def test_a_notebook_keeps_the_rule(name, rule):
    assert list(rule(documents.NotebookFiles(HOME / f"{name}.ipynb"))) == []
