import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from commands import fail, run
from pretraining_runs import interrupt

from ordlib.experiments.pretrain_clip import dose_response as module
from ordlib.experiments.pretrain_clip import image_pool
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.dose_response import Condition, conditions, run_condition
from ordlib.experiments.pretrain_clip.pretrain import pretrain

METRICS = {
    "object_top1": 0.5, "count_accuracy": 0.25, "count_mae": 4.5, "count_spearman": 0.125,
    "probe_mae": 2.0,
}  # fmt: skip


MAKE = ("results", "make", "dose_response")


def changes(config: PretrainingConfig, other: PretrainingConfig) -> dict:
    pairs = zip(asdict(config).items(), asdict(other).values(), strict=True)
    return {name: new for (name, old), new in pairs if old != new}


def test_conditions_are_ordered_by_seed():
    doses = [f"dose-{fraction}" for fraction in ("0", "0.003", "0.01", "0.03", "0.1", "0.5")]
    names = [*doses, "distractor-numbers-0.03", "twice-the-samples-0.03"]
    folders = [f"{name}-{seed}" for seed in (0, 1) for name in names]
    for extra_seeds, expected in ((1, folders[:-2]), (2, folders)):
        found = conditions(PretrainingConfig(), seeds=2, extra_seeds=extra_seeds)
        assert [condition.folder for condition in found] == expected


def test_conditions_change_one_field_each():
    sizes = {"samples_seen": 1000, "num_images": 3000, "batch_size": 100}
    config = PretrainingConfig(**sizes, learning_rate=0.5, precision="float32")
    configs = {c.folder: c.config for c in conditions(config, seeds=2, extra_seeds=2)}
    for seed in (0, 1):
        base = configs[f"dose-0.03-{seed}"]
        distractors = configs[f"distractor-numbers-0.03-{seed}"]
        assert changes(configs[f"dose-0-{seed}"], base) == {"count_caption_fraction": 0.03}
        assert changes(base, distractors) == {"distractor_number_fraction": 0.5}
        assert changes(base, configs[f"twice-the-samples-0.03-{seed}"]) == {"samples_seen": 2000}
    assert changes(configs["dose-0.5-0"], configs["dose-0.5-1"]) == {"seed": 1}
    assert configs["dose-0-0"] == config


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """Record the steps and evaluations; no images are rendered for the latter."""
    calls = []

    def train(config, folder, num_workers):
        def on_step(state):
            calls.append((folder.name, state.step))

        return pretrain(config, folder, num_workers=num_workers, on_step=on_step)

    def evaluate_counting(clip, data, train):
        calls.append(("evaluate", clip.folder.name, data, train))
        return dict(METRICS)

    monkeypatch.setattr(module, "pretrain", train)
    monkeypatch.setattr(module, "evaluate_counting", evaluate_counting)
    monkeypatch.setattr(module, "eval_images", lambda num_workers=None: "eval_images")
    monkeypatch.setattr(module, "load_data", lambda task, num_workers=None: task)
    return calls


@pytest.fixture
def condition(config) -> Condition:
    return Condition("dose", replace(config, samples_seen=3 * 24))


def test_run_condition_returns_a_row_and_caches_it(pool, condition, calls, tmp_path):
    row = run_condition(condition, tmp_path)
    evaluated = ("evaluate", "dose-0.5-3", "eval_images", "counting")
    assert calls == [("dose-0.5-3", 1), ("dose-0.5-3", 2), ("dose-0.5-3", 3), evaluated]
    card = json.loads((tmp_path / "dose-0.5-3" / "card.json").read_text())
    count = card["count_captions"]["count"]
    assert 0 < count < 72
    assert row == {
        "task": "counting", "method": "zero-shot", "condition": "dose", "seed": 3,
        "count_caption_fraction": 0.5, "distractor_number_fraction": None, "samples_seen": 72,
        "count_captions": count, "count_caption_share": round(count / 72, 6),
        "mae": 4.5, "accuracy": 0.25, "spearman": 0.125, **METRICS,
        "seconds": card["train_seconds"], "device": card["device"],
    }  # fmt: skip
    calls.clear()
    assert run_condition(condition, tmp_path) == row
    assert not calls
    (tmp_path / "dose-0.5-3.json").unlink()
    assert run_condition(condition, tmp_path) == row
    assert calls == [evaluated]


