"""`pretrain` killed by SIGKILL at random moments, twice a run, and resumed."""

import json
import os
import subprocess
import sys

import killed_pretraining
import pytest
from kills import KILLS

from ordlib.experiments.pretrain_clip.pretrain import pretrain, reproduce_command
from ordlib.utils.cache import TEMPORARY_PREFIX

SAME_IN_CARDS = ("train_loss", "count_captions", "steps", "samples_seen", "sha256")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_pretraining_ends_bit_equal_and_leaves_nothing_behind(tmp_path):
    command = [sys.executable, killed_pretraining.__file__, tmp_path, str(KILLS)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60 + 60 * KILLS)
    assert run.returncode == 0, run.stderr[-3000:]
    assert sum(json.loads(run.stdout)) > KILLS
    whole = read(tmp_path / "whole")
    assert len(whole[0]) > 1000  # weights
    for trial in range(KILLS):
        assert read(tmp_path / str(trial)) == whole


@pytest.mark.parametrize("command", ["pico", "other"])
def test_a_run_killed_before_its_state_was_removed_is_finished(config, tmp_path, command):
    output, state = tmp_path / "pico", tmp_path / "pico.state.safetensors"
    output.mkdir()
    card = {"command": reproduce_command(config, command)}
    (output / "card.json").write_text(json.dumps(card))
    state.touch()
    if command == "pico":
        assert pretrain(config, output) == output
        assert not state.exists()
    else:
        with pytest.raises(FileExistsError, match=r"output = .*pico: exists already"):
            pretrain(config, output)
        assert state.exists()


def read(folder) -> tuple:
    """Weights, card, pool and names of all files of a run."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert not [name for name in names if TEMPORARY_PREFIX in name]
    card = json.loads((folder / "pico" / "card.json").read_text())
    (images,) = (folder / "cache").rglob("images.u8")
    weights = (folder / "pico" / "model.safetensors").read_bytes()
    return weights, [card[key] for key in SAME_IN_CARDS], images.read_bytes(), names
