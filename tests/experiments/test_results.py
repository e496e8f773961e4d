import json
from pathlib import Path

import numpy as np
import pytest

from ordlib.experiments import results as evidence
from ordlib.experiments.results import load_results, save_results

RECORDS = [
    {
        "condition": "count_caption_fraction",
        "count_caption_fraction": 0.003,
        "distractor_number_fraction": None,
        "seed": 0,
        "mae": 4.25,
    },
    {
        "condition": "twice the samples",
        "count_caption_fraction": 0.03,
        "distractor_number_fraction": 0.5,
        "seed": 1,
        "mae": 3.0,
    },
]


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(evidence, "RESULTS", tmp_path)
    return tmp_path


def test_what_was_saved_is_loaded(results):
    save_results(results / "trial.json", "Übung.", "make trial", RECORDS, seeds=[0, 1], note="x")
    table = load_results("trial")
    assert list(table.columns) == list(RECORDS[0])
    assert len(table) == 2
    for row, record in enumerate(RECORDS):
        for name, value in record.items():
            found = table[name][row]
            assert np.isnan(found) if value is None else found == value
    assert table["count_caption_fraction"].dtype == table["mae"].dtype == np.float64
    more = {"seeds": [0, 1], "note": "x"}
    assert table.attrs == {"description": "Übung.", "command": "make trial", **more}


def test_each_row_is_a_line_of_plain_json(results):
    save_results(results / "trial.json", "A trial.", "make trial", RECORDS)
    text = (results / "trial.json").read_text("utf-8")
    assert json.loads(text)["records"] == RECORDS
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    assert [json.loads(line) for line in lines if line.startswith("{") and line != "{"] == RECORDS


def test_an_unknown_table_is_answered_by_those_there_are(results):
    with pytest.raises(ValueError, match="no table of results 'trail'; there are none"):
        load_results("trail")
    for name in ("trial", "dose_response"):
        save_results(results / f"{name}.json", "A trial.", "make trial", RECORDS)
    with pytest.raises(ValueError, match=r"'trail'; there are dose_response, trial$"):
        load_results("trail")


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), np.float64("nan")])
def test_what_is_not_finite_is_refused_before_anything_is_written(results, value):
    path = results / "trial.json"
    records = [*RECORDS, RECORDS[0] | {"mae": value}]
    with pytest.raises(ValueError, match=r"records\[2\]\['mae'\] = -?(nan|inf): .* give None"):
        save_results(path, "A trial.", "make trial", records)
    for wrong in ({"limit": value}, {"limits": [value]}):
        with pytest.raises(ValueError, match="JSON compliant"):
            save_results(path, "A trial.", "make trial", RECORDS, **wrong)
    assert not list(results.iterdir())
