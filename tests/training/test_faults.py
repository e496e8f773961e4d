"""Faults around fit: full disks, other tasks, other runs' folders, threads, and random numbers."""

import random
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ranking_runs
import torch
import training_runs as runs

from ordlib import CoOp, NumCLIP, OrdinalTask, evaluate, fit
from ordlib.training import checkpoint
from ordlib.training.fit import CHECKPOINT_NAME, CHECKPOINT_NAMES, delete_checkpoints


@pytest.mark.parametrize("kind", runs.KINDS)
def test_full_disk_does_not_end_a_training(tiny_clip_folder, tmp_path, monkeypatch, kind):
    model, straight = (runs.make_model(kind, tiny_clip_folder) for _ in range(2))
    expected = runs.train(straight, None, runs.CONFIGS[kind])
    calls = []

    def full(tensors, file, metadata):
        calls.append(file)
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ordlib.training.checkpoint.save_file", full)
    with pytest.warns(UserWarning, match="cannot be saved .*No space left") as caught:
        history = runs.train(model, tmp_path, runs.CONFIGS[kind])
    assert str(tmp_path / CHECKPOINT_NAMES[kind == "stages"]) in str(caught[0].message)
    assert len(calls) == 4
    assert history.equals(expected)
    assert runs.states_equal(model.trainable_state_dict(), straight.trainable_state_dict())
    assert [*tmp_path.iterdir()] == []


def test_a_later_save_succeeds_after_a_failed_one(clip, tmp_path, monkeypatch):
    stopped, resumed, straight = (NumCLIP(clip, runs.TASK) for _ in range(3))
    history = runs.train(straight)
    saves, save = [], checkpoint.save_file

    def full_once(*arguments):
        saves.append(arguments)
        if len(saves) == 1:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", full_once)
    interrupted = runs.changed_loss(stopped, 8)
    with pytest.warns(UserWarning, match="No space left"), interrupted:  # noqa: SIM117
        with pytest.raises(runs.Interrupted):
            runs.train(stopped, tmp_path)
    with runs.changed_loss(resumed) as calls:
        assert runs.train(resumed, tmp_path).equals(history)
    assert len(calls) == 6


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_fit_names_damaged_checkpoint_before_any_step(tiny_clip_folder, tmp_path, name):
    config = runs.CONFIGS["stages"]
    runs.train(runs.make_model("stages", tiny_clip_folder), tmp_path, config)
    content = bytearray((tmp_path / name).read_bytes())
    content[-50] ^= 4
    (tmp_path / name).write_bytes(content)
    model = runs.make_model("stages", tiny_clip_folder)
    with runs.changed_loss(type(model)) as calls, pytest.raises(ValueError, match=name) as caught:
        runs.train(model, tmp_path, config)
    assert str(tmp_path / name) in str(caught.value)
    assert calls == []
    (tmp_path / name).unlink()
    runs.train(model, tmp_path, config)


def test_fit_names_a_folder_in_place_of_the_checkpoint(clip, tmp_path):
    (tmp_path / CHECKPOINT_NAME).mkdir()
    with pytest.raises(ValueError, match=rf"{CHECKPOINT_NAME}: no intact training checkpoint"):
        runs.train(CoOp(clip, runs.TASK), tmp_path)


FIELDS = {"name": "brightness", "unit": "steps"}
OTHER_TASKS = {
    "fewer ranks": {"values": (0, 1, 2)},
    "other values": {"values": (0, 2, 3, 4, 5, 6)},
    "names": {"values": tuple("abcdef")},
}


def with_task(data, task):
    return replace(data, task=task, values=np.minimum(data.values, task.range[1]))


@pytest.mark.parametrize("fields", OTHER_TASKS.values(), ids=OTHER_TASKS)
def test_fit_and_evaluate_refuse_a_task_of_the_same_name(clip, fields):
    task, model = OrdinalTask(**FIELDS, **fields), CoOp(clip, runs.TASK)
    data, val = runs.make_data("train", 24), runs.make_data("val", 12)
    other = with_task(val, task)
    message = r"task 'brightness': values = \(0, 1, 2, 3, 4, 5\) of the model, but \(.* of the val"
    for arguments in ((data, other), (other, val)):
        with pytest.raises(ValueError, match=message):
            fit(model, *arguments, progress=False)
    with pytest.raises(ValueError, match=message):
        fit(model, data, val, calibration=other, progress=False)
    with pytest.raises(ValueError, match=message):
        evaluate(model, other)
    evaluate(model, val, n_resamples=10)


def test_fit_and_evaluate_refuse_other_positions(clip):
    ranks = {"values": ("low", "mid", "high")}
    task = OrdinalTask(**FIELDS, **ranks, positions=(0, 1, 5))
    model, val = (
        CoOp(clip, task),
        with_task(runs.make_data("val", 12), OrdinalTask(**FIELDS, **ranks)),
    )
    message = r"positions = \(0, 1, 5\) of the model, but \(0, 1, 2\) of the val data"
    with pytest.raises(ValueError, match=message):
        fit(model, val, val, progress=False)
    with pytest.raises(ValueError, match=message):
        evaluate(model, val)


