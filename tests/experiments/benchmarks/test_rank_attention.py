"""The benchmark of the rank attention on a few images: records, side-by-side table, command."""

import json

import pandas as pd
import pytest
from commands import run

from ordlib.experiments.benchmarks import rank_attention as benchmark
from ordlib.experiments.results import load_results


@pytest.fixture(autouse=True, scope="module")
def few_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "NUM_IMAGES", (2, 3, 4))
        patch.setattr(benchmark, "MAX_IMAGES_PAIRWISE", 3)
        patch.setattr(benchmark, "NUM_PATCHES", 5)
        yield


@pytest.fixture(scope="module")
def table(few_images):
    settings = map(benchmark.Setting, benchmark.NUM_IMAGES)
    return pd.DataFrame(benchmark.records(settings, repeats=1))


def test_records_cover_every_form_pass_and_number_of_images(table):
    keys = set(zip(table["form"], table["pass"], table["num_images"], strict=True))
    passes, numbers = ("forward", "forward+backward"), (2, 3, 4)
    expected = {(f, p, n) for f in benchmark.FORMS for p in passes for n in numbers}
    assert keys == {(f, p, n) for f, p, n in expected if (f, n) != ("pairwise", 4)}
    assert len(table) == len(keys)
    assert (table["seconds"] > 0).all()
    assert set(table["dtype"]) == {"float32"}
    compared = table[(table["form"] == "shortcut") & (table["num_images"] < 4)]
    assert (compared["max_output_diff"] < 1e-4).all()
    backward = compared[compared["pass"] == "forward+backward"]
    assert (backward["max_grad_diff"] < 1e-4).all()


def test_results_make_writes_table_with_shipped_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_IMAGES", (2,))
    path = tmp_path / "new" / "table.json"
    result = run("results", "make", "rank_attention", "--output", path)
    assert result.output == f"wrote {path}\n"
    stored = json.loads(path.read_text("utf-8"))
    shipped = load_results("rank_attention")
    assert stored["command"] == "ordlib results make rank_attention"
    assert shipped.attrs["command"].endswith(stored["command"])
    assert "P 5, M 16, H 8" in stored["description"]
    assert set(stored) - {"records"} == set(shipped.attrs)
    assert len(stored["records"]) == 4
    assert {record["threads"] for record in stored["records"]} <= {1, None}
    assert list(stored["records"][0]) == list(shipped.columns)


def test_side_by_side_merges_forms_into_rows(table):
    rows = benchmark.side_by_side(table)
    assert len(rows) == 6
    first = rows.iloc[0]
    ratio = first["seconds pairwise"] / first["seconds shortcut"]
    assert first["times faster"] == pytest.approx(ratio, abs=0.06)
    assert rows[rows["num_images"] == 4]["times faster"].tolist() == ["", ""]
