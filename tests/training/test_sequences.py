"""Batch order and learning rates are those that shipped components were trained with."""

import json
from pathlib import Path

import pytest
import ranking_runs

from ordlib.training import TrainingConfig
from ordlib.training.sampling import epoch_batches, rank_batches

RECORDED = json.loads(Path(__file__).with_name("sequences.json").read_text())


@pytest.mark.parametrize("given", RECORDED["epoch_batches"])
def test_epoch_rows_are_those_recorded(given):
    assert epoch_batches(*map(int, given.split(","))).tolist() == RECORDED["epoch_batches"][given]


@pytest.mark.parametrize("steps", map(int, RECORDED["learning_rates"]))
def test_rates_are_those_recorded(steps):
    config = TrainingConfig()
    found = [config.lr_factor(step, steps) for step in range(steps)]
    assert found == pytest.approx(RECORDED["learning_rates"][str(steps)], rel=1e-12)


@pytest.mark.parametrize("epoch", [0, 1])
def test_rank_batches_are_those_recorded(epoch, tiny_clip_folder):
    model = ranking_runs.make(tiny_clip_folder)
    data = {"light": ranking_runs.light("train", 24), "spots": ranking_runs.spots("train", 10)}
    model.fit_label_scalers(data.values())
    found = rank_batches(model, data, 4, 8, 5, epoch)
    for batch, (task, prompt, rows, targets) in zip(
        found, RECORDED["rank_batches"][epoch], strict=True
    ):
        assert (batch.task, batch.prompt, batch.rows.tolist()) == (task, prompt, rows)
        assert batch.targets.tolist() == pytest.approx(targets, rel=1e-6)
