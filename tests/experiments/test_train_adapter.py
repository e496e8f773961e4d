"""Ranking adapters on the synthetic tasks: metrics against loops, card and command."""

import json
from dataclasses import asdict, replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from commands import fail, parse, run
from scipy.stats import pearsonr, spearmanr

from ordlib import ImageData, load_component, load_task
from ordlib.experiments import train_adapter as module
from ordlib.experiments.adapter_data import HELD_OUT_OBJECTS, TASKS, EvalSet, training_data
from ordlib.experiments.train_adapter import (
    CONFIG,
    evaluate_adapter,
    evaluate_ranking,
    save_with_card,
    train_ranking_adapter,
)
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler
from ordlib.synthetic.load import load_data
from ordlib.synthetic.tasks import RANKING_PROMPTS
from ordlib.training import TrainingConfig

SHORT = TrainingConfig(epochs=2, batch_size=10, learning_rate=3e-3, seed=7)
IDENTITY = LabelScaler(mean=0, std=1, slope=1, intercept=0)


def eval_set(task: str, truth: list[float]) -> EvalSet:
    """Blank images; targets may lie below the range of the task."""
    definition = load_task(task)
    images = np.zeros((len(truth), 64, 64, 3), np.uint8)
    labels = np.clip(truth, *definition.range)
    data = ImageData(definition, images, labels, pd.DataFrame(index=range(len(truth))), "x", "test")
    return EvalSet("test", data, np.array(truth), {})


def rank_of(task, value: float) -> int:
    """The nearest rank, ties upwards; -1 more than half below the lowest."""
    if value < task.rank_values[0] - 0.5:
        return -1
    return min(range(task.num_ranks), key=lambda rank: (abs(task.rank_values[rank] - value), -rank))


