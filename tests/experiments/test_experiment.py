"""One experiment: its name, its few-shot subset, its row."""

import json
from collections import Counter
from dataclasses import fields, replace
from unittest.mock import Mock, patch

import numpy as np
import pytest
from small_splits import noise

from ordlib import ImageData, load_task
from ordlib.experiments import experiment as module
from ordlib.experiments.experiment import (
    BACKBONES,
    Experiment,
    evaluate_uncertainty,
    few_shot_subset,
    run_experiment,
)
from ordlib.experiments.training_draws import DRAWS
from ordlib.methods.predictor import Predictor
from ordlib.metrics import compute_metrics
from ordlib.metrics.prediction import Prediction
from ordlib.training import TrainingConfig

EXPERIMENT = Experiment(
    label="CORN", method="corn", task="dating", config=TrainingConfig(epochs=1, batch_size=8)
)


@pytest.fixture(autouse=True)
def small(clip, monkeypatch):
    """A tiny backbone and few images."""
    monkeypatch.setattr(module, "load_data", noise)
    monkeypatch.setattr(module, "_load_backbone", lambda name, device: clip)
    monkeypatch.setattr(module, "synthetic_calibration_data", lambda *x: noise(x[0], "val", 64))


@pytest.fixture
def fit(monkeypatch):
    """Record the calls of ``fit``."""
    monkeypatch.setattr(module, "fit", Mock(wraps=module.fit))
    return module.fit


def test_experiment_name_depends_on_every_field():
    configs = [
        {"batch_size": 9}, {"lr_multipliers": {"image_encoder": 0.3}}, {"epochs": 2},
        {"learning_rate": 0.0030000001},
    ]  # fmt: skip
    changes = {
        "label": ["CORN 2", "corn"], "method": ["coop"], "task": ["ageing"], "seed": [1, 2],
        "config": [replace(EXPERIMENT.config, **change) for change in configs],
        "options": [{"adapter": True}, {"adapter": False}, {"image_encoder": "lora"}],
        "task_overrides": [{"bin_edges": (0, 2)}, {"bin_edges": (0, 2, 3)}],
        "shots": [0, 1, 2], "epoch_on_train": [True], "draw": list(DRAWS),
        "backbone": list(BACKBONES)[1:], "split": ["val"], "score_ordinality": [True],
    }  # fmt: skip
    assert set(changes) == {field.name for field in fields(Experiment)}
    changed = [replace(EXPERIMENT, **{name: v}) for name, values in changes.items() for v in values]
    names = [experiment.name for experiment in [EXPERIMENT, *changed]]
    assert len(set(names)) == len(names)
    assert replace(EXPERIMENT).name == EXPERIMENT.name
    assert not any(set(name) & set(" /\\") for name in names)


def of_ranks(ranks: list[int]) -> ImageData:
    data = noise("dating", "train", 64)
    return replace(
        data,
        values=data.task.rank_values[ranks],
        images=np.arange(len(ranks) * 12, dtype=np.uint8).reshape(-1, 2, 2, 3),
        metadata=data.metadata.iloc[np.zeros(len(ranks), dtype=int)],
    )


