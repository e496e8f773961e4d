"""Every rule passes on all notebooks of the course, and fails on a modified copy."""

import json
from pathlib import Path

import pytest
from course_demo import NAME, make_project, pretend_executed

from ordlib.course.runner import lint
from ordlib.experiments import results

HOME = Path(__file__).parents[3] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in (HOME / "source").glob("*.py"))


@pytest.fixture
def valid(tmp_path):
    return pretend_executed(make_project(tmp_path))


def edit(path, change):
    notebook = json.loads(path.read_text())
    change(notebook)
    path.write_text(json.dumps(notebook))


def set_cell(number, **fields):
    return lambda path: edit(path, lambda n: n["cells"][number - 1].update(fields))


def set_metadata(**fields):
    return lambda path: edit(path, lambda n: n["metadata"].update(fields))


def replace(old, new):
    def change(path):
        a, b = (json.dumps(text)[1:-1] for text in (old, new))
        text = path.read_text()
        assert a in text
        path.write_text(text.replace(a, b))

    return change


def beside(folder, change):
    suffix = ".py" if folder == "source" else ".ipynb"
    return lambda path: change(path.parent / folder / f"{path.stem}{suffix}")


def add_notebook(path):
    other = path.with_name("01_other.ipynb")
    other.write_text(path.read_text().replace("on Colab it installs", "it installs"))


def drop_alt_text(path):
    def drop(notebook):
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                output["metadata"] = {}

    edit(path, drop)


def untag_solution(path):
    path.write_text(path.read_text().replace(' tags=["solution"]', ""))


def shows(text):
    return set_cell(4, outputs=[{"output_type": "stream", "name": "stdout", "text": [text]}])


def claim(**changes):
    def change(path):
        claim = {"notebook": NAME, "statement": "The MAE is stars", "table": "notebook"}
        claim |= {"select": "", "condition": "0.1 < mae"}
        (path.parent / "source" / "claims.json").write_text(json.dumps([claim | changes]))

    return change


ERROR = {"output_type": "error", "ename": "KeyError", "evalue": "", "traceback": []}
WIDGETS = {"application/vnd.jupyter.widget-state+json": {"version_major": 2}}
WIDE = "x = 1  #" + "-" * 88
LONG = "\n".join(["x = 1"] * 31)
BREAKS = [
    ("header", replace("# 00", "00"), "cell 1: lacks a title"),
    ("header", replace("After this you", "You"), "lacks 'after this you can'"),
    ("header", replace("prerequisites", "needs"), "lacks the prerequisites"),
    ("header", replace(" minute", " hour"), "lacks minutes"),
    ("setup_cell", set_cell(2, source="import ordlib"), "cell 2: is not the set-up cell"),
    ("setup_cell", replace("# Set-up,", "# Set\n# up,"), "more than 6 lines"),
    ("setup_cell", add_notebook, "differs from that of 01_other.ipynb"),
    ("parameters", set_cell(3, metadata={}), "cell 3: must be the only one tagged"),
    ("parameters", set_cell(4, metadata={"tags": ["parameters"]}), "only one tagged"),
    ("parameters", replace("seed: int = 0", "seed = 0"), "lacks seed"),
    ("parameters", replace("  # where it runs", ""), "lacks device"),
    ("parameters", replace('str = "quick"', 'str = "full"'), 'budget must be "quick"'),
    ("execution_counts", set_cell(4, execution_count=7), "cell 4: execution count is 7, not 3"),
    ("no_errors", set_cell(4, outputs=[ERROR]), "cell 4: shows KeyError"),
    ("no_errors", set_metadata(papermill={"exception": True}), "recorded an exception"),
    ("no_run_metadata", set_metadata(papermill={}), "metadata: papermill is left over"),
    ("no_run_metadata", set_cell(4, metadata={"ExecuteTime": {}}), "cell 4: metadata 'Ex"),
    ("widget_state", set_metadata(widgets=WIDGETS), "has no state"),
    ("file_size", shows("x" * 1_000_000), "at most 1,000,000"),
    ("cell_length", set_cell(4, source=WIDE), "cell 4: 96 columns, at most 88"),
    ("cell_length", set_cell(4, source=LONG), "cell 4: 31 lines, at most 30"),
    ("nbval_tags", set_cell(4, metadata={}), "4 cells have the tag"),
    ("nbval_tags", set_cell(4, source="1 # NBVAL_CHECK_OUTPUT"), "cell 4: has a comment"),
    ("nbval_tags", set_cell(4, outputs=[]), "cell 4: nbval has nothing to compare"),
    ("source", replace("1 + 1", "1 + 9"), "cell 4: differs from its source"),
    ("source", beside("source", lambda p: p.unlink()), f"has no source/{NAME}.py"),
    ("source", beside("source", lambda p: p.write_text("# %%\n1\n")), "makes 1"),
    ("source", beside("source", untag_solution), "1 exercises (###"),
    ("lab", beside("labs", shows("2")), "cell 4: has an output"),
    ("lab", beside("labs", set_cell(4, execution_count=3)), "cell 4: has an output"),
    ("lab", beside("labs", replace("Good.", "Bad.")), "labs: cell 17: differs"),
    ("lab", beside("labs", lambda p: p.unlink()), f"there is no labs/{NAME}.ipynb"),
    ("solutions", beside("solutions", lambda p: p.unlink()), f"no solutions/{NAME}.ipynb"),
    ("solutions", beside("solutions", replace("factor * x", "x")), "cell 6: differs"),
    ("solutions", beside("solutions", set_cell(6, outputs=[])), "cell 6: no check has passed"),
    ("results", replace("0.12<!--=mae", "0.13<!--=mae"), "cell 14: quotes a number"),
    ("results", replace("=mae-->", "=mea-->"), "no result is named 'mea'"),
    ("alt_text", drop_alt_text, "the figure has no caption"),
    ("alt_text", replace("![a star]", "![]"), "![](images/star.png) has no alt"),
    ("alt_text", replace("Add.", '<img src="images/star.png">'), "no alternative"),
    ("links", replace("images/star", "images/moon"), "moon.png leads nowhere"),
    ("links", replace("images/star", "/images/star"), "is absolute"),
    ("portable_outputs", shows("<C at 0x7f1234567890>"), "0x7f"),
    ("portable_outputs", shows("in /home/ada/x"), "/home/ada"),
    ("code_blocks", replace("Add.", "```python x = 1```"), "on a line of its own"),
    ("code_blocks", replace("Add.", "```\nx = 1"), "a code block does not end"),
    ("summaries", replace("Add.", "<summary>Of `x`?</summary>"), "shows '`' as it stands"),
    ("negative_zeros", shows("kappa  -0.00  0.12"), "cell 4: shows -0.00"),
    ("claims", claim(statement="The mean is high"), "'The mean is high': is not in the text"),
    ("claims", claim(condition="mae < 0.1"), "mae < 0.1 does not hold: {'mae': 0.123457"),
    ("claims", claim(select="seed > 9"), "no row of notebook has seed > 9"),
    ("claims", claim(condition="error < 1"), "name 'error' is not defined; notebook has"),
    ("claims", claim(table="few_shot", condition="difference < -99"), "does not hold"),
    ("claims", claim(more=1), "needs the fields condition, notebook"),
]
IDS = [f"{rule}-{message[:24]}" for rule, _, message in BREAKS]


