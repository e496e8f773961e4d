import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ordlib.cli import app
from ordlib.experiments.pretrain_clip import dose_response as doses
from ordlib.experiments.pretrain_clip import image_pool as pools
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.dose_response import Condition, conditions, run
from ordlib.experiments.pretrain_clip.pretrain import pretrain

METRICS = {
    "object_top1": 0.5,
    "count_accuracy": 0.25,
    "count_mae": 4.5,
    "count_spearman": 0.125,
    "probe_mae": 2.0,
}


class Stop(Exception):
    """What interrupts a run."""


def changes(config: PretrainingConfig, other: PretrainingConfig) -> dict:
    """What another config has changed."""
    pairs = zip(asdict(config).items(), asdict(other).values(), strict=True)
    return {name: new for (name, old), new in pairs if old != new}


def test_the_arms_are_one_seed_after_the_other():
    names = [
        condition.folder for condition in conditions(PretrainingConfig(), seeds=2, extra_seeds=1)
    ]
    one = "dose-0 dose-0.003 dose-0.01 dose-0.03 dose-0.1 dose-0.5 spurious-0.03 twice-0.03"
    both = [f"{name}-{seed}" for seed in (0, 1) for name in one.split()]
    assert names == both[:-2]
    assert [
        condition.folder for condition in conditions(PretrainingConfig(), seeds=2, extra_seeds=2)
    ] == both
    assert len(set(both)) == 16


def test_each_arm_changes_one_thing():
    config = PretrainingConfig(
        samples_seen=1000, num_images=3000, batch_size=100, learning_rate=0.5, precision="float32"
    )
    known = {
        condition.folder: condition.plan for condition in conditions(config, seeds=2, extra_seeds=2)
    }
    for seed in (0, 1):
        branch = known[f"dose-0.03-{seed}"]
        assert changes(known[f"dose-0-{seed}"], branch) == {"count_caption_fraction": 0.03}
        assert changes(branch, known[f"spurious-0.03-{seed}"]) == {
            "distractor_number_fraction": 0.5
        }
        assert changes(branch, known[f"twice-0.03-{seed}"]) == {"samples_seen": 2000}
    assert changes(known["dose-0.5-0"], known["dose-0.5-1"]) == {"seed": 1}
    assert known["dose-0-0"] == config


@pytest.fixture
def done(monkeypatch) -> list[tuple]:
    """What was pretrained and measured; no pictures are drawn to measure on."""
    calls = []

    def train(config, folder, workers):
        def watch(progress):
            calls.append((folder.name, progress.step))

        return pretrain(config, folder, workers=workers, watch=watch)

    def evaluate_counting(clip, data, probing):
        calls.append(("evaluate_counting", clip.folder.name, data, probing))
        return dict(METRICS)

    monkeypatch.setattr(doses, "pretrain", train)
    monkeypatch.setattr(doses, "evaluate_counting", evaluate_counting)
    monkeypatch.setattr(doses, "eval_images", lambda workers=None: "eval_images")
    monkeypatch.setattr(doses, "load_data", lambda task, workers=None: task)
    return calls


@pytest.fixture
def condition(config) -> Condition:
    return Condition("dose", replace(config, samples_seen=3 * 24))


def test_a_run_gives_a_row_and_is_not_done_twice(pool, condition, done, tmp_path):
    row = run(condition, tmp_path)
    measured = ("evaluate_counting", "dose-0.5-3", "eval_images", "counting")
    assert done == [("dose-0.5-3", 1), ("dose-0.5-3", 2), ("dose-0.5-3", 3), measured]
    card = json.loads((tmp_path / "dose-0.5-3" / "card.json").read_text())
    counted = card["counting_captions"]["number"]
    assert 0 < counted < 72
    expected = {
        "task": "counting",
        "method": "zero-shot",
        "condition": "dose",
        "count_caption_fraction": 0.5,
        "seed": 3,
    }
    expected |= {
        "distractor_number_fraction": None,
        "pairs": 72,
        "mae": 4.5,
        "accuracy": 0.25,
        "spearman": 0.125,
    }
    expected |= {"counting_captions": counted, "share_of_all_captions": round(counted / 72, 6)}
    assert row == {
        **expected, **METRICS, "seconds": card["seconds"], "device": card["device"]
    }  # fmt: skip
    done.clear()
    assert run(condition, tmp_path) == row
    assert not done
    (tmp_path / "dose-0.5-3.json").unlink()
    assert run(condition, tmp_path) == row
    assert done == [measured]


