"""Published results: each has a source, and none is listed twice."""

from ordlib.experiments.results import load_published_results

KINDS = {"paper", "project page", "third party"}


def test_published_results_have_sources_and_units():
    table = load_published_results()
    columns = ["dataset", "metric", "unit", "method", "value", "source", "source_kind"]
    assert list(table.columns) == columns
    assert table.notna().all(axis=None)
    assert set(table["source_kind"]) <= KINDS
    assert (table["source"].str.len() > 10).all()
    assert not table.duplicated(["dataset", "metric", "method"]).any()
    accuracy = table[table["metric"] == "accuracy"]
    assert (accuracy["unit"] == "%").all()
    assert accuracy["value"].between(20, 100).all()
    correlation = table[table["metric"].isin(("Pearson", "Spearman"))]
    assert (correlation["unit"] == "correlation").all()
    assert correlation["value"].between(0, 1).all()
