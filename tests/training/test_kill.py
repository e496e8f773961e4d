"""fit killed by SIGKILL at random moments, up to three times a run, and resumed."""

import json

import kill_runs
import pandas as pd
import pytest
import training_runs as runs
from kills import KILLS
from safetensors.torch import load_file

from ordlib.training.fit import CHECKPOINT_NAME, CHECKPOINT_NAMES

SEEDS = range(KILLS)


@pytest.fixture(scope="module")
def killed(tiny_clip_folder, tmp_path_factory, run_script):
    """A folder with the results of the resumed runs."""
    folder = tmp_path_factory.mktemp("killed")
    run_script(kill_runs.__file__, tiny_clip_folder, folder, *map(str, SEEDS))
    return folder


@pytest.fixture(scope="module")
def straight(tiny_clip_folder):
    """Uninterrupted runs by kind."""
    models = {kind: runs.make_model(kind, tiny_clip_folder) for kind in runs.KINDS}
    return {kind: (m, runs.train(m, None, runs.CONFIGS[kind])) for kind, m in models.items()}


@pytest.mark.slow
def test_runs_were_killed(killed):
    kills = json.loads((killed / "kills.json").read_text())
    assert sum(kills.values()) >= KILLS


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_run_ends_bit_equal_and_leaves_nothing_behind(killed, straight, seed):
    kind = kill_runs.kind_of(seed)
    model, history = straight[kind]
    # Loss and metrics of all epochs, also those before the kills.
    resumed = pd.DataFrame(json.loads((killed / f"{seed}.json").read_text()))
    pd.testing.assert_frame_equal(resumed, history, check_exact=True)
    state = load_file(killed / f"{seed}.safetensors")
    assert runs.states_equal(state, model.trainable_state_dict())
    names = CHECKPOINT_NAMES if kind == "stages" else [CHECKPOINT_NAME]
    assert sorted(f.name for f in (killed / f"run-{seed}").iterdir()) == sorted(names)
