"""A page of a reproduction: what the paper printed, what the release does, what we measured."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from ..utils.cache import atomic_write
from ..utils.validation import escape_nonprintable
from .results import load_published_results

COLUMNS = ("", "the paper printed", "the release does", "we measured")
# Names of data sets and methods in the table of published results.
DATASETS = {
    "hci": "HCI", "aesthetics": "image aesthetics", "morph": "MORPH II", "adience": "Adience",
    "koniq": "KonIQ-10k", "ava": "AVA", "utkface": "UTKFace", "coco_count": "object counts",
}  # fmt: skip
METHODS = {
    "zero-shot": "zero-shot", "coop": "CoOp", "ordinalclip": "OrdinalCLIP", "l2rclip": "L2RCLIP",
    "numclip": "NumCLIP", "ranking-adapter": "ranking adapter", "finetuned": "fine-tuned CLIP",
}  # fmt: skip
METRICS = {
    "mae": "MAE", "accuracy": "accuracy", "pearson": "Pearson", "spearman": "Spearman",
    "epsilon_error": "epsilon-error",
}  # fmt: skip
# What was read in the releases, where it bears on a comparison.
RELEASES = {
    "numclip": "ViT-B/16, image encoder tuned at 1e-5, RAdam, batches of 32, 100 epochs (MORPH: "
    "200), random crops and flips; on MORPH and aesthetics the validation list is the test list.",
    "ordinalclip": "On MORPH the test list is the validation list: the best epoch is chosen "
    "on test.",
    "coop": "Its published numbers are from OrdinalCLIP's project page.",
    "l2rclip": "Losses and lists only: no RankFormer, no model, no settings. Its validation set is "
    "its training set.",
    "ranking-adapter": "ConvNeXt-L, images squashed to 320 pixels, one kind of object a batch; "
    "the number of epochs is not given.",
}


def write_report(results: Mapping, path: Path) -> None:
    """Write the page as Markdown."""
    setting = results["setting"]
    parts = [
        f"# {setting['title']}: {setting['method']}",
        f"Protocol {setting['protocol']!r}: {setting['description']} Splits: "
        f"{'as published' if setting['splits'] == 'published' else 'none published; ours'}. "
        f"Label: {setting['label']}, in {setting['unit']}.",
        _table([_set_up(results), *_rows(results)]),
        "What the paper printed and what users of the release report is quoted, not ours. Source "
        "and kind of source stand beside each number.",
        "## Models",
        _table(_model_rows(results["models"])),
    ]
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", "utf-8")


def _set_up(results: Mapping) -> dict[str, str]:
    setting, models = results["setting"], results["models"]
    seconds = sum(row["seconds"] for row in models)
    versions = ", ".join(f"{name} {number}" for name, number in setting["versions"].items())
    drawn = [f"{setting['shots']} labels a rank"] * bool(setting["shots"])
    drawn += [f"training labels: {setting['draw']}"] * bool(setting["draw"])
    measured = [
        f"{setting['backbone']}, images {setting['resize']}", *drawn,
        f"{len(models)} models, {seconds:.0f} s of training on {setting['device']}",
        f"Python {setting['python']}, {versions}",
    ]  # fmt: skip
    release = RELEASES.get(setting["method"], "not read")
    return dict(zip(COLUMNS, ("set-up", "", release, "; ".join(measured)), strict=True))


def _rows(results: Mapping) -> list[dict[str, str]]:
    setting, rows = results["setting"], []
    for name, value in results["summary"].items():
        metric, _, by_category = name.partition("_by_category")
        paper, release = ("", "") if by_category else _quoted(setting, METRICS.get(metric, metric))
        measured = f"{value['mean']:.3f}"
        if value["models"] > 1:
            measured += f" ± {value['std']:.3f} (mean and deviation of {value['models']} models)"
        low, high = results["intervals"]["mae"]["low"], results["intervals"]["mae"]["high"]
        if name == "mae" and low is not None:  # There is none for a single person.
            measured += f"; 95 % over images {low:.3f} to {high:.3f}"
        title = METRICS.get(metric, metric.replace("_", " "))
        title += ", mean over categories" * bool(by_category)
        rows.append(dict(zip(COLUMNS, (title, paper, release, measured), strict=True)))
    return rows


def _quoted(setting: Mapping, metric: str) -> tuple[str, str]:
    """Published values, and those of users who ran the release; accuracy as a fraction."""
    dataset = DATASETS.get(setting["dataset"], "")
    if setting["shots"]:
        dataset += f", {setting['shots']} labels an age"
    table = load_published_results()
    own = table["method"].str.split(",").str[0] == METHODS.get(setting["method"])
    found = table[(table["dataset"] == dataset) & (table["metric"] == metric) & own]
    by_users = found["method"].str.contains("re-run")
    return _values(found[~by_users]) or "not found", _values(found[by_users])


def _values(found: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.value / (100 if row.unit == '%' else 1):.4g} ({row.source_kind}: {row.source})"
        for row in found.itertuples()
    )


def _model_rows(models: Sequence[Mapping]) -> list[dict[str, str]]:
    table = pd.DataFrame(models).drop(columns="device").dropna(axis=1, how="all")
    return table.round(3).astype(object).where(table.notna(), "").astype(str).to_dict("records")


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[name] for name in columns] for row in rows)]
    cells = ([_cell(cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _cell(value: object) -> str:
    """Text of a cell that Markdown shows as it is: no HTML, link, further cell or row."""
    text = escape(escape_nonprintable(" ".join(str(value).split("\n"))), quote=False)
    return re.sub(r"([|\[\]])", r"\\\1", text)
