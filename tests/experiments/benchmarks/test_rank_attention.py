"""The bench of the rank attention, on a few pictures: its records and its table."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from ordlib.cli import app
from ordlib.experiments.benchmarks import rank_attention as bench
from ordlib.experiments.results import load_results


@pytest.fixture(autouse=True, scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "PICTURES", (2, 3, 4))
        patch.setattr(bench, "LARGEST_PAIRWISE", 3)
        patch.setattr(bench, "PATCHES", 5)
        yield


@pytest.fixture(scope="module")
def table(few):
    return pd.DataFrame(bench.records(map(bench.Setting, bench.PICTURES), repeats=1))


def test_there_is_a_record_for_each_form_pass_and_number_it_can_have(table):
    found = set(zip(table["form"], table["pass"], table["num_images"], strict=True))
    ways, numbers = ("forward", "forward+backward"), (2, 3, 4)
    expected = {(f, w, n) for f in bench.FORMS for w in ways for n in numbers}
    assert found == {(f, w, n) for f, w, n in expected if (f, n) != ("pairwise", 4)}
    assert len(table) == len(found)
    assert (table["seconds"] > 0).all()
    assert set(table["dtype"]) == {"float32"}
    differences = table[(table["form"] == "shortcut") & (table["num_images"] < 4)]
    assert (differences["max_output_diff"] < 1e-4).all()
    backward = differences[differences["pass"] == "forward+backward"]
    assert (backward["max_grad_diff"] < 1e-4).all()


def test_the_command_writes_the_table_that_the_figure_reads(tmp_path):
    path = tmp_path / "new" / "table.json"
    result = CliRunner().invoke(app, ["results", "make", "rank_attention", "--output", str(path)])
    assert result.exit_code == 0, result.output
    assert result.output == f"wrote {path}\n"
    stored = json.loads(path.read_text("utf-8"))
    shipped = load_results("rank_attention")
    assert stored["command"] == "ordlib results make rank_attention"
    assert shipped.attrs["command"].endswith(stored["command"])
    assert "P 5, M 16, H 8" in stored["description"]
    assert set(stored) - {"records"} == set(shipped.attrs)
    assert len(stored["records"]) == 10
    assert {record["threads"] for record in stored["records"]} <= {1, None}
    assert list(stored["records"][0]) == list(shipped.columns)


def test_a_row_has_both_forms_side_by_side(table):
    rows = bench.side_by_side(table)
    assert len(rows) == 6
    first = rows.iloc[0]
    ratio = first["seconds pairwise"] / first["seconds shortcut"]
    assert first["times faster"] == pytest.approx(ratio, abs=0.06)
    assert rows[rows["num_images"] == 4]["times faster"].tolist() == ["", ""]
