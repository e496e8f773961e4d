"""Intervals of results tables: two-way bootstraps of all cells and of all pairs of methods."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from ordlib.experiments.intervals import (
    bootstrap_cells,
    cached_rows,
    differences_across,
    spearman_interval,
)
from ordlib.metrics import two_way_bootstrap

PLACE = ("task", "image_encoder")
GROUPS = np.repeat(np.arange(5), 3)


def test_bootstrap_cells_equal_two_way_bootstrap():
    rng, rows, scores = np.random.default_rng(0), [], []
    cells = {("A", "frozen"): 3, ("probe", "frozen"): 1, ("B", "frozen"): 3, ("A", "lora"): 2}
    for (method, name), seeds in cells.items():
        row = {"task": "dating", "image_encoder": name, "method": method}
        rows += [row | {"seed": seed} for seed in range(seeds)]
        scores += [{"mae": errors} for errors in rng.random((seeds, 15)) + (method == "A")]
    found = bootstrap_cells(rows, scores, PLACE, lambda row: GROUPS)
    intervals = {(e["method"], e["image_encoder"]): e for e in found["intervals"]}
    assert list(intervals) == list(cells)
    tables = [np.array([s["mae"] for s in scores[part]]) for part in
              (slice(0, 3), slice(3, 4), slice(4, 7))]  # fmt: skip
    a, probe, b = tables
    for method, table in (("A", a), ("probe", probe), ("B", b)):
        estimates = [intervals[method, "frozen"][name] for name in ("mae", "mae_low", "mae_high")]
        expected = two_way_bootstrap(table, groups=GROUPS)
        assert estimates == pytest.approx(list(expected), abs=1e-6)
    differences = {(e["method"], e["baseline"]): e for e in found["differences"]}
    assert [*differences] == [("probe", "A"), ("B", "A"), ("B", "probe")]
    columns = ("difference", "difference_low", "difference_high")
    expected = two_way_bootstrap(b, a, groups=GROUPS)
    assert [differences["B", "A"][name] for name in columns] == pytest.approx(expected, abs=1e-6)
    estimate, low, high = two_way_bootstrap(a, probe, groups=GROUPS)
    values = [differences["probe", "A"][name] for name in columns]
    assert values == pytest.approx([-estimate, -high, -low], abs=1e-6)


def test_differences_across_pair_the_seeds_of_both_values():
    rng, rows, tables = np.random.default_rng(0), [], {}
    for method, name, seeds in (("A", "frozen", (0, 1, 2)), ("A", "lora", (1, 0)),
                                ("B", "frozen", (0,))):  # fmt: skip
        tables[method, name] = dict(zip(seeds, rng.random((len(seeds), 15)), strict=True))
        row = {"task": "dating", "image_encoder": name, "method": method}
        rows += [row | {"seed": seed} for seed in seeds]
    scores = [{"mae": errors} for table in tables.values() for errors in table.values()]
    place = ("task", "shots")
    (found,) = differences_across(rows, scores, "image_encoder", place, lambda row: GROUPS)
    columns = ("difference", "difference_low", "difference_high")
    lora, frozen = (
        np.stack([tables["A", name][seed] for seed in (0, 1)]) for name in ("lora", "frozen")
    )
    expected = two_way_bootstrap(lora, frozen, groups=GROUPS)
    assert [found.pop(name) for name in columns] == pytest.approx(list(expected), abs=1e-6)
    keys = {"task": "dating", "shots": None, "method": "A", "metric": "mae"}
    assert found == keys | {"image_encoder": "lora", "baseline": "frozen"}


def test_differences_across_compare_with_the_first_value_and_its_only_seed():
    rng, scores = np.random.default_rng(1), []
    rows = [{"task": "t", "method": "A", "seed": 0}]
    rows += [{"task": "t", "method": "A", "draw": d, "seed": s} for d in ("x", "y") for s in (0, 1)]
    scores = [{"mae": rng.random(15)} for _ in rows]
    found = differences_across(rows, scores, "draw", ("task",), lambda row: None)
    assert [(e["draw"], e["baseline"]) for e in found] == [("x", None), ("y", None)]
    errors = [each["mae"] for each in scores]
    for entry, part in zip(found, (slice(1, 3), slice(3, 5)), strict=True):
        expected = two_way_bootstrap(errors[part], errors[:1])
        values = [entry[name] for name in ("difference", "difference_low", "difference_high")]
        assert values == pytest.approx(list(expected), abs=1e-6)


def test_bootstrap_cells_of_metrics_that_both_methods_have():
    rows = [{"task": "t", "image_encoder": "frozen", "method": name} for name in "AB"]
    scores = [{"mae": np.arange(4.0), "bin_accuracy": np.ones(4)}, {"mae": np.zeros(4)}]
    found = bootstrap_cells(rows, scores, PLACE, lambda row: None)
    assert [e["metric"] for e in found["differences"]] == ["mae"]
    assert found["intervals"][0]["bin_accuracy"] == 1
    assert "bin_accuracy" not in found["intervals"][1]


def test_bootstrap_cells_are_none_where_undefined():
    row = {"task": "dating", "image_encoder": "frozen", "method": "A"}
    found = bootstrap_cells([row], [{"mae": np.ones(4)}], PLACE, lambda _: ["a"] * 4)
    (entry,) = found["intervals"]
    assert [entry["mae"], entry["mae_low"], entry["mae_high"]] == [1.0, None, None]


def naive_spearman_interval(table, baseline, groups):
    """Loops over resamples, seeds and images, with the same random draws."""
    rng, units, values = np.random.default_rng(0), sorted(set(groups)), []
    for _ in range(1000):
        seeds = rng.integers(len(table), size=len(table))
        drawn = rng.integers(len(units), size=len(units))
        images = [i for unit in drawn for i, g in enumerate(groups) if g == units[unit]]
        means = [np.mean([spearmanr(*part[s][:, images]).statistic for s in seeds])
                 for part in (table, baseline)]  # fmt: skip
        values.append(means[0] - means[1])
    return np.quantile(values, [0.025, 0.975])


def test_spearman_interval_equals_naive_loop():
    rng = np.random.default_rng(1)
    y_true = rng.integers(1, 6, 15)
    table, baseline = (
        np.stack([[y_true, y_true + rng.normal(0, noise, 15)] for _ in range(3)])
        for noise in (1, 3)
    )
    estimate, low, high = spearman_interval(table, baseline, GROUPS)
    means = [np.mean([spearmanr(*seed).statistic for seed in part]) for part in (table, baseline)]
    assert estimate == pytest.approx(means[0] - means[1], abs=1e-12)
    assert [low, high] == pytest.approx(naive_spearman_interval(table, baseline, GROUPS), abs=1e-9)


def test_spearman_interval_pairs_seeds_with_a_method_without_one():
    rng = np.random.default_rng(2)
    table = np.stack([[np.arange(30), np.arange(30) + rng.normal(0, 9, 30)] for _ in range(4)])
    single = table[:1]
    forth, back = spearman_interval(table, single), spearman_interval(single, table)
    assert forth.estimate == pytest.approx(-back.estimate)
    assert [forth.low, forth.high] == pytest.approx([-back.high, -back.low])
    same = spearman_interval(single, single)
    assert list(same) == [0, 0, 0]
    one_group = spearman_interval(table, groups=np.zeros(30))
    assert np.isnan(one_group.low)


def test_cached_rows_keep_the_scores_of_every_row(tmp_path):
    rows = [{"mae": 1.0}, {"mae": 2.0}]
    scores = [{"mae": np.arange(3), "a b": np.eye(2)}, {"mae": np.ones(2)}]
    for compute in (lambda: (rows, scores), None):
        found = cached_rows(tmp_path / "name.json", compute)
        assert found[0] == rows
        for one, other in zip(found[1], scores, strict=True):
            assert [*one] == [*other]
            assert all(np.array_equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("content", [b"", b"{", b"PK\3\4 damaged", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["rows.json", "rows.npz"])
def test_cached_rows_name_a_damaged_file(tmp_path, name, content):
    def compute():
        return [{"seed": 0}], [{"mae": np.ones(3)}]

    cached_rows(tmp_path / "rows.json", compute)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: damaged .*; delete .*compute (it|them) again"):
        cached_rows(tmp_path / "rows.json", compute)


def test_cached_rows_whose_scores_are_cut_off_name_the_file(tmp_path):
    def compute():
        return [{"seed": 0}], [{"mae": np.ones(3)}]

    cached_rows(tmp_path / "rows.json", compute)
    file = tmp_path / "rows.npz"
    for share in (0.3, 0.6, 0.9):
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises(ValueError, match=r"rows.npz: damaged"):
            cached_rows(tmp_path / "rows.json", compute)