def test_an_interrupted_run_goes_on(pool, condition, done, tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise Stop

    with pytest.raises(Stop):
        pretrain(
            condition.config, tmp_path / condition.folder, save_minutes=0, workers=1, watch=stop
        )
    run(condition, tmp_path)
    measured = ("evaluate_counting", condition.folder, "eval_images", "counting")
    assert done == [(condition.folder, 3), measured]


def test_a_checkpoint_of_another_plan_is_refused(pool, condition, done, tmp_path):
    run(condition, tmp_path)
    other = replace(condition, config=replace(condition.config, samples_seen=6 * 24))
    again = r"(?s)--samples-seen 72.*and not by.*--samples-seen 144.*--work-dir"
    with pytest.raises(ValueError, match=again):
        run(other, tmp_path)
    with pytest.raises(ValueError, match=r"(?s)--batch-size 24.*and not by.*--batch-size 12"):
        run(replace(condition, config=replace(condition.config, batch_size=12)), tmp_path)


def making(output: Path) -> list[str]:
    """The words of the command, but for its settings."""
    return ["results", "make", "dose_response", "--output", str(output)]


def settings(**values: int) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def words(config, pool, tmp_path, monkeypatch) -> list[str]:
    """A command for four tiny models of two steps each, or two steps and four."""
    monkeypatch.setitem(doses.SIZES, "small", config.size)
    monkeypatch.setattr(doses, "COUNT_CAPTION_FRACTIONS", (0.0, 0.03))
    work = ["--work-dir", str(tmp_path / "work")]
    sizes = settings(samples_seen=48, num_images=96, batch_size=24)
    return [*making(tmp_path / "table.json"), *work, "--seeds", "1", *sizes]


def test_the_command_pretrains_tests_and_writes(words, done, tmp_path, monkeypatch):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.output.strip().splitlines()[-1] == f"wrote {tmp_path / 'table.json'}"
    steps = [name for name, *_ in done if name != "evaluate_counting"]
    assert steps == ["twice-0.03-0"] * 4 + [
        name for name in ("dose-0-0", "dose-0.03-0", "spurious-0.03-0") for _ in range(2)
    ]
    table = json.loads((tmp_path / "table.json").read_text("utf-8"))
    rows = [
        (row["condition"], row["count_caption_fraction"], row["pairs"]) for row in table["records"]
    ]
    assert len(rows) == 4
    assert rows[:2] == [("count_caption_fraction", 0.0, 48), ("count_caption_fraction", 0.03, 48)]
    assert rows[2:] == [("distractor numbers", 0.03, 48), ("twice the samples", 0.03, 96)]
    done.clear()
    monkeypatch.setattr(doses, "render_pool", None)  # nothing is drawn for rows that are there
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
    assert not done
    assert json.loads((tmp_path / "table.json").read_text("utf-8")) == table


@pytest.fixture
def asked(monkeypatch) -> list:
    """Arms in the order in which they were asked for; nothing is trained or drawn."""
    order = []

    def fake(condition, work, workers):
        order.append(condition)
        return {
            "condition": condition.name,
            "count_caption_fraction": condition.config.count_caption_fraction,
            "seed": condition.config.seed,
        }

    monkeypatch.setattr(doses, "run", fake)
    for name in ("render_pool", "eval_images", "load_data"):
        monkeypatch.setattr(doses, name, lambda *_, **__: None)
    return order


def test_rows_are_in_order_whatever_came_first(asked, tmp_path):
    path = tmp_path / "table.json"
    result = CliRunner().invoke(app, [*making(path), "--seeds", "3"])
    assert result.exit_code == 0, result.output
    assert [condition.config.seed for condition in asked] == [0] * 8 + [1] * 8 + [2] * 8
    assert [condition.name for condition in asked[::8]] == ["twice the samples"] * 3
    rows = json.loads(path.read_text("utf-8"))["records"]
    shares = (0.0, 0.003, 0.01, 0.03, 0.1, 0.5)
    expected = [("dose", share, seed) for share in shares for seed in range(3)]
    expected += [
        (name, 0.03, seed)
        for name in ("distractor numbers", "twice the samples")
        for seed in range(3)
    ]
    assert [tuple(row.values()) for row in rows] == expected


def test_the_command_in_the_table_makes_it_again(asked, tmp_path):
    path = tmp_path / "table.json"
    sizes = settings(extra_seeds=1, samples_seen=9000, num_images=6000, batch_size=30)
    where = ["--work-dir", str(tmp_path), "--num-jobs", "1"]
    result = CliRunner().invoke(app, [*making(path), *where, "--seeds", "2", *sizes])
    assert result.exit_code == 0, result.output
    stored = json.loads(path.read_text("utf-8"))
    assert stored["description"].startswith("Small CLIPs pretrained on the same pictures")
    first, words = list(asked), shlex.split(stored["command"])
    assert words == ["ordlib", "results", "make", "dose_response", "--seeds", "2", *sizes]
    asked.clear()
    result = CliRunner().invoke(app, [*words[1:], "--output", str(path)])
    assert result.exit_code == 0, result.output
    assert asked == first
    assert len(asked) == 14
    assert {condition.config.samples_seen for condition in asked} == {9000, 18000}
    assert {condition.config.batch_size for condition in asked} == {30}
    assert {condition.config.num_images for condition in asked} == {6000}
    assert {condition.config.size.name for condition in asked} == {"small"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples_seen": 10}, "samples_seen = 10: is below the batch of 128"),
        ({"num_images": 4000}, "take a multiple of 3000, such as 3000"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(values, message, tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "BLOCK", 500)
    result = CliRunner().invoke(app, [*making(tmp_path / "table.json"), *settings(**values)])
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert message in result.output