def test_run_condition_resumes(pool, condition, calls, tmp_path):
    interrupt(condition.config, tmp_path / condition.folder, step=2)
    run_condition(condition, tmp_path)
    evaluated = ("evaluate", condition.folder, "eval_images", "counting")
    assert calls == [(condition.folder, 3), evaluated]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_seen": 6 * 24}, r"(?s)--samples-seen 72.*--samples-seen 144.*--work-dir"),
        ({"batch_size": 12}, r"(?s)--batch-size 24.*not by.*--batch-size 12"),
    ],
)
def test_run_condition_rejects_checkpoint_of_another_config(
    change, message, pool, condition, calls, tmp_path
):
    run_condition(condition, tmp_path)
    with pytest.raises(ValueError, match=message):
        run_condition(replace(condition, config=replace(condition.config, **change)), tmp_path)


def make(output: Path, *options: object, **settings: int):
    """Run the command with settings."""
    return run(*MAKE, "--output", output, *options, *setting_options(**settings))


def setting_options(**values: int) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def test_make_pretrains_evaluates_and_writes(config, pool, calls, tmp_path, monkeypatch):
    monkeypatch.setitem(module.SIZES, "small", config.size)
    monkeypatch.setattr(module, "COUNT_CAPTION_FRACTIONS", (0.0, 0.03))
    path, options = tmp_path / "table.json", ["--work-dir", tmp_path / "work", "--seeds", "1"]
    sizes = {"samples_seen": 48, "num_images": 96, "batch_size": 24}
    result = make(path, *options, **sizes)
    assert result.output.strip().splitlines()[-1] == f"wrote {path}"
    steps = [name for name, *_ in calls if name != "evaluate"]
    others = ("dose-0-0", "dose-0.03-0", "distractor-numbers-0.03-0")
    assert steps == ["twice-the-samples-0.03-0"] * 4 + [n for n in others for _ in range(2)]
    table = json.loads(path.read_text("utf-8"))
    columns = ("condition", "count_caption_fraction", "samples_seen")
    assert [tuple(row[name] for name in columns) for row in table["records"]] == [
        ("distractor numbers", 0.03, 48),
        ("dose", 0.0, 48),
        ("dose", 0.03, 48),
        ("twice the samples", 0.03, 96),
    ]
    calls.clear()
    monkeypatch.setattr(module, "render_pool", None)  # nothing is rendered for cached rows
    make(path, *options, **sizes)
    assert not calls
    assert json.loads(path.read_text("utf-8")) == table


@pytest.fixture
def requested(monkeypatch) -> list[Condition]:
    """Record the requested conditions; nothing is trained or rendered."""
    order = []

    def fake(condition, work_dir, num_workers):
        order.append(condition)
        fraction, seed = condition.config.count_caption_fraction, condition.config.seed
        return {"condition": condition.name, "count_caption_fraction": fraction, "seed": seed}

    monkeypatch.setattr(module, "run_condition", fake)
    for name in ("render_pool", "eval_images", "load_data"):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    return order


def test_make_sorts_rows(requested, tmp_path):
    path = tmp_path / "table.json"
    make(path, "--seeds", "3")
    assert [condition.config.seed for condition in requested] == [0] * 8 + [1] * 8 + [2] * 8
    assert [condition.name for condition in requested[::8]] == ["twice the samples"] * 3
    rows = json.loads(path.read_text("utf-8"))["records"]
    doses = [("dose", fraction) for fraction in (0.0, 0.003, 0.01, 0.03, 0.1, 0.5)]
    cells = [("distractor numbers", 0.03), *doses, ("twice the samples", 0.03)]
    assert [tuple(row.values()) for row in rows] == [(*c, seed) for c in cells for seed in range(3)]


def test_make_writes_a_command_that_reproduces_the_table(requested, tmp_path):
    path = tmp_path / "table.json"
    sizes = {"extra_seeds": 1, "samples_seen": 9000, "num_images": 6000, "batch_size": 30}
    make(path, "--work-dir", tmp_path, "--num-jobs", "1", "--seeds", "2", **sizes)
    stored = json.loads(path.read_text("utf-8"))
    assert stored["description"] == module.DESCRIPTION
    first, words = list(requested), shlex.split(stored["command"])
    assert words == ["ordlib", *MAKE, "--seeds", "2", *setting_options(**sizes)]
    requested.clear()
    run(*words[1:], "--output", path)
    assert requested == first
    assert len(requested) == 14
    used = {(c.config.batch_size, c.config.num_images, c.config.size.name) for c in requested}
    assert used == {(30, 6000, "small")}
    assert {condition.config.samples_seen for condition in requested} == {9000, 18000}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("samples_seen=10", "samples_seen = 10: must be >= batch_size = 128"),
        ("num_images=4000", "num_images = 4000: must be a multiple of 3000"),
    ],
)
def test_make_fails_with_one_line(setting, message, tmp_path, monkeypatch):
    monkeypatch.setattr(image_pool, "BLOCK", 500)
    output = fail(message, *MAKE, "--output", tmp_path / "table.json", "--set", setting)
    assert len(output.splitlines()) == 1
