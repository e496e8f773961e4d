"""Retraining what ships: order, time limit, continuation, archive; training itself is faked."""

import json
import shlex
import tarfile
from pathlib import Path

import pytest
from commands import fail, run

from ordlib import list_components
from ordlib.components.registry import COMPONENTS as SHIPPED
from ordlib.experiments import release
from ordlib.experiments.intervals import cached_rows
from ordlib.experiments.train import reproduce_command
from ordlib.training.fit import CHECKPOINT_NAME

NAMES = ("numclip-dating", "ranking-adapter", "coop-ageing")


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The names of what has been trained, in order; every training takes a minute."""
    names = []

    def train_and_save(method, task, folder, **arguments):
        folder.mkdir(parents=True)
        (folder / CHECKPOINT_NAME).write_text("checkpoint")
        (folder / "config.json").write_text("{}")
        record(f"{method}-{task}")

    def run_entry(entry, work_dir, device):
        folder = release.entry_path(entry, work_dir).with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        record("ranking-adapter")

    def run_experiment(experiment, work_dir, device):
        def compute():
            record(experiment.name)
            return [{"mae": experiment.config.learning_rate}], [{}]

        (row,), (scores,) = cached_rows(work_dir / f"{experiment.name}.json", compute)
        return row, scores

    def make_results(table, output, **settings):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("{}")
        record(table)

    def record(name):
        names.append(name)

    for function in (train_and_save, run_entry, run_experiment, make_results):
        monkeypatch.setattr(release, function.__name__, function)
    # A minute passes with each training.
    monkeypatch.setattr(release.time, "time", lambda: 60.0 * len(names))
    monkeypatch.setattr(release, "_encode_images", lambda device: None)
    monkeypatch.setattr(release, "COMPONENTS", NAMES)
    return names


def retrain(folder: Path, **settings) -> dict:
    return release.make("release", lora_seeds=1, work_dir=folder, **settings)


def test_make_works_in_the_order_of_importance(trained, tmp_path):
    result = retrain(tmp_path)
    assert result["is_complete"]
    assert tuple(trained[:3]) == NAMES
    assert trained[-2:] == ["methods", "ranking_adapter"]
    tuning = [name for name in trained if "-1000-" in name]
    block = [name for name in trained if "-0-" in name]
    assert trained[3:-2] == tuning + block
    labels = {name.split("-")[1] for name in block}
    assert len(block) == 4 * len(labels)
    assert [row["job"] for row in result["records"]][:3] == list(NAMES)
    assert all(row["is_finished"] and row["seconds"] == 60 for row in result["records"])


def test_make_starts_nothing_after_the_time_and_continues(trained, tmp_path):
    result = retrain(tmp_path, minutes=2)
    assert trained == list(NAMES[:2])
    assert not result["is_complete"]
    assert [row["is_finished"] for row in result["records"]] == [True, True, False]
    again = retrain(tmp_path)
    assert again["is_complete"]
    assert len(trained) == len(set(trained))
    assert [row["seconds"] for row in again["records"]][:3] == [0, 0, 60]
    complete = len(trained)
    retrain(tmp_path)
    assert len(trained) == complete


def test_archive_holds_what_is_finished_without_checkpoints(trained, tmp_path):
    retrain(tmp_path / "work", minutes=40)
    moved = tmp_path / "moved"
    with tarfile.open(tmp_path / "work" / "release.tar.gz") as packed:
        packed.extractall(moved, filter="data")
    files = {str(path.relative_to(moved)) for path in moved.rglob("*") if path.is_file()}
    assert {f"components/{name}/config.json" for name in NAMES} <= files
    assert not any(name.endswith((".safetensors", ".gz")) for name in files)
    before = len(trained)
    retrain(moved, minutes=1)
    assert len(trained) == before + 1


def test_archive_is_written_after_an_error(trained, tmp_path, monkeypatch):
    def fail_on_adapter(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(release, "run_entry", fail_on_adapter)
    with pytest.raises(RuntimeError, match="out of memory"):
        retrain(tmp_path)
    with tarfile.open(tmp_path / "release.tar.gz") as packed:
        assert f"components/{NAMES[0]}/config.json" in packed.getnames()


def test_archive_above_limit_is_an_error(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(ValueError, match=r"release\.tar\.gz: .* bytes, at most 10"):
        retrain(tmp_path)
    assert not (tmp_path / "release.tar.gz").exists()


def test_components_are_those_that_ship():
    assert sorted(release.COMPONENTS) == sorted(list_components().index)


@pytest.mark.parametrize("name", [n for n in release.COMPONENTS if n != "ranking-adapter"])
def test_components_are_retrained_by_the_commands_of_their_cards(name, tmp_path, monkeypatch):
    def train_and_save(method, task, folder, *, config, options, device):
        commands.append(reproduce_command(method, task, name, config, "pico-clip", options))

    commands: list[str] = []
    monkeypatch.setattr(release, "train_and_save", train_and_save)
    release._retrain(name, tmp_path / name, tmp_path, "auto")
    card = json.loads((SHIPPED / name / "card.json").read_text())
    assert sorted(shlex.split(commands[0])) == sorted(shlex.split(card["command"]))


def test_command_writes_the_jobs(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("results", "make", "release", "--device", "cpu", "--minutes", "1")
    stored = json.loads(Path("build/results/release.json").read_text())
    assert stored["command"] == "ordlib results make release"
    assert [row["is_finished"] for row in stored["records"]] == [True, False, False]
    assert Path("build/release/release.tar.gz").is_file()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--minutes", "0", "minutes = 0.0: must be above 0"), ("--device", "cuda", "finds 0 CUDA")],
)
def test_invalid_settings_fail_before_training(option, value, message, trained, tmp_path):
    fail(message, "results", "make", "release", option, value, "--work-dir", tmp_path)
    assert trained == []
    assert not any(tmp_path.iterdir())