def test_check_notebook_accepts_a_valid_notebook(valid):
    assert lint.check_notebook(valid) == []


@pytest.mark.parametrize(("rule", "change", "message"), BREAKS, ids=IDS)
def test_lint_rule_detects(valid, rule, change, message):
    change(valid)
    messages = list(getattr(lint, f"check_{rule}")(lint.NotebookFiles(valid)))
    assert any(message in m for m in messages), messages
    assert {f"{valid.name}, {m}" for m in messages} <= set(lint.check_notebook(valid))


@pytest.mark.parametrize(
    "change",
    [claim(), claim(statement="stars, the\n accuracy ."), claim(notebook="other", statement="x")],
)
def test_claims_hold(valid, change):
    change(valid)
    assert list(lint.check_claims(lint.NotebookFiles(valid))) == []


@pytest.mark.parametrize(
    ("low", "holds"), [(-0.5, False), (0.1, True)], ids=["with zero", "without zero"]
)
def test_claims_on_differences_look_in_both_directions(valid, low, holds, tmp_path, monkeypatch):
    """Once a table is made anew, its old sentences fail."""
    row = {"method": "A", "baseline": "B", "metric": "mae"}
    row |= {"difference": 0.3, "difference_low": low, "difference_high": 0.5}
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.save_results(tmp_path / "t.json", "", "", [{"mae": 1.0}], differences=[row])
    selected = "method == 'B' and baseline == 'A'"
    condition = "difference_high < 0 and difference == -0.3"
    claim(table="t", select=selected, condition=condition)(valid)
    assert (list(lint.check_claims(lint.NotebookFiles(valid))) == []) == holds


def test_all_lint_rules_are_tested():
    rules = {rule.__name__.removeprefix("check_") for rule in lint.LINT_RULES}
    assert rules == {rule for rule, _, _ in BREAKS}


@pytest.mark.parametrize("folder", [".", "labs", "solutions"])
def test_every_source_of_the_course_has_all_versions(folder):
    assert NOTEBOOKS
    assert sorted(path.stem for path in (HOME / folder).glob("*.ipynb")) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("rule", lint.LINT_RULES, ids=lambda rule: rule.__name__)
def test_lint_rule_accepts_the_notebooks_of_the_course(name, rule):
    assert list(rule(lint.NotebookFiles(HOME / f"{name}.ipynb"))) == []