def naive(task, truth: list[float], scores: list[float], scale: LabelScaler) -> dict[str, float]:
    low, high = task.range
    low = min(low, min(truth))
    values = [min(max(scale.slope * score + scale.intercept, low), high) for score in scores]
    ranks = [rank_of(task, label) for label in truth]
    right = pairs = 0.0
    for i, j in permutations(range(len(truth)), 2):
        if ranks[i] > ranks[j]:
            pairs += 1
            right += (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
    same = [rank_of(task, value) == rank for value, rank in zip(values, ranks, strict=True)]
    return {
        "spearman": spearmanr(truth, scores).statistic,
        "pearson": pearsonr(truth, scores).statistic,
        "pairwise": right / pairs,
        "mae": sum(abs(v - t) for v, t in zip(values, truth, strict=True)) / len(truth),
        "accuracy": sum(same) / len(same),
    }


@pytest.mark.parametrize("task", TASKS)
def test_evaluate_ranking_equals_naive_loop(task):
    rng = np.random.default_rng(len(task))
    low, high = load_task(task).range
    truth = rng.uniform(low, high, 25)
    truth = truth if task == "quality" else truth.round()
    scores = (truth - truth.mean()) / truth.std() + rng.normal(0, 0.8, 25)
    # With ties, and values out of range.
    scores[:4] = scores[4]
    scale = LabelScaler(mean=0, std=1, slope=truth.std(), intercept=truth.mean())
    values = scale.scores_to_labels(scores)
    assert values.min() < low < high < values.max()
    check_ranking(task, truth, scores, scale)


def check_ranking(task: str, truth: np.ndarray, scores: np.ndarray, scale: LabelScaler) -> None:
    found, arrays = evaluate_ranking(eval_set(task, truth.tolist()), scores, scale)
    assert arrays["mae"].mean() == pytest.approx(found["mae"], abs=1e-6)
    assert np.array_equal(arrays["spearman"], [truth, scores])
    expected = naive(load_task(task), truth.tolist(), scores.tolist(), scale)
    assert found == pytest.approx(expected, abs=1e-6)
    assert [*found] == [*expected]


def test_evaluate_ranking_of_absent_objects_equals_naive_loop():
    truth = np.array([*range(1, 13), *[0] * 12])
    scores = truth + np.random.default_rng(0).normal(0, 1.5, 24)
    check_ranking("counting", truth, scores, IDENTITY)


@pytest.mark.parametrize(
    ("values", "mae", "accuracy"),
    [
        # Values are clipped at 0; 0.4 is rounded to none, 0.6 to one.
        ([-3.0, 0.4, 0.0, 2.0], 0.1, 1.0),
        ([0.6, 0.6, 0.6, 2.0], 0.45, 0.25),
        ([0.0, 0.0, 0.0, 99.0], 4.5, 0.75),
    ],
)
def test_evaluate_ranking_rounds_absent_objects_to_0(values, mae, accuracy):
    found, _ = evaluate_ranking(eval_set("counting", [0, 0, 0, 2]), np.array(values), IDENTITY)
    assert (found["mae"], found["accuracy"]) == (pytest.approx(mae), accuracy)


def test_evaluate_ranking_returns_none_where_undefined():
    constant, _ = evaluate_ranking(eval_set("dating", [0, 1, 4]), np.full(3, 2.0), IDENTITY)
    assert [*constant.values()] == [None, None, 0.5, 1.666667, 0.0]
    equal, _ = evaluate_ranking(eval_set("dating", [2, 2, 2]), np.array([1.0, 2, 3]), IDENTITY)
    assert [equal[name] for name in ("spearman", "pearson", "pairwise")] == [None] * 3
    json.dumps([constant, equal], allow_nan=False)


@pytest.fixture
def small(clip, small_world):
    """An adapter for ageing and counting after two epochs, with its history."""
    return train_ranking_adapter(clip, ("ageing", "counting"), SHORT, progress=False)


def test_train_ranking_adapter_uses_config_and_training_data(small, clip):
    adapter, history = small
    assert [*adapter.tasks] == ["ageing", "counting"]
    assert adapter.options.seed == 7
    assert adapter.options.negative_ratio == module.NEGATIVE_RATIO > 0.2
    labels = {task: training_data(clip, task, "train").values for task in adapter.tasks}
    for task, scaler in adapter.label_scalers.items():
        expected = (labels[task].mean(), labels[task].std())
        assert (scaler.mean, scaler.std) == pytest.approx(expected)
    assert history.attrs["steps"] == 2 * (sum(map(len, labels.values())) // 10)
    assert set(adapter.ood_detectors) == set(adapter.label_scalers) == set(adapter.tasks)
    assert np.isfinite(history["loss"]).all()


def test_evaluate_adapter_has_rows_for_all_sets_and_prompts(small, clip):
    adapter, _ = small
    rows, _ = evaluate_adapter(adapter)
    extra = ("generic", "singular")
    kinds = {("ageing", "test"): (), ("counting", "test"): (), ("counting", "known objects"): extra,
             ("counting", "held-out objects"): extra, ("counting", "distractors"): ()}  # fmt: skip
    keys = [(*key, kind) for key, more in kinds.items() for kind in ("seen", "held_out", *more)]
    keys.append(("counting", "absent objects", "seen"))
    assert [(row["task"], row["split"], row["prompts"]) for row in rows] == keys
    # Recomputed with the first template of each kind.
    for row in rows:
        if row["prompts"] in extra or row["split"] in ("known objects", "absent objects"):
            continue
        task, templates = load_task(row["task"]), RANKING_PROMPTS[row["task"]]
        template = (templates.train if row["prompts"] == "seen" else templates.held_out)[0]
        split = "distractors" if row["split"] == "distractors" else "test"
        size = 40 if row["split"] == "held-out objects" else None
        data = load_data(row["task"], split, clip.image_size, size)
        if row["split"] == "held-out objects":
            data = data.subset(data.metadata["plural"].isin(HELD_OUT_OBJECTS).to_numpy())
        names = data.metadata["plural"] if row["task"] == "counting" else [""] * len(data)
        scores = adapter.predict_scores(data, [template.format(plural=name) for name in names])
        scale = adapter.label_scalers[row["task"]]
        expected = naive(task, data.values.tolist(), scores.tolist(), scale)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=2e-6)


def test_save_with_card_writes_a_card(small, clip, tmp_path):
    adapter, history = small
    rows, _ = save_with_card(adapter, history, SHORT, tmp_path / "mine")
    loaded = load_component(tmp_path / "mine", clip)
    card = loaded.card
    assert card["results"] == rows == evaluate_adapter(adapter)[0]
    assert card["description"].startswith("Ranking-aware adapter for ageing, counting, conditioned")
    assert (card["seed"], card["hyperparameters"]) == (7, asdict(SHORT) | {"milestones": []})
    assert card["num_train_images"] == {"ageing": 30, "counting": 30}
    assert card["held_out_objects"] == list(HELD_OUT_OBJECTS)
    for split in ("train", "val"):
        keys = {task: training_data(clip, task, split).fingerprint for task in adapter.tasks}
        assert card["data"][split] == keys
    for name in ("steps", "best_epoch"):
        assert card[name] == history.attrs[name]
    assert card["train_seconds"] == history.attrs["seconds"]
    assert len(card["sha256"]) == 64
    assert {"device", "versions"} < card.keys()
    # Weights are saved in half precision.
    data = load_data("ageing", "val", clip.image_size)
    predictions = [model.predict(data).value for model in (adapter, loaded)]
    np.testing.assert_allclose(*predictions, atol=0.3)


@pytest.mark.parametrize(
    ("tasks", "changes", "folder"),
    [
        (TASKS, {}, "ranking-adapter"),
        (("dating",), {"seed": 3}, "old prints"),
        (("ageing", "counting"), {"seed": 1000, "epochs": 2}, "it's mine"),
        (TASKS[::-1], {"epochs": 1}, "the-other-way"),
    ],
)
def test_save_with_card_writes_a_reproducing_command(
    tasks, changes, folder, clip, tmp_path, monkeypatch, small_world
):
    """The order of the tasks matters: it changes the random numbers."""
    monkeypatch.setattr(module, "evaluate_adapter", lambda *_: ([], []))
    monkeypatch.setattr(module, "training_data", lambda *_: eval_set("dating", [0, 1]).data)
    adapter = module.RankingAdapter(clip, [load_task(task) for task in tasks])
    history = pd.DataFrame()
    history.attrs.update(steps=1, best_epoch=1, seconds=0.5)
    config = replace(CONFIG, **changes)
    save_with_card(adapter, history, config, tmp_path / folder)
    command = json.loads((tmp_path / folder / "card.json").read_text())["command"]
    monkeypatch.setattr(module, "load_clip", lambda name, device: name)
    (*arguments, path), _ = parse(command, module, "train_ranking_adapter")
    assert (arguments, path.name) == ([clip.name, tasks, config], folder)
    assert ("--task" in command) == (tasks != TASKS)


def test_command_train_adapter_saves_a_component(clip, small_world, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CONFIG", replace(SHORT, epochs=1))
    out, words = tmp_path / "out", ["--task", "ageing", "--epochs", "1", "--backbone", clip.name]
    found = run("train-adapter", "--output", out, *words, "--device", "cpu")
    assert f"saved {out}; load it with ordlib.load_component({str(out)!r})" in found.stdout
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "card.json", "config.json", "model.safetensors"}
    model = load_component(out, clip)
    assert [*model.tasks] == ["ageing"]
    config = replace(SHORT, epochs=1, seed=CONFIG.seed)
    assert model.card["hyperparameters"] == asdict(config) | {"milestones": []}


def test_command_train_adapter_rejects_unknown_task(tmp_path):
    message = "task = 'weighing': must be one of counting, dating, ageing"
    words = ["--task", "ageing", "--task", "weighing"]
    assert fail(message, "train-adapter", "--output", tmp_path, *words).startswith(message)
    assert not [*tmp_path.iterdir()]