@pytest.mark.parametrize("shots", [1, 2, 3, 7])
def test_few_shot_subset_samples_each_rank(shots):
    ranks = [0, 0, 1, 0, 3, 1, 0, 4, 4, 4]
    data = few_shot_subset(of_ranks(ranks), shots, seed=0)
    counts = Counter(data.ranks.tolist())
    assert counts == {rank: min(count, shots) for rank, count in Counter(ranks).items()}
    rows = [image[0, 0, 0] // 12 for image in data.images]
    assert len(set(rows)) == len(data)
    assert [ranks[row] for row in rows] == data.ranks.tolist()


def test_few_shot_subset_can_sample_every_image():
    data = of_ranks([0, 0, 0, 0, 2, 2])
    drawn = Counter(few_shot_subset(data, 1, seed).images[0][0, 0, 0] // 12 for seed in range(200))
    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 25


def test_run_experiment_returns_row_and_scores(tmp_path, fit):
    experiment = replace(EXPERIMENT, seed=3, options={"image_encoder": "lora"})
    row, scores = run_experiment(experiment, tmp_path)
    model, train, val, config = fit.call_args.args
    test = noise("dating", "test", 64)
    prediction = model.predict(test)
    expected = compute_metrics(test.task, test.values, prediction)
    assert (train.fingerprint, val.fingerprint) == ("dating-train", "dating-val")
    assert config.seed == model.options.seed == 3
    assert [*scores] == ["mae", "coverage"]
    assert np.array_equal(scores["mae"], np.abs(test.values - prediction.value))
    assert row["coverage"] == pytest.approx(scores["coverage"].mean(), abs=1e-6)
    assert row["ece"] == pytest.approx(expected["ece"], abs=1e-6)
    assert row["mae"] == pytest.approx(scores["mae"].mean(), abs=1e-6)
    for name in ("mae", "accuracy", "spearman", "kappa"):
        assert row[name] == pytest.approx(expected[name], abs=1e-6)
    known = {"method": "CORN", "task": "dating", "image_encoder": "lora", "seed": 3}
    assert row.items() >= (known | {"learning_rate": 0.003, "steps": 2}).items()
    assert row["seconds"] > 0
    assert row["device"].startswith("cpu (")
    assert "shots" not in row


def test_run_experiment_on_val_is_not_calibrated(tmp_path):
    """The images of the calibration follow those of val."""
    row, scores = run_experiment(replace(EXPERIMENT, split="val"), tmp_path)
    assert [*scores] == ["mae"]
    assert not {"ece", "coverage"} & set(row)


class Fixed(Predictor):
    """Predicts given values, with a probability of 0.7 for the rank nearest to each."""

    def __init__(self, values: dict[str, np.ndarray], with_probabilities: bool):
        self.values, self.with_probabilities, self.calibrations = values, with_probabilities, {}
        self.task = load_task("counting")

    def predict(self, data: ImageData) -> Prediction:
        values, probabilities = self.values[data.split], None
        ranks = self.task.rank_index(values)
        if self.with_probabilities:
            probabilities = np.full((len(values), 20), 0.3 / 19)
            probabilities[np.arange(len(values)), ranks] = 0.7
        return Prediction(values, self.task.rank_values[ranks], probabilities)


@pytest.mark.parametrize("with_probabilities", [True, False])
def test_evaluate_uncertainty_against_a_naive_reference(with_probabilities):
    rng, task = np.random.default_rng(0), load_task("counting")
    data, predicted = {}, {}
    for split, count in {"calibration": 199, "test": 300}.items():
        rows = noise("counting", "val", 8).subset(np.zeros(count, int), split)
        data[split] = replace(rows, values=task.rank_values[rng.integers(0, 20, count)])
        predicted[split] = data[split].values + rng.normal(0, 2, count)
    model = Fixed(predicted, with_probabilities)
    prediction = model.predict(data["test"])
    found, covered = evaluate_uncertainty(model, data["calibration"], data["test"], prediction)

    # The 180th of 199 residuals: 0.9 of 199 + 1.
    half_width = sorted(abs(predicted["calibration"] - data["calibration"].values))[179]
    low, high = (np.clip(predicted["test"] + step, 1, 20) for step in (-half_width, half_width))
    inside = (low <= data["test"].values) & (data["test"].values <= high)
    assert np.array_equal(covered, inside)
    assert found["coverage"] == pytest.approx(inside.mean(), abs=1e-6)
    assert found["interval_width"] == pytest.approx(np.mean(high - low), abs=1e-5)
    if with_probabilities:
        right = prediction.label == data["test"].values
        assert found["ece"] == pytest.approx(abs(right.mean() - 0.7), abs=1e-6)
        # One confidence for all images: after scaling it is the accuracy of the calibration.
        calibrated = model.predict(data["calibration"]).label == data["calibration"].values
        scaled = abs(right.mean() - calibrated.mean())
        assert found["ece_scaled"] == pytest.approx(scaled, abs=1e-3)
    else:
        assert found["ece"] is found["ece_scaled"] is None


def test_run_experiment_caches_results(tmp_path, fit):
    row, scores = run_experiment(EXPERIMENT, tmp_path)
    again, same = run_experiment(EXPERIMENT, tmp_path)
    assert fit.call_count == 1
    assert again == row
    assert np.array_equal(same["mae"], scores["mae"])
    run_experiment(replace(EXPERIMENT, seed=1), tmp_path)
    assert fit.call_count == 2


def test_run_experiment_repeats_an_interrupted_run(tmp_path, fit):
    interrupt = patch.object(json, "dumps", side_effect=KeyboardInterrupt)
    with interrupt, pytest.raises(KeyboardInterrupt):
        run_experiment(EXPERIMENT, tmp_path)
    row, _ = run_experiment(EXPERIMENT, tmp_path)
    assert fit.call_count == 2
    assert json.loads((tmp_path / f"{EXPERIMENT.name}.json").read_text()) == [row]


def test_run_experiment_scores_the_bins_of_numclip(tmp_path, fit):
    row, scores = run_experiment(replace(EXPERIMENT, label="NumCLIP", method="numclip"), tmp_path)
    model, test = fit.call_args.args[0], noise("dating", "test", 64)
    right = model.predict_bins(test) == test.task.bin_index(test.values)
    assert 0 < right.mean() < 1
    assert np.array_equal(scores["bin_accuracy"], right)
    assert row["bin_accuracy"] == pytest.approx(right.mean(), abs=1e-6)


@pytest.mark.parametrize("shots", [1, 2])
def test_run_experiment_repeats_few_shot_subset_to_epoch_size(shots, tmp_path, fit, monkeypatch):
    monkeypatch.setattr(module, "FEW_SHOT_EPOCH_SIZE", 32)
    row, _ = run_experiment(replace(EXPERIMENT, shots=shots), tmp_path)
    train = fit.call_args.args[1]
    assert row["shots"] == shots
    assert row["steps"] == len(train) // 8 == 4
    subset = few_shot_subset(noise("dating", "train", 64), shots, seed=0)
    times = Counter(image.tobytes() for image in train.images)
    assert set(times) == {image.tobytes() for image in subset.images}
    assert max(times.values()) - min(times.values()) <= 1


def test_run_experiment_chooses_the_epoch_on_the_labelled_images(tmp_path, fit):
    run_experiment(replace(EXPERIMENT, shots=1, epoch_on_train=True), tmp_path)
    val = fit.call_args.args[2]
    subset = few_shot_subset(noise("dating", "train", 64), 1, seed=0)
    assert np.array_equal(val.images, subset.images)


def test_run_experiment_on_val_overrides_the_task_and_never_loads_test(tmp_path, fit, monkeypatch):
    monkeypatch.setattr(module, "load_data", Mock(wraps=noise))
    overrides = {"bin_edges": (0, 2), "bin_phrases": ("old", "new")}
    changes = {"method": "numclip", "task_overrides": overrides, "split": "val"}
    _, scores = run_experiment(replace(EXPERIMENT, **changes), tmp_path)
    model, train, val, _ = fit.call_args.args
    for task in (model.task, train.task, val.task):
        assert task == replace(load_task("dating"), **overrides)
    assert [call.args[1] for call in module.load_data.call_args_list] == ["train", "val"]
    assert len(scores["mae"]) == 10


@pytest.mark.parametrize("shots", [None, 1])
@pytest.mark.parametrize("method", ["zero-shot", "probe"])
def test_run_experiment_without_training_has_no_steps(method, shots, tmp_path, fit):
    row, scores = run_experiment(
        replace(EXPERIMENT, label=method, method=method, shots=shots), tmp_path
    )
    assert not fit.called
    assert not {"learning_rate", "steps"} & set(row)
    assert row["image_encoder"] == "frozen"
    assert row["mae"] == pytest.approx(scores["mae"].mean(), abs=1e-6)
