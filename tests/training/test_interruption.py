"""Ctrl-C in fit, and more epochs after a finished run."""

from dataclasses import replace

import pytest
import ranking_runs
import torch
import training_runs as runs

from ordlib import CoOp, NumCLIP, fit, load_clip
from ordlib.training.fit import CHECKPOINT_NAME


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


def press_ctrl_c(loss: torch.Tensor):
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", runs.KINDS)
def test_ctrl_c_leaves_the_best_weights_and_the_same_call_resumes(tiny_clip_folder, tmp_path, kind):
    config = runs.CONFIGS[kind]
    straight = runs.make_model(kind, tiny_clip_folder)
    expected = runs.train(straight, None, config)
    model = runs.make_model(kind, tiny_clip_folder)
    with (
        runs.changed_loss(type(model), runs.KILLED_AT, press_ctrl_c),
        pytest.raises(KeyboardInterrupt),
    ):
        runs.train(model, tmp_path, config)
    assert not model.training
    # Two epochs of three steps are complete; the third had begun.
    val = runs.make_data("val", 12)
    mae = abs(val.values - model.predict(val).value).mean()
    assert mae == pytest.approx(expected["mae"][:2].min())
    history = runs.train(model, tmp_path, config)
    assert history["loss"].tolist() == expected["loss"].tolist()
    assert runs.states_equal(model.trainable_state_dict(), straight.trainable_state_dict())


def test_ctrl_c_in_the_first_epoch_leaves_the_initial_weights(clip):
    model = NumCLIP(clip, runs.TASK)
    initial = runs.clone_state(model)
    with runs.changed_loss(model, 2, press_ctrl_c), pytest.raises(KeyboardInterrupt):
        runs.train(model)
    assert runs.states_equal(model.trainable_state_dict(), initial)


def test_ctrl_c_leaves_a_calibrated_ranking_adapter(tiny_clip_folder):
    model = ranking_runs.make_adapter(tiny_clip_folder)
    with runs.changed_loss(model, 5, press_ctrl_c), pytest.raises(KeyboardInterrupt):
        ranking_runs.train(model)
    before = dict(model.label_scalers)
    model.calibrate(ranking_runs.val_data())
    assert model.label_scalers == before
    assert all(scaler.slope != 1 for scaler in before.values())


def test_more_epochs_continue_a_finished_run(clip, tmp_path):
    config = replace(runs.CONFIG, epochs=2)
    first = runs.train(NumCLIP(clip, runs.TASK), tmp_path, config)
    with pytest.raises(ValueError, match=r"config\.epochs was 2 there and is 1 now"):
        runs.train(NumCLIP(clip, runs.TASK), tmp_path, replace(config, epochs=1))
    with runs.changed_loss(NumCLIP) as calls:
        history = runs.train(NumCLIP(clip, runs.TASK), tmp_path, replace(config, epochs=4))
    assert len(calls) == 2 * 3
    assert history["loss"][:2].tolist() == first["loss"].tolist()
    assert len(history) == 4


def test_an_unfinished_run_needs_the_same_epochs(clip, tmp_path):
    model = NumCLIP(clip, runs.TASK)
    with runs.changed_loss(model, 5), pytest.raises(runs.Interrupted):
        runs.train(model, tmp_path)
    assert (tmp_path / CHECKPOINT_NAME).exists()
    with pytest.raises(ValueError, match=r"config\.epochs was 4 there and is 9 now"):
        runs.train(model, tmp_path, replace(runs.CONFIG, epochs=9))


def test_patience_ends_a_run_that_more_patience_continues(clip, tmp_path):
    train, val = runs.make_data("train", 24), runs.make_data("val", 12)
    # Without learning, the first epoch stays the best.
    still = replace(runs.CONFIG, epochs=8, learning_rate=1e-12, patience=1)
    options = {"checkpoint_dir": tmp_path, "progress": False}
    assert len(fit(CoOp(clip, runs.TASK), train, val, still, **options)) == 2
    longer = replace(still, patience=3)
    assert len(fit(CoOp(clip, runs.TASK), train, val, longer, **options)) == 4
