"""A killed run resumes from its checkpoint and ends bit-equal to an uninterrupted run."""

import json
import signal
from dataclasses import replace

import pandas as pd
import pytest
import training_runs as runs
from safetensors import safe_open

from ordlib import CoOp, NumCLIP
from ordlib.training import fit
from ordlib.training.fit import CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME


@pytest.fixture(scope="module")
def killed(tiny_clip_folder, tmp_path_factory, run_script):
    """A folder with the checkpoints of a killed run of each kind."""
    folder = tmp_path_factory.mktemp("killed")
    run_script(runs.__file__, "killed", tiny_clip_folder, folder)
    codes = json.loads((folder / "codes.json").read_text())
    assert codes == dict.fromkeys(runs.KINDS, -signal.SIGKILL)
    return folder


@pytest.mark.parametrize("kind", runs.KINDS)
def test_fit_resumes_bit_equal_after_kill(kind, killed, tiny_clip_folder):
    stage1_epochs = int((killed / kind / STAGE1_CHECKPOINT_NAME).is_file())
    assert stage1_epochs == (kind == "stages")
    with safe_open(killed / kind / CHECKPOINT_NAME, "pt") as file:
        progress = json.loads(file.metadata()["trainer_state"])
    assert progress["epoch"] + stage1_epochs == 2 == (runs.KILLED_AT - 1) // 3
    straight, resumed = (runs.make_model(kind, tiny_clip_folder) for _ in range(2))
    expected = runs.train(straight, config=runs.CONFIGS[kind])
    with runs.changed_loss(resumed) as calls:
        history = runs.train(resumed, killed / kind, runs.CONFIGS[kind])
    assert len(calls) == 6
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    for name in ("steps", "best_epoch", "device"):
        assert history.attrs[name] == expected.attrs[name]
    assert runs.states_equal(runs.clone_state(straight), runs.clone_state(resumed))


GROUPS = ("adapter", "prompts", "head")
STOPPED = replace(runs.CONFIG, epochs=9, lr_multipliers=dict.fromkeys(GROUPS, 0), patience=1)


@pytest.mark.parametrize(
    ("kind", "config", "epochs"),
    [("frozen", runs.CONFIG, 4), ("frozen", STOPPED, 2), ("stages", runs.CONFIGS["stages"], 4)],
    ids=["all epochs", "early stopping", "two stages"],
)
def test_fit_does_not_retrain_finished_run(
    tiny_clip_folder, tmp_path, monkeypatch, kind, config, epochs
):
    model, again = (runs.make_model(kind, tiny_clip_folder) for _ in range(2))
    expected = runs.train(model, tmp_path, config)
    monkeypatch.setattr(type(again), "loss", None)
    history = runs.train(again, tmp_path, config)
    assert len(history) == epochs
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert history.attrs == expected.attrs
    assert runs.states_equal(runs.clone_state(model), runs.clone_state(again))


@pytest.fixture(scope="module")
def finished(tiny_clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    runs.train(runs.make_model("frozen", tiny_clip_folder), folder, replace(runs.CONFIG, epochs=1))
    return folder


def test_fit_refuses_checkpoint_of_another_run(clip, finished):
    data, val = runs.make_data("train", 24), runs.make_data("val", 12)
    same, other_loss = NumCLIP(clip, runs.TASK), NumCLIP(clip, runs.TASK, text_to_image_loss=False)
    for model, val_data, changes, message in (
        (same, val, {"seed": 6}, "config.seed was 5 there and is 6 now"),
        (same, data, {}, "val was 'brightness-val-12' there"),
        (CoOp(clip, runs.TASK), val, {}, "method was 'NumCLIP' there and is 'CoOp' now"),
        (other_loss, val, {}, r"options\.text_to_image_loss was True there and is False now"),
    ):
        config = replace(runs.CONFIG, **{"epochs": 1} | changes)
        with pytest.raises(ValueError, match=message):
            fit(model, data, val_data, config, checkpoint_dir=finished, progress=False)
