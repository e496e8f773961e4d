"""The shipped results tables of the methods: complete, finite and consistent."""

import re
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from ordlib.experiments.results import RESULTS, load_results
from ordlib.experiments.tables import TABLES, UNTRAINED, Experiment

COLUMNS = (
    *("method", "task", "image_encoder", "seed", "shots", "mae", "accuracy", "spearman", "kappa"),
    *("learning_rate", "steps", "seconds", "device"),
)
RANGES = {"mae": (0, 90), "accuracy": (0, 1), "spearman": (-1, 1), "kappa": (-1, 1)}
ORDER = {"ordinality": (0, 1), "ordinality_corrected": (-1, 1)}


@pytest.fixture(params=TABLES)
def table(request) -> pd.DataFrame:
    if not (RESULTS / f"{request.param}.json").is_file():
        pytest.skip(f"{request.param} has not been made yet")
    table = load_results(request.param)
    table.attrs["name"] = request.param
    return table


def cells(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    """Rows by task, image encoder, number of shots (None without) and method."""
    shots = table.get("shots", pd.Series(np.nan, table.index))
    shots = [None if pd.isna(k) else int(k) for k in shots]
    rows = defaultdict(list)
    keys = zip(table["task"], table["image_encoder"], shots, table["method"], strict=True)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return {key: table.iloc[indices] for key, indices in rows.items()}


def planned(table: pd.DataFrame) -> list[Experiment]:
    """The experiments of the command in the table."""

    def runner(experiments: list[Experiment]) -> list[tuple[dict, None]]:
        return [({"mae": 1.0}, None) for _ in experiments]

    options = re.findall(r"--(?:set )?([a-z_]*seeds)[ =](\d+)", table.attrs["command"])
    seeds = {"lora_seeds": 0} | {name: int(count) for name, count in options}
    return TABLES[table.attrs["name"]].experiments(runner, seeds["seeds"], seeds["lora_seeds"])


def test_columns_and_their_order(table):
    shots = {"shots"} if table.attrs["name"] == "few_shot" else set()
    order = set(ORDER) if table.attrs["name"] == "rankformer_ablation" else set()
    assert set(table.columns) == set(COLUMNS) - {"shots"} | shots | order
    first = [name for name in COLUMNS[:9] if name in table.columns]
    assert list(table.columns[: len(first)]) == first
    assert table.notna().drop(columns=["learning_rate", "steps"]).all(axis=None)


def test_description_and_command(table):
    name, words = table.attrs["name"], table.attrs["command"].split()
    assert words[:4] == ["ordlib", "results", "make", name]
    assert table.attrs["description"] == TABLES[name].description
    assert table.attrs["backbone"] == "pico-clip"


def test_cells_have_all_seeds(table):
    expected = defaultdict(list)
    for experiment in planned(table):
        encoder = experiment.options.get("image_encoder", "frozen")
        key = (experiment.task, encoder, experiment.shots, experiment.label)
        expected[key].append(experiment.seed)
    assert {key: rows["seed"].tolist() for key, rows in cells(table).items()} == expected


def test_metrics_are_finite_and_in_range(table):
    ranges = {name: ends for name, ends in (RANGES | ORDER).items() if name in table}
    for name, (low, high) in ranges.items():
        assert np.isfinite(table[name]).all()
        assert table[name].between(low, high).all(), name
    trained = table[~table["method"].isin(UNTRAINED)]
    # Untrained methods may take less than the stored resolution of 0.01 s.
    assert (table["seconds"] >= 0).all()
    assert (trained["seconds"] > 0).all()
    assert (trained["learning_rate"] > 0).all()
    assert table[table["method"].isin(UNTRAINED)]["steps"].isna().all()


def test_methods_share_steps_and_cells_share_learning_rates(table):
    trained = table[~table["method"].isin(UNTRAINED)]
    assert (trained.groupby(["task", "image_encoder"])["steps"].nunique() == 1).all()
    keys = ["task", "image_encoder", "method"]
    assert (trained.groupby(keys)["learning_rate"].nunique() == 1).all()


def test_seeds_differ(table):
    for key, rows in cells(table).items():
        if len(rows) > 1:
            assert rows["mae"].nunique() > 1, key


def test_intervals_contain_the_means(table):
    rows, keys = cells(table), []
    reference = TABLES[table.attrs["name"]].reference
    for entry in table.attrs["intervals"]:
        key = tuple(entry[name] for name in ("task", "image_encoder", "shots", "method"))
        keys.append(key)
        assert entry["mae"] == pytest.approx(rows[key]["mae"].mean(), abs=2e-6)
        assert entry["mae_low"] < entry["mae"] < entry["mae_high"]
        if key[3] == reference:
            assert "mae_diff" not in entry
            continue
        base = rows[*key[:3], reference]["mae"].mean()
        assert entry["mae_diff"] == pytest.approx(entry["mae"] - base, abs=5e-6)
        assert entry["mae_diff_low"] < entry["mae_diff"] < entry["mae_diff_high"]
    assert keys == list(rows)
