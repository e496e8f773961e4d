"""A tiny CLIP for pretraining, and an interrupted run of it."""

from pathlib import Path

import pytest
from training_runs import Interrupted

from ordlib.experiments.pretrain_clip.config import PicoCLIPConfig, PretrainingConfig
from ordlib.experiments.pretrain_clip.pretrain import pretrain

TINY = PicoCLIPConfig("tiny", 64, 16, 32, 1, 32, 1, 24)


def interrupt(config: PretrainingConfig, output: Path, step: int) -> None:
    """Pretrain until the end of a step."""

    def stop(state):
        if state.step == step:
            raise Interrupted

    with pytest.raises(Interrupted):
        pretrain(config, output, checkpoint_minutes=0, num_workers=1, on_step=stop)
