"""A run that was killed goes on, and ends as if nothing had happened."""

import json
import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from training_runs import CONFIG, CONFIGS, KILLED_AT, KINDS, TASK, make, pictures_of, train

from ordlib import CoOp, NumCLIP
from ordlib.training import fit
from ordlib.training.fit import CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME


@pytest.fixture(scope="module")
def killed(tiny_clip_folder, tmp_path_factory, other_process):
    """A folder with an unfinished run of each kind."""
    folder = tmp_path_factory.mktemp("killed")
    other_process("killed", tiny_clip_folder, folder)
    codes = json.loads((folder / "codes.json").read_text())
    assert codes == dict.fromkeys(KINDS, -signal.SIGKILL)
    return folder


def progress_in(folder) -> dict:
    with safe_open(folder / CHECKPOINT_NAME, "pt") as file:
        return json.loads(file.metadata()["progress"])


@pytest.mark.parametrize("kind", KINDS)
def test_killed_amid_an_epoch_it_ends_in_the_same_bits(kind, killed, tiny_clip_folder):
    before = (killed / kind / STAGE1_CHECKPOINT_NAME).is_file()
    assert before is (kind == "stages")
    assert progress_in(killed / kind)["epoch"] + before == 2 == (KILLED_AT - 1) // 3
    straight, resumed = make(kind, tiny_clip_folder), make(kind, tiny_clip_folder)
    expected, calls, loss = train(straight, config=CONFIGS[kind]), [], resumed.loss
    resumed.loss = lambda *batch: calls.append(1) or loss(*batch)
    found = train(resumed, killed / kind, CONFIGS[kind])
    assert len(calls) == 6
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    for name in ("steps", "best_epoch", "device"):
        assert found.attrs[name] == expected.attrs[name]
    for name, tensor in straight.trainable_state_dict().items():
        assert torch.equal(tensor, resumed.trainable_state_dict()[name]), name


def test_a_finished_run_is_not_trained_again(tiny_clip_folder, tmp_path):
    model, again = make("frozen", tiny_clip_folder), make("frozen", tiny_clip_folder)
    history = train(model, tmp_path)
    again.loss = None
    found = train(again, tmp_path)
    pd.testing.assert_frame_equal(found, history, check_exact=True)
    assert found.attrs == history.attrs
    for name, tensor in model.trainable_state_dict().items():
        assert torch.equal(tensor, again.trainable_state_dict()[name])


def test_a_run_out_of_patience_stays_out_of_it(tiny_clip_folder, tmp_path):
    config = replace(CONFIG, epochs=9, lr_multipliers={"adapter": 0, "prompts": 0}, patience=1)
    history = train(make("frozen", tiny_clip_folder), tmp_path, config)
    assert len(history) == 2
    again = make("frozen", tiny_clip_folder)
    again.loss = None
    pd.testing.assert_frame_equal(train(again, tmp_path, config), history)


@pytest.fixture(scope="module")
def finished(tiny_clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(make("frozen", tiny_clip_folder), folder, replace(CONFIG, epochs=1))
    return folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 2}, "config.epochs was 1 there and is 2 now"),
        ({"seed": 6}, "config.seed was 5 there and is 6 now"),
        (
            {"lr_multipliers": {"prompts": 0.5}},
            "config.lr_multipliers.prompts was None there and is 0.5 now",
        ),
    ],
)
def test_the_run_of_another_plan_is_refused(tiny_clip_folder, finished, change, told):
    with pytest.raises(ValueError, match=told):
        train(make("frozen", tiny_clip_folder), finished, replace(CONFIG, **{"epochs": 1} | change))


def test_the_run_of_another_method_or_of_other_pictures_is_refused(clip, finished):
    config, data, val = replace(CONFIG, epochs=1), pictures_of("train", 24), pictures_of("val", 12)
    with pytest.raises(ValueError, match="method was 'NumCLIP' there and is 'CoOp' now"):
        fit(CoOp(clip, TASK), data, val, config, checkpoint_dir=finished, progress=False)
    with pytest.raises(ValueError, match=r"options\.kl was True there and is False now"):
        fit(
            NumCLIP(clip, TASK, text_to_image_loss=False),
            data,
            val,
            config,
            checkpoint_dir=finished,
            progress=False,
        )
    with pytest.raises(ValueError, match="val was 'brightness-val-12' there"):
        fit(NumCLIP(clip, TASK), data, data, config, checkpoint_dir=finished, progress=False)
