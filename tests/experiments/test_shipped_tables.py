"""The shipped results tables of the methods: complete, finite and consistent."""

import re
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations
from unittest.mock import patch

import pandas as pd
import pytest

from ordlib.experiments import tables
from ordlib.experiments.experiment import Experiment
from ordlib.experiments.grid import UNTRAINED
from ordlib.experiments.results import RESULTS, load_results
from ordlib.experiments.tables import TABLES

COLUMNS = (
    *("method", "task", "image_encoder", "seed", "shots", "mae", "accuracy", "spearman", "kappa"),
    *("learning_rate", "steps", "seconds", "device"),
)
RANGES = {"mae": (0, 90), "accuracy": (0, 1), "spearman": (-1, 1), "kappa": (-1, 1)}
ORDER = {"ordinality": (0, 1), "ordinality_corrected": (-1, 1)}
UNCERTAINTY = {"ece": (0, 1), "ece_scaled": (0, 1), "coverage": (0, 1), "interval_width": (0, 90)}
WITH_UNCERTAINTY = ("methods", "shift", "unseen_objects", "backbones")
SEEDS = ("seeds", "lora_seeds")
METRICS_WITH_INTERVALS = ("mae", "bin_accuracy", "coverage")


@pytest.fixture(params=TABLES, scope="module")
def loaded(request) -> tuple[pd.DataFrame, dict]:
    """A table, and apart from it what is stored with it: pandas copies attrs in every operation."""
    if not (RESULTS / f"{request.param}.json").is_file():
        pytest.skip(f"{request.param} has not been made yet")
    return with_name_alone(load_results(request.param), request.param)


@pytest.fixture
def table(loaded) -> pd.DataFrame:
    return loaded[0]


@pytest.fixture
def stored(loaded) -> dict:
    return loaded[1]


def with_name_alone(table: pd.DataFrame, name: str) -> tuple[pd.DataFrame, dict]:
    """The table with its name as its only attr, and all the attrs that it had."""
    stored, table.attrs = table.attrs, {"name": name}
    return table, stored


def place(table: pd.DataFrame) -> tuple[str, ...]:
    """The columns that identify a cell, without the method."""
    return TABLES[table.attrs["name"]].place


