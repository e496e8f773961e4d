"""The committed tables of methods: complete, finite, and consistent with themselves."""

import re
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from ordlib.experiments.results import RESULTS, load_results
from ordlib.experiments.tables import TABLES, UNTRAINED, Trial

COLUMNS = (
    *("method", "task", "image_encoder", "seed", "shots", "mae", "accuracy", "spearman", "kappa"),
    *("learning_rate", "steps", "seconds", "device"),
)
RANGES = {"mae": (0, 90), "accuracy": (0, 1), "spearman": (-1, 1), "kappa": (-1, 1)}
ORDER = {"ordinality": (0, 1), "ordinality_corrected": (-1, 1)}


@pytest.fixture(params=TABLES)
def table(request) -> pd.DataFrame:
    if not (RESULTS / f"{request.param}.json").is_file():
        pytest.skip(f"{request.param} was not made yet")
    found = load_results(request.param)
    found.attrs["name"] = request.param
    return found


def cells(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    """Rows by task, block, number of shots (None without) and method."""
    given = table.get("shots", pd.Series(np.nan, table.index))
    shots = [None if pd.isna(k) else int(k) for k in given]
    places = defaultdict(list)
    for place, key in enumerate(
        zip(table["task"], table["image_encoder"], shots, table["method"], strict=True)
    ):
        places[key].append(place)
    return {key: table.iloc[rows] for key, rows in places.items()}


def planned(table: pd.DataFrame) -> list[Trial]:
    """The models that the command on the table trains."""

    def runner(trials: list[Trial]) -> list[tuple[dict, None]]:
        return [({"mae": 1.0}, None) for _ in trials]

    found = re.findall(r"--(?:set )?([a-z_]*seeds)[ =](\d+)", table.attrs["command"])
    options = {name: int(count) for name, count in found}
    return TABLES[table.attrs["name"]].trials(
        runner, options["seeds"], options.get("lora_seeds", 0)
    )


def test_columns_come_in_one_order(table):
    shots = {"shots"} if table.attrs["name"] == "few_shot" else set()
    words = (
        {"ordinality", "ordinality_corrected"}
        if table.attrs["name"] == "rankformer_ablation"
        else set()
    )
    assert set(table.columns) == set(COLUMNS) - {"shots"} | shots | words
    first = [name for name in COLUMNS[:9] if name in table.columns]
    assert list(table.columns[: len(first)]) == first
    assert table.notna().drop(columns=["learning_rate", "steps"]).all(axis=None)


def test_what_and_command_are_those_of_the_table(table):
    name, words = table.attrs["name"], table.attrs["command"].split()
    assert words[:4] == ["ordlib", "results", "make", name]
    assert table.attrs["description"] == TABLES[name].description
    assert table.attrs["backbone"] == "pico-clip"


def test_every_cell_has_every_seed(table):
    expected = defaultdict(list)
    for trial in planned(table):
        block = trial.options.get("image_encoder", "frozen")
        expected[trial.task, block, trial.shots, trial.label].append(trial.seed)
    assert {key: rows["seed"].tolist() for key, rows in cells(table).items()} == expected


def test_numbers_are_finite_and_in_their_range(table):
    ranges = {name: ends for name, ends in (RANGES | ORDER).items() if name in table}
    for name, (low, high) in ranges.items():
        assert np.isfinite(table[name]).all()
        assert table[name].between(low, high).all(), name
    trained = table[~table["method"].isin(UNTRAINED)]
    # What is not trained may take less than the hundredth of a second that is written.
    assert (table["seconds"] >= 0).all()
    assert (trained["seconds"] > 0).all()
    assert (trained["learning_rate"] > 0).all()
    assert table[table["method"].isin(UNTRAINED)]["steps"].isna().all()


def test_all_methods_of_a_task_take_the_same_steps_and_a_cell_has_one_rate(table):
    trained = table[~table["method"].isin(UNTRAINED)]
    assert (trained.groupby(["task", "image_encoder"])["steps"].nunique() == 1).all()
    keys = ["task", "image_encoder", "method"]
    assert (trained.groupby(keys)["learning_rate"].nunique() == 1).all()


def test_seeds_of_a_trained_cell_differ(table):
    for key, rows in cells(table).items():
        if len(rows) > 1:
            assert rows["mae"].nunique() > 1, key


def test_intervals_hold_their_estimates_which_are_the_rows_means(table):
    rows, seen = cells(table), []
    reference = TABLES[table.attrs["name"]].reference
    for entry in table.attrs["intervals"]:
        key = tuple(entry[name] for name in ("task", "image_encoder", "shots", "method"))
        seen.append(key)
        assert entry["mae"] == pytest.approx(rows[key]["mae"].mean(), abs=2e-6)
        assert entry["mae_low"] < entry["mae"] < entry["mae_high"]
        if key[3] == reference:
            assert "mae_diff" not in entry
            continue
        base = rows[*key[:3], reference]["mae"].mean()
        assert entry["mae_diff"] == pytest.approx(entry["mae"] - base, abs=5e-6)
        assert entry["mae_diff_low"] < entry["mae_diff"] < entry["mae_diff_high"]
    assert seen == list(rows)
