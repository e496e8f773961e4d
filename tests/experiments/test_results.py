import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ordlib.experiments import results as module
from ordlib.experiments.results import load_results, save_results

RECORDS = [
    {"condition": "dose", "distractor_number_fraction": None, "seed": 0, "mae": 4.25},
    {"condition": "twice the samples", "distractor_number_fraction": 0.5, "seed": 1, "mae": 3.0},
]


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def test_load_results_inverts_save_results(results):
    save_results(results / "trial.json", "Übung.", "make trial", RECORDS, seeds=[0, 1], note="x")
    table = load_results("trial")
    pd.testing.assert_frame_equal(table, pd.DataFrame(RECORDS))
    assert table["distractor_number_fraction"].dtype == table["mae"].dtype == np.float64
    more = {"seeds": [0, 1], "note": "x"}
    assert table.attrs == {"description": "Übung.", "command": "make trial", **more}


def test_save_results_writes_one_row_per_line(results):
    save_results(results / "trial.json", "A trial.", "make trial", RECORDS)
    text = (results / "trial.json").read_text("utf-8")
    assert json.loads(text)["records"] == RECORDS
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    assert [json.loads(line) for line in lines if line.startswith("{") and line != "{"] == RECORDS


def test_load_results_lists_available_tables(results):
    with pytest.raises(ValueError, match=r"table = 'trail': .* available tables: none"):
        load_results("trail")
    for name in ("trial", "dose_response"):
        save_results(results / f"{name}.json", "A trial.", "make trial", RECORDS)
    with pytest.raises(ValueError, match=r"table = 'trail': .* dose_response, trial$"):
        load_results("trail")


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), np.float64("nan")])
def test_save_results_rejects_non_finite_numbers(results, value):
    path = results / "trial.json"
    records = [*RECORDS, RECORDS[0] | {"mae": value}]
    with pytest.raises(ValueError, match=r"records\[2\]\['mae'\] = -?(nan|inf): .* None"):
        save_results(path, "A trial.", "make trial", records)
    for wrong in ({"limit": value}, {"limits": [value]}):
        with pytest.raises(ValueError, match="JSON compliant"):
            save_results(path, "A trial.", "make trial", RECORDS, **wrong)
    assert not list(results.iterdir())
