"""The bench of the rank attention, on a few pictures: its records, its table, its plot."""

import importlib
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

HOME = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(HOME))
    try:
        yield importlib.import_module("benchmarks.rank_attention")
    finally:
        sys.path.remove(str(HOME))


@pytest.fixture(autouse=True, scope="module")
def few(bench):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "PICTURES", (2, 3, 4))
        patch.setattr(bench, "LARGEST_PAIRWISE", 3)
        patch.setattr(bench, "PATCHES", 5)
        yield


@pytest.fixture(scope="module")
def table(bench, few):
    return pd.DataFrame(bench.records(map(bench.Setting, bench.PICTURES), repeats=1))


def test_there_is_a_record_for_each_form_pass_and_number_it_can_have(bench, table):
    found = set(zip(table["form"], table["pass"], table["pictures"], strict=True))
    ways, numbers = ("forward", "forward+backward"), (2, 3, 4)
    expected = {(f, w, n) for f in bench.FORMS for w in ways for n in numbers}
    assert found == {(f, w, n) for f, w, n in expected if (f, n) != ("pairwise", 4)}
    assert len(table) == len(found)
    assert (table["seconds"] > 0).all()
    assert set(table["dtype"]) == {"float32"}
    differences = table[(table["form"] == "shortcut") & (table["pictures"] < 4)]
    assert (differences["outputs_differ"] < 1e-4).all()
    backward = differences[differences["pass"] == "forward+backward"]
    assert (backward["gradients_differ"] < 1e-4).all()


def test_main_writes_the_table_that_the_figure_reads(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    bench.main()
    stored = json.loads((tmp_path / "rank_attention.json").read_text())
    assert stored["command"] == "OMP_NUM_THREADS=1 python -m benchmarks.rank_attention"
    assert len(stored["records"]) == 10
    assert {record["threads"] for record in stored["records"]} <= {1, None}


def test_a_row_has_both_forms_side_by_side(bench, table):
    rows = bench.side_by_side(table)
    assert len(rows) == 6
    first = rows.iloc[0]
    ratio = first["seconds pairwise"] / first["seconds shortcut"]
    assert first["times faster"] == pytest.approx(ratio, abs=0.06)
    assert rows[rows["pictures"] == 4]["times faster"].tolist() == ["", ""]


def test_the_plot_is_written(bench, table, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "PLOT", tmp_path / "bench" / "plot.png")
    assert Image.open(bench.draw(table)).width > 300
