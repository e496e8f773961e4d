"""A ranking adapter in fit(): training, resume, and two processes."""

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import ranking_runs as runs
import torch
from ranking_runs import light, spots
from safetensors.torch import load_file
from scipy.stats import spearmanr
from training_runs import Interrupted, changed_loss, clone_state, states_equal, to_nan

from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig, fit
from ordlib.training.config import METRICS
from ordlib.training.ranking_trainer import RankingTrainer


def pairwise_accuracy(ranks, scores) -> float:
    pairs = [(i, j) for i, j in permutations(range(len(scores)), 2) if ranks[i] > ranks[j]]
    return float(np.mean([scores[i] > scores[j] for i, j in pairs]))


@pytest.fixture(scope="module")
def straight(tiny_clip_folder):
    """An adapter trained on both tasks without interruption, and its history."""
    model = runs.make_adapter(tiny_clip_folder)
    return model, runs.train(model)


def test_fit_learns_one_task(clip):
    model, train_data, val = RankingAdapter(clip, runs.LIGHT), light("train", 36), light("val", 18)
    initial = clone_state(model)
    before = compute_metrics(runs.LIGHT, val.values, model.predict(val))
    assert before["spearman"] < 0.5
    config = TrainingConfig(epochs=4, batch_size=12, learning_rate=1e-2)
    history = fit(model, train_data, val, config, progress=False)
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    metrics = compute_metrics(runs.LIGHT, val.values, model.predict(val))
    assert metrics["spearman"] > 0.8
    assert metrics["mae"] < 0.6 * before["mae"]
    assert not model.training
    assert clip.weights_unchanged
    for name, tensor in model.trainable_state_dict().items():
        assert not torch.equal(tensor, initial[name]), name
    assert (model.ood_score(train_data) < 1).mean() > 0.8
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    for images in (noise, spots("val", 6).images):
        other = replace(spots("val", 6), images=images, fingerprint=str(images.mean()))
        assert model.ood_score(other).min() > 1
    scaler, labels = model.label_scalers["light"], train_data.values
    assert (scaler.mean, scaler.std) == pytest.approx((labels.mean(), labels.std()))


def test_fit_reports_means_over_tasks(straight):
    model, history = straight
    in_units = ["mae_light", "mae_spots"]
    assert history.columns.tolist() == ["epoch", "loss", *METRICS, *in_units, "best"]
    assert (len(history), history.attrs["steps"]) == (3, 6)
    best = history.set_index("epoch").loc[history.attrs["best_epoch"]]
    totals = dict.fromkeys(METRICS, 0.0)
    for val in (light("val", 12), spots("val", 6)):
        scores = model.predict_scores(val, model.prompts(val))
        metrics = compute_metrics(val.task, val.values, model.predict(val))
        assert best[f"mae_{val.task.name}"] == pytest.approx(metrics["mae"])
        for name in ("mae", "macro_mae", "max_mae"):
            metrics[name] /= model.label_scalers[val.task.name].std
        # Of the scores, since the calibration may be flat.
        metrics["spearman"] = spearmanr(val.values, scores).statistic
        metrics["pearson"] = np.corrcoef(val.values, scores)[0, 1]
        metrics["pairwise"] = pairwise_accuracy(val.ranks, scores)
        totals = {name: totals[name] + metrics[name] / 2 for name in METRICS}
    assert totals == pytest.approx({name: best[name] for name in METRICS}, abs=1e-9, nan_ok=True)
    assert not model.training
    assert set(model.ood_detectors) == {"light", "spots"}


def test_fit_ignores_order_of_data_sets(straight, tiny_clip_folder):
    model, expected = straight
    other = runs.make_adapter(tiny_clip_folder)
    sets = [spots("train", 10), light("train", 24)], [spots("val", 6), light("val", 12)]
    history = fit(other, *sets, runs.CONFIG, progress=False)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert states_equal(clone_state(other), clone_state(model))


def test_collate_returns_tokens_prompt_and_targets(tiny_clip_folder):
    model, val = runs.make_adapter(tiny_clip_folder), [light("val", 12), spots("val", 6)]
    data = {"light": light("train", 24), "spots": spots("train", 10)}
    trainer = RankingTrainer(model, [*data.values()], val, runs.CONFIG, None)
    trainer._load_data()
    batches = [batch for epoch in range(4) for batch in trainer._batches(epoch)]
    assert {batch.task for batch in batches} == {"light", "spots"}
    for batch in batches:
        (tokens, text), targets = trainer._collate(batch)
        assert torch.equal(tokens, model.image_tokens(data[batch.task])[batch.rows].float())
        assert torch.equal(text, model.encode_prompt(batch.prompt))
        assert targets.tolist() == batch.targets.tolist()


