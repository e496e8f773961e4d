"""One model of a comparison: its name, its labels, its row."""

import json
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
from small_splits import noise

from ordlib import ImageData, load_task
from ordlib.experiments import trials
from ordlib.experiments.trials import Trial, few_shot_subset, run
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig

TRIAL = Trial(
    label="CORN", method="corn", task="dating", config=TrainingConfig(epochs=1, batch_size=8)
)


@pytest.fixture(autouse=True)
def small(clip, monkeypatch):
    """A tiny backbone, few pictures, and a record of the models that were trained."""
    monkeypatch.setattr(trials, "load_data", noise)
    monkeypatch.setattr(trials, "_clip", lambda: clip)


@pytest.fixture
def fits(monkeypatch):
    """What `fit` was called with, and returned."""
    seen, fit = [], trials.fit

    def watched(*given, **more):
        history = fit(*given, **more)
        seen.append((given, history))
        return history

    monkeypatch.setattr(trials, "fit", watched)
    return seen


def test_names_differ_whenever_anything_does():
    configs = (
        {"batch_size": 9},
        {"lr_multipliers": {"image_encoder": 0.3}},
        {"learning_rate": 0.0030000001},
    )
    changes = {
        "label": ["CORN 2", "corn"],
        "method": ["coop"],
        "task": ["ageing"],
        "seed": [1, 2],
        "config": [replace(TRIAL.config, **change) for change in (*configs, {"epochs": 2})],
        "options": [{"adapter": True}, {"adapter": False}, {"image_encoder": "lora"}],
        "task_overrides": [{"bin_edges": (0, 2)}, {"bin_edges": (0, 2, 3)}],
        "shots": [0, 1, 2],
        "split": ["val"],
        "score_ordinality": [True],
    }
    assert set(changes) == {field.name for field in fields(Trial)}
    several = [replace(TRIAL, **{name: v}) for name, values in changes.items() for v in values]
    names = [trial.name for trial in [TRIAL, *several]]
    assert len(set(names)) == len(names)
    assert replace(TRIAL).name == TRIAL.name
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
def test_few_draws_as_many_of_each_rank_as_asked_or_as_there_are(shots):
    ranks = [0, 0, 1, 0, 3, 1, 0, 4, 4, 4]
    found = few_shot_subset(of_ranks(ranks), shots, seed=0)
    counts = Counter(found.ranks.tolist())
    assert counts == {rank: min(count, shots) for rank, count in Counter(ranks).items()}
    firsts = [image[0, 0, 0] for image in found.images]
    assert len(set(firsts)) == len(found)
    for first, rank in zip(firsts, found.ranks, strict=True):
        assert ranks[first // 12] == rank


def test_every_picture_of_a_rank_may_be_drawn():
    data = of_ranks([0, 0, 0, 0, 2, 2])
    drawn = Counter(few_shot_subset(data, 1, seed).images[0][0, 0, 0] // 12 for seed in range(200))
    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 25


def test_a_row_says_what_was_trained_and_how_well(tmp_path, fits):
    row, errors = run(replace(TRIAL, seed=3, options={"image_encoder": "lora"}), tmp_path)
    (model, train, val, config), history = fits[0]
    test = noise("dating", "test", 64)
    prediction = model.predict(test)
    expected = compute_metrics(test.task, test.values, prediction)
    assert [train.fingerprint, val.fingerprint, config.seed, model.options.seed] == [
        "dating-train",
        "dating-val",
        3,
        3,
    ]
    assert np.array_equal(errors, np.abs(test.values - prediction.value))
    assert row["mae"] == pytest.approx(errors.mean(), abs=1e-6)
    for name in ("mae", "accuracy", "spearman", "kappa"):
        assert row[name] == pytest.approx(expected[name], abs=1e-6)
    assert [row[name] for name in ("method", "task", "image_encoder", "seed")] == [
        "CORN",
        "dating",
        "lora",
        3,
    ]
    assert [row["learning_rate"], row["steps"]] == [0.003, history.attrs["steps"]]
    assert row["seconds"] > 0
    assert row["device"].startswith("cpu (")
    assert "shots" not in row


def test_a_trial_is_run_once(tmp_path, fits):
    row, errors = run(TRIAL, tmp_path)
    again, same = run(TRIAL, tmp_path)
    assert len(fits) == 1
    assert again == row
    assert np.array_equal(same, errors)
    run(replace(TRIAL, seed=1), tmp_path)
    assert len(fits) == 2


def test_a_trial_cut_short_is_run_again(tmp_path, fits, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", cut)
        with pytest.raises(KeyboardInterrupt):
            run(TRIAL, tmp_path)
    row, _ = run(TRIAL, tmp_path)
    assert len(fits) == 2
    assert json.loads((tmp_path / f"{TRIAL.name}.json").read_text()) == row


@pytest.mark.parametrize("shots", [1, 2])
def test_few_labels_are_repeated_to_the_same_number_of_steps(shots, tmp_path, fits, monkeypatch):
    monkeypatch.setattr(trials, "PICTURES_AN_EPOCH", 32)
    row, _ = run(replace(TRIAL, shots=shots), tmp_path)
    train = fits[0][0][1]
    assert row["shots"] == shots
    assert row["steps"] == len(train) // 8 == 4
    drawn = few_shot_subset(noise("dating", "train", 64), shots, seed=0)
    expected = {image.tobytes() for image in drawn.images}
    times = Counter(image.tobytes() for image in train.images)
    assert set(times) == expected
    assert max(times.values()) - min(times.values()) <= 1


def test_an_edit_changes_the_task_of_all_splits(tmp_path, fits):
    task_overrides = {"bin_edges": (0, 2), "bin_phrases": ("old", "new")}
    run(replace(TRIAL, method="numclip", task_overrides=task_overrides, split="val"), tmp_path)
    model, train, val, _ = fits[0][0]
    for task in (model.task, train.task, val.task):
        assert task == replace(load_task("dating"), **task_overrides)


def test_val_trials_never_see_test(tmp_path, monkeypatch):
    seen = []

    def watched(task, split, side):
        seen.append(split)
        return noise(task, split, side)

    monkeypatch.setattr(trials, "load_data", watched)
    _, errors = run(replace(TRIAL, split="val"), tmp_path)
    assert seen == ["train", "val"]
    assert len(errors) == 10


@pytest.mark.parametrize("method", ["zero-shot", "probe"])
def test_what_needs_no_loop_has_neither_rate_nor_steps(method, tmp_path, fits):
    row, errors = run(replace(TRIAL, label=method, method=method), tmp_path)
    assert not fits
    assert not {"learning_rate", "steps"} & set(row)
    assert row["image_encoder"] == "frozen"
    assert row["mae"] == pytest.approx(errors.mean(), abs=1e-6)