def cells(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    """Rows by what identifies a cell (None where a row lacks it) and method."""
    rows = defaultdict(list)
    for row, record in enumerate(table.to_dict("records")):
        values = [record.get(name) for name in (*place(table), "method")]
        rows[tuple(None if pd.isna(value) else value for value in values)].append(row)
    return {key: table.iloc[indices] for key, indices in rows.items()}


def planned(name: str, command: str) -> list[Experiment]:
    """The experiments of the command of a table."""
    options = re.findall(r"--(?:set )?([a-z_]*seeds)[ =](\d+)", command)
    seeds = {"lora_seeds": 0} | {name: int(count) for name, count in options}
    grid = TABLES[name].experiments
    with patch.object(tables, "check_backbones"):  # They are not shipped.
        return grid(lambda grid: [({"mae": 1.0}, None)] * len(grid), *map(seeds.get, SEEDS))


def test_columns_and_their_order(table):
    more = {"few_shot": {"shots"}, "shift": {"draw"}, "unseen_objects": {"draw", "split"},
            "backbones": {"shots", "backbone"}}  # fmt: skip
    shots = more.get(table.attrs["name"], set())
    order = set(ORDER) if table.attrs["name"] == "rankformer_ablation" else set()
    bins = {"bin_accuracy"} if "NumCLIP" in set(table["method"]) else set()
    order |= set(UNCERTAINTY) if table.attrs["name"] in WITH_UNCERTAINTY else set()
    assert set(table.columns) == set(COLUMNS) - {"shots"} | shots | order | bins
    # Columns that some rows alone have stand at the end, or before all others.
    unordered = {"split", "backbone", "shots"} if "backbone" in table else {"split"}
    first = [name for name in COLUMNS[:9] if name in table.columns and name not in unordered]
    assert [name for name in table.columns if name not in unordered][: len(first)] == first
    partly = ("learning_rate", "steps", "bin_accuracy", "ece", "ece_scaled", "draw")
    # In that table, no number of labels means all; in `few_shot` it is always there.
    partly += ("shots",) * (table.attrs["name"] == "backbones")
    partly = [name for name in partly if name in table]
    assert table.notna().drop(columns=partly).all(axis=None)


def test_description_and_command(table, stored):
    name, words = table.attrs["name"], stored["command"].split()
    assert words[:4] == ["ordlib", "results", "make", name]
    assert stored["description"] == TABLES[name].description
    assert stored["backbone"] == "pico-clip"


def test_cells_have_all_seeds(table, stored):
    expected = defaultdict(list)
    for e in planned(table.attrs["name"], stored["command"]):
        encoder = e.options.get("image_encoder", "frozen")
        values = {"task": e.task, "image_encoder": encoder, "shots": e.shots, "draw": e.draw,
                  "split": e.split, "backbone": e.backbone}  # fmt: skip
        expected[*map(values.get, place(table)), e.label].append(e.seed)
    assert {key: rows["seed"].tolist() for key, rows in cells(table).items()} == expected


def test_metrics_are_finite_and_in_range(table):
    for name, ends in (RANGES | ORDER | UNCERTAINTY).items():
        assert name not in table or table[name].dropna().between(*ends).all(), name
    untrained = table["method"].isin(UNTRAINED)
    # Untrained methods may take less than the stored resolution of 0.01 s.
    assert (table["seconds"] >= 0).all()
    assert (table[~untrained][["seconds", "learning_rate"]] > 0).all(axis=None)
    assert table[untrained]["steps"].isna().all()


def test_methods_share_steps_and_cells_share_learning_rates(table):
    trained = table[~table["method"].isin(UNTRAINED)]
    few = trained["shots"].notna() if "shots" in trained else trained["task"].isna()
    assert (trained.groupby(["task", "image_encoder", few])["steps"].nunique() == 1).all()
    keys = ["task", "image_encoder", "method"]
    assert (trained.groupby(keys)["learning_rate"].nunique() == 1).all()


def test_seeds_differ(table):
    for key, rows in cells(table).items():
        if len(rows) > 1:
            assert rows["mae"].nunique() > 1, key


def test_intervals_contain_the_means(table, stored):
    rows, keys = cells(table), []
    for entry in stored["intervals"]:
        key = tuple(entry[name] for name in (*place(table), "method"))
        keys.append(key)
        for metric in METRICS_WITH_INTERVALS:
            if metric in entry:
                assert abs(entry[metric] - rows[key][metric].mean()) < 2e-6, entry
                assert entry[f"{metric}_low"] < entry[metric] < entry[f"{metric}_high"]
    assert keys == list(rows)


def test_differences_of_all_pairs_contain_the_differences_of_means(table, stored):
    rows, pairs = cells(table), []
    mean = cache(lambda key, metric: rows[key][metric].mean())
    for entry in stored["differences"]:
        where, metric = tuple(entry[name] for name in place(table)), entry["metric"]
        one, other = (mean((*where, entry[name]), metric) for name in ("method", "baseline"))
        assert abs(entry["difference"] - (one - other)) < 5e-6, entry
        assert entry["difference_low"] <= entry["difference"] <= entry["difference_high"]
        if metric == "mae":
            pairs.append((*where, entry["baseline"], entry["method"]))
    methods = defaultdict(list)
    for *where, method in rows:
        methods[tuple(where)].append(method)
    expected = [
        (*where, *pair) for where, names in methods.items() for pair in combinations(names, 2)
    ]
    assert Counter(pairs) == Counter(expected)


def test_encoder_differences_are_those_of_the_common_seeds():
    table, stored = with_name_alone(load_results("methods"), "methods")
    rows = table.set_index(["task", "method", "image_encoder", "seed"])["mae"].sort_index()
    found = [e for e in stored["encoder_differences"] if e["metric"] == "mae"]
    assert len(found) == 4 * len(set(table[table["image_encoder"] == "lora"]["method"]) - {
        "L2RCLIP (single stage)"
    })  # fmt: skip
    for entry in found:
        lora, frozen = (
            rows[entry["task"], entry["method"], entry[name]]
            for name in ("image_encoder", "baseline")
        )
        expected = (lora - frozen).dropna().mean()
        assert entry["difference"] == pytest.approx(expected, abs=5e-6)
        assert entry["difference_low"] <= entry["difference"] <= entry["difference_high"]