def test_fit_and_evaluate_refuse_other_ranks_of_a_task_of_an_adapter(tiny_clip_folder):
    model = ranking_runs.make_adapter(tiny_clip_folder)
    light, spots = ranking_runs.val_data()
    task = OrdinalTask(name="spots", unit="spots", values=(1, 2, 3, 4))
    other = replace(spots, task=task)
    message = r"task 'spots': values = \(1, 2, 3\) of the model, but \(1, 2, 3, 4\) of the val data"
    with pytest.raises(ValueError, match=message):
        fit(model, [light, spots], [light, other], ranking_runs.CONFIG, progress=False)
    with pytest.raises(ValueError, match=message):
        evaluate(model, other)


def test_a_task_may_differ_in_what_does_not_change_the_labels(clip):
    task = replace(runs.TASK, templates=("a {rank} square",), decode="argmax", unit="grades")
    data, val = (with_task(runs.make_data(s, n), task) for s, n in (("train", 24), ("val", 12)))
    model = CoOp(clip, runs.TASK)
    fit(model, data, val, {"epochs": 1}, progress=False)
    evaluate(model, val, n_resamples=10)


def warm_started(kind: str, folder: Path):
    model = runs.make_model(kind, folder)
    runs.train(model, None, replace(runs.CONFIG, epochs=1, batch_size=24, learning_rate=1e-3))
    return model


@pytest.mark.parametrize("kind", ["frozen", "lora", "stages"])
def test_a_folder_belongs_to_the_weights_that_its_run_started_from(
    tiny_clip_folder, tmp_path, kind
):
    config = runs.CONFIGS[kind]
    model, fresh = warm_started(kind, tiny_clip_folder), runs.make_model(kind, tiny_clip_folder)
    runs.train(model, tmp_path, config)
    with pytest.raises(ValueError, match="which started from other weights"):
        runs.train(fresh, tmp_path, config)
    # The same warm start has the run's result.
    again = warm_started(kind, tiny_clip_folder)
    with runs.changed_loss(type(again)) as calls:
        runs.train(again, tmp_path, config)
    assert calls == []
    assert runs.states_equal(again.trainable_state_dict(), model.trainable_state_dict())
    # So has the trained model itself, until it is trained elsewhere.
    runs.train(model, tmp_path, config)
    runs.train(model, None, replace(config, seed=9))
    with pytest.raises(ValueError, match="which started from other weights"):
        runs.train(model, tmp_path, config)
    delete_checkpoints(tmp_path)
    runs.train(model, tmp_path, config)
    with pytest.raises(ValueError, match="which started from other weights"):
        runs.train(fresh, tmp_path, config)


def test_a_new_run_in_an_emptied_folder_starts_from_the_present_weights(clip, tmp_path):
    model = NumCLIP(clip, runs.TASK)
    runs.train(model, tmp_path)
    delete_checkpoints(tmp_path)
    runs.train(model, tmp_path)  # from the weights that the first run left
    with pytest.raises(ValueError, match="which started from other weights"):
        runs.train(NumCLIP(clip, runs.TASK), tmp_path)


def test_a_folder_belongs_to_the_weights_of_an_adapter(tiny_clip_folder, tmp_path):
    model, fresh = (ranking_runs.make_adapter(tiny_clip_folder) for _ in range(2))
    ranking_runs.train(model)
    ranking_runs.train(model, tmp_path)
    with pytest.raises(ValueError, match="which started from other weights"):
        ranking_runs.train(fresh, tmp_path)


def test_fits_in_threads_equal_fits_alone(tiny_clip_folder):
    """The adapter has dropout, whose random numbers come from the process."""
    makers = {seed: lambda: ranking_runs.make_adapter(tiny_clip_folder) for seed in (1, 2, 3)}
    alone = {}
    for seed, make in makers.items():
        alone[seed] = (model := make()), ranking_runs.train(model, seed=seed)
    models, histories = {seed: make() for seed, make in makers.items()}, {}

    def run(seed: int) -> None:
        histories[seed] = ranking_runs.train(models[seed], seed=seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (model, history) in alone.items():
        assert histories[seed].equals(history)
        states = (m.trainable_state_dict() for m in (models[seed], model))
        assert runs.states_equal(*states)


@pytest.mark.parametrize("kind", [*runs.KINDS, "ranking"])
def test_fit_leaves_the_random_numbers_of_the_caller_alone(tiny_clip_folder, kind):
    def draws() -> list:
        return [torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()]

    def seed() -> None:
        torch.manual_seed(7), np.random.seed(7), random.seed(7)

    seed()
    expected = draws()
    seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "ranking":
            ranking_runs.train(ranking_runs.make_adapter(tiny_clip_folder))
        else:
            runs.train(runs.make_model(kind, tiny_clip_folder), None, runs.CONFIGS[kind])
    assert draws() == expected


def test_an_error_in_fit_leaves_the_random_numbers_alone(clip):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = NumCLIP(clip, runs.TASK)
    with runs.changed_loss(model, 2), pytest.raises(runs.Interrupted):
        runs.train(model)
    assert torch.equal(torch.rand(3), expected)
