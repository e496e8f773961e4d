"""Each rule holds on a good notebook, and notices the copy that breaks it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from course_demo import NAME, make_project, pretend_executed

from ordlib.course.runner import lint as documents


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return pretend_executed(make_project(tmp_path))


def edited(path: Path, change: Callable[[dict], object]) -> None:
    notebook = json.loads(path.read_text())
    change(notebook)
    path.write_text(json.dumps(notebook))


def set_cell(number: int, **fields: object) -> Callable[[Path], None]:
    return lambda path: edited(path, lambda n: n["cells"][number - 1].update(fields))


def set_metadata(**fields: object) -> Callable[[Path], None]:
    return lambda path: edited(path, lambda n: n["metadata"].update(fields))


def replace(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        quoted_old, quoted_new = json.dumps(old)[1:-1], json.dumps(new)[1:-1]
        text = path.read_text()
        assert quoted_old in text
        path.write_text(text.replace(quoted_old, quoted_new))

    return change


def beside(folder: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    suffix = ".py" if folder == "source" else ".ipynb"
    return lambda path: change(path.parent / folder / f"{path.stem}{suffix}")


def second_notebook(path: Path) -> None:
    other = path.with_name("01_other.ipynb")
    other.write_text(path.read_text().replace("on Colab it installs", "it installs"))


def shows(text: str) -> Callable[[Path], None]:
    return set_cell(4, outputs=[{"output_type": "stream", "name": "stdout", "text": [text]}])


ERROR = {"output_type": "error", "ename": "KeyError", "evalue": "", "traceback": []}
WIDGETS = {"application/vnd.jupyter.widget-state+json": {"version_major": 2}}
WIDE = "x = 1  #" + "-" * 88
LONG = "\n".join(["x = 1"] * 31)
BREAKS = [
    ("opens_with_a_header", replace("# 00", "00"), "cell 1: lacks a title"),
    ("opens_with_a_header", replace("After this you", "You"), "lacks 'after this you can'"),
    ("opens_with_a_header", replace("prerequisites", "needs"), "lacks the prerequisites"),
    ("opens_with_a_header", replace(" minute", " hour"), "lacks minutes"),
    ("sets_up", set_cell(2, source="import ordlib"), "cell 2: is not the set-up cell"),
    ("sets_up", replace("# Set-up,", "# Set\n# up,"), "more than 6 lines"),
    ("sets_up", second_notebook, "is not the one of 01_other.ipynb"),
    ("takes_parameters", set_cell(3, metadata={}), "cell 3: must be the only one tagged"),
    ("takes_parameters", set_cell(4, metadata={"tags": ["parameters"]}), "only one tagged"),
    ("takes_parameters", replace("seed: int = 0", "seed = 0"), "lacks seed"),
    ("takes_parameters", replace("  # where it runs", ""), "lacks device"),
    ("takes_parameters", replace('str = "quick"', 'str = "full"'), 'budget must be "quick"'),
    ("runs_in_order", set_cell(4, execution_count=7), "cell 4: execution count 7 where 3 belongs"),
    ("runs_in_order", set_cell(4, execution_count=None), "execution count None"),
    ("has_no_errors", set_cell(4, outputs=[ERROR]), "cell 4: shows KeyError"),
    ("has_no_errors", set_metadata(papermill={"exception": True}), "papermill noted an exception"),
    ("has_no_run_metadata", set_metadata(papermill={}), "metadata: papermill is left over"),
    ("has_no_run_metadata", set_cell(4, metadata={"ExecuteTime": {}}), "cell 4: metadata 'Ex"),
    ("opens_on_github", set_metadata(widgets=WIDGETS), "has no state"),
    ("is_small", shows("x" * 1_000_000), "at most 1,000,000"),
    ("has_short_cells", set_cell(4, source=WIDE), "cell 4: 96 columns, at most 88"),
    ("has_short_cells", set_cell(4, source=LONG), "cell 4: 31 lines, at most 30"),
    ("is_checked_by_nbval", set_cell(4, source="1 + 1"), "4 cells are marked"),
    ("is_checked_by_nbval", set_cell(4, source="1 # NBVAL_CHECK_OUTPUT"), "alone on its line"),
    ("is_checked_by_nbval", set_cell(4, outputs=[]), "cell 4: nbval has nothing to compare"),
    ("is_checked_by_nbval", set_cell(4, execution_count=None), "nothing to compare"),
    ("agrees_with_source", replace("1 + 1", "1 + 9"), "cell 4: differs from its source"),
    ("agrees_with_source", replace("and check that", "and show that"), "cell 1: differs"),
    ("agrees_with_source", beside("source", Path.unlink), f"has no source/{NAME}.py"),
    ("agrees_with_source", beside("source", lambda p: p.write_text("# %%\n1\n")), "makes 1"),
    ("has_a_clean_lab", beside("labs", replace("return ...", "return 2 * x")), "2 * x"),
    ("has_a_clean_lab", beside("labs", replace("# Set-up", "### BEGIN SOLUTION")), "SOLUTION"),
    ("has_a_clean_lab", beside("labs", shows("2")), "cell 4: holds"),
    ("has_a_clean_lab", beside("labs", set_cell(4, execution_count=3)), "cell 4: holds"),
    ("has_a_clean_lab", beside("labs", replace("Good.", "Bad.")), "labs: cell 15: differs"),
    ("has_a_clean_lab", beside("labs", Path.unlink), f"there is no labs/{NAME}.ipynb"),
    ("quotes_its_results", replace("0.12<!--=mae", "0.13<!--=mae"), "cell 12: quotes a number"),
    ("quotes_its_results", replace("46<!--=", "45<!--="), "quotes a number"),
    ("quotes_its_results", replace("=mae-->", "=mea-->"), "no result is named 'mea'"),
    ("quotes_its_results", replace("0.12<!--", "little<!--"), "has no number right before it"),
    ("describes_its_images", replace("![a star]", "![]"), "![](pictures/star.png) has no alt"),
    ("describes_its_images", replace("Add.", '<img src="pictures/star.png">'), "no alternative"),
    ("links_to_what_exists", replace("pictures/star", "pictures/moon"), "moon.png leads nowhere"),
    ("links_to_what_exists", replace("pictures/star", "/pictures/star"), "is absolute"),
    ("reads_the_same_everywhere", shows("<C at 0x7f1234567890>"), "0x7f"),
    ("reads_the_same_everywhere", shows("in /home/ada/x"), "/home/ada"),
]
NAMES = [f"{rule}-{says[:24]}" for rule, _, says in BREAKS]


def test_a_good_notebook_breaks_no_rule(good):
    assert documents.check_notebook(good) == []


@pytest.mark.parametrize(("rule", "breaks", "says"), BREAKS, ids=NAMES)
def test_the_rule_notices(good, rule, breaks, says):
    breaks(good)
    messages = list(getattr(documents, rule)(documents.Page(good)))
    assert any(says in message for message in messages), messages
    all_messages = documents.check_notebook(good)
    assert {f"{good.name}, {message}" for message in messages} <= set(all_messages)


def test_every_rule_is_broken_above():
    assert {rule.__name__ for rule in documents.RULES} == {rule for rule, _, _ in BREAKS}