def test_fit_resumes_bit_equal_after_interruption(straight, tiny_clip_folder, tmp_path):
    expected, expected_history = straight
    model = runs.make_adapter(tiny_clip_folder)
    with changed_loss(model, 4), pytest.raises(Interrupted):
        runs.train(model, tmp_path)
    torch.rand(3)
    for steps in (4, 0):  # the second time, training is already finished
        model = runs.make_adapter(tiny_clip_folder)
        with changed_loss(model) as calls:
            history = runs.train(model, tmp_path)
        pd.testing.assert_frame_equal(history, expected_history, check_exact=True)
        assert len(calls) == steps
        assert states_equal(clone_state(model), clone_state(expected))
        assert model.label_scalers == expected.label_scalers
        assert not model.training
        val = light("val", 12)
        np.testing.assert_array_equal(model.ood_score(val), expected.ood_score(val))
    templates = runs.TEMPLATES | {"light": ["By it."]}
    other = RankingAdapter(model.clip, [runs.LIGHT, runs.SPOTS], prompt_templates=templates)
    with pytest.raises(ValueError, match=r"prompt_templates\.light"):
        runs.train(other, tmp_path)


def test_fit_draws_dropout_from_seed_of_config(straight, tiny_clip_folder):
    """Dropout is active, so the resume test covers its random numbers."""
    expected, without = clone_state(straight[0]), runs.make_without_dropout(tiny_clip_folder)
    assert [m.p for m in without.modules() if isinstance(m, torch.nn.Dropout)] == [0, 0, 0]
    runs.train(without)
    assert not states_equal(clone_state(without), expected)
    torch.manual_seed(99)
    model = runs.make_adapter(tiny_clip_folder)
    runs.train(model)
    assert states_equal(clone_state(model), expected)


@pytest.mark.slow
def test_fit_on_two_processes_equals_one(tiny_clip_folder, tmp_path, run_script):
    """Without dropout, which differs between processes; a batch of 10 is split into 5 and 5."""
    run_script(runs.__file__, tiny_clip_folder, tmp_path)
    model = runs.make_without_dropout(tiny_clip_folder)
    initial = clone_state(model)
    expected = runs.train(model)
    scores = model.predict_scores(light("val", 12), "Rank by light.")
    weights = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    assert states_equal(*weights)
    for rank in (0, 1):
        report = json.loads((tmp_path / f"{rank}.json").read_text())
        assert (report["processes"], report["backend"]) == (2, "gloo")
        pd.testing.assert_frame_equal(pd.DataFrame(report["history"]), expected, rtol=1e-3)
        np.testing.assert_allclose(report["scores"], scores, atol=1e-3)
    # Adam's steps do not depend on the size of a gradient, so small ones amplify rounding errors.
    error = distance = 0.0
    for name, tensor in model.trainable_state_dict().items():
        error += (weights[0][name] - tensor).square().sum().item()
        distance += (initial[name] - tensor).square().sum().item()
    assert error < 1e-2 * distance


def test_fit_names_prompt_of_nan_loss(clip):
    model = RankingAdapter(clip, runs.SPOTS, prompt_templates={"spots": ["How many {plural}?"]})
    initial, config = clone_state(model), TrainingConfig(batch_size=6)
    message = r"step 2 .* spots, 'How many (reds|blues)\?', images \d"
    with changed_loss(model, 2, to_nan), pytest.raises(FloatingPointError, match=message):
        fit(model, spots("train", 24), spots("val", 6), config, progress=False)
    assert states_equal(clone_state(model), initial)


@pytest.mark.parametrize(
    ("sets", "tasks"),
    [
        ([light("train", 24), spots("train", 10), light("b", 12)], "light, spots, light"),
        ([light("train", 24)], "light"),
        (spots("train", 10), "spots"),
    ],
    ids=["twice", "missing", "single"],
)
def test_fit_refuses_other_than_one_data_set_per_task(tiny_clip_folder, sets, tasks):
    model, valid = runs.make_adapter(tiny_clip_folder), [light("train", 24), spots("train", 10)]
    message = f"got data of the tasks {tasks}; need exactly one data set for each of light, spots"
    with pytest.raises(ValueError, match=f"train: {message}"):
        fit(model, sets, valid, runs.CONFIG, progress=False)
    with pytest.raises(ValueError, match=f"val: {message}"):
        fit(model, valid, sets, runs.CONFIG, progress=False)


def test_fit_refuses_data_without_order_or_column(clip):
    model, data = RankingAdapter(clip, runs.LIGHT), light("train", 24)
    with pytest.raises(ValueError, match=r"all labels of ImageData\(light.* are equal"):
        fit(model, data.subset(data.values == 2), data, progress=False)
    templates = {"light": ["How bright is the {object}?"]}
    model = RankingAdapter(clip, runs.LIGHT, prompt_templates=templates)
    with pytest.raises(ValueError, match="no column 'object'"):
        fit(model, data, data, progress=False)
