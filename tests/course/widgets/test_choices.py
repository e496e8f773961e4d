"""Which methods a situation shows: rows of the right table, sorted, and messages."""

import pandas as pd
import pytest
from figures import tick_labels, title

from ordlib.course import widgets
from ordlib.course.widgets.choices import LABELS, NEEDS, TASKS
from ordlib.experiments.training_draws import LABEL_DRAWS


def results(rows):
    table = pd.DataFrame()
    table.attrs["intervals"] = [
        {"mae": mae, "mae_low": mae - 1, "mae_high": mae + 1, **row} for mae, row in rows
    ]
    return table


def row(method, task="counting", **values):
    return {"method": method, "task": task, "image_encoder": "frozen", **values}


TABLES = {
    "methods": results([
        (3.0, row("CORN")), (2.0, row("NumCLIP")), (4.0, row("CORN", "dating")),
        (1.5, row("NumCLIP") | {"image_encoder": "lora"}),
    ]),
    "few_shot": results([(9.0, row("CORN", shots=1)), (5.0, row("CORN", shots=8))]),
    "shift": results([
        (6.0, row("CORN", draw="30 % wrong labels")),
        (7.0, row("CORN", draw="half of the ranks keep 10 %")),
    ]),
    "unseen_objects": results([
        (3.0, row("CORN", split="test", draw=None)),
        (3.5, row("CORN", split="held-out objects", draw=None)),
        (4.5, row("CORN", split="held-out objects", draw="without nine kinds of objects")),
    ]),
    "ranking_adapter": results([
        (2.5, row("ranking adapter", split="test", prompts="seen")),
        (2.6, row("ranking adapter", split="test", prompts="held_out")),
        (1.0, row("NumCLIP", split="test", prompts="seen")),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "need", "expected"),
    [
        ("all", "the value", {"NumCLIP": 2.0, "CORN": 3.0}),
        ("8", "the value", {"CORN": 5.0}),
        ("all", "the value, encoder tuned", {"NumCLIP": 1.5}),
        ("all", "30 % wrong labels", {"CORN": 6.0}),
        ("all", "skewed labels", {"CORN": 7.0}),
        ("all", "unseen objects", {"CORN": 4.5}),
        ("all", "a question in words", {"ranking adapter": 2.5}),
    ],
)
def test_methods_for_selects_the_rows_of_the_situation(labels, need, expected):
    rows = widgets.methods_for(TABLES, "counting", labels, need)
    assert dict(zip(rows["method"], rows["mae"], strict=True)) == expected
    assert list(rows["mae"]) == sorted(rows["mae"])


@pytest.mark.parametrize(
    ("task", "labels", "need", "message"),
    [
        ("counting", "4", "skewed labels", "With few labels only 'the value' was measured"),
        ("dating", "8", "the value", "Not measured: dating, 8 labels per rank, the value"),
        ("dating", "all", "unseen objects", "Not measured: dating"),
    ],
)
def test_methods_for_says_what_was_not_measured(task, labels, need, message):
    with pytest.raises(ValueError, match=message):
        widgets.methods_for(TABLES, task, labels, need)


def test_methods_figure_has_the_best_on_top():
    ax = widgets.methods_figure(TABLES, "counting")
    assert tick_labels(ax.yaxis) == ["NumCLIP", "CORN"]
    assert title(ax) == "counting, all labels"
    ax = widgets.methods_figure(TABLES, "counting", need="skewed labels")
    assert title(ax) == "counting, all labels: skewed labels"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_explore_methods_offers_the_needs_of_its_tables():
    given = {name: TABLES[name] for name in ("methods", "few_shot", "ranking_adapter")}
    _, _, need = widgets.explore_methods(given).children[0].children
    assert need.options == ("the value", "the value, encoder tuned", "a question in words")


def test_needs_name_draws_that_exist():
    draws = [query for table, query in NEEDS.values() if table == "shift"]
    assert draws
    assert all(query.removeprefix("draw == ").strip("'") in LABEL_DRAWS for query in draws)


def test_explore_methods_redraws_for_every_choice():
    box = widgets.explore_methods(TABLES)
    controls, image = box.children
    task, labels, need = controls.children
    assert (task.options, labels.options, need.options) == (TASKS, LABELS, tuple(NEEDS))
    shown = {image.value}
    for control, value in ((labels, "8"), (labels, "all"), (need, "unseen objects")):
        control.value = value
        shown.add(image.value)
    assert len(shown) == 3
    task.value = "dating"  # a message instead of a figure
    assert image.value not in shown
