"""Ranking adapters on rendered tasks: their tests, against loops, their card and its command."""

import json
import shlex
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ordlib import ImageData, load_component, load_task
from ordlib.cli import app
from ordlib.experiments import train_adapter as rankers
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
from ordlib.synthetic.tasks import WORDINGS
from ordlib.training import TrainingConfig

# Of 30 counted pictures, less those that are held back, and of 30 others.
SHORT = TrainingConfig(epochs=2, batch_size=10, learning_rate=3e-3, seed=7)
AS_THEY_ARE = LabelScaler(mean=0, std=1, slope=1, intercept=0)


def judged(task: str, truth: list[float]) -> EvalSet:
    """Pictures that nobody looks at; what is asked for may lie below the task's range."""
    known = load_task(task)
    images = np.zeros((len(truth), 64, 64, 3), np.uint8)
    labels = np.clip(truth, *known.range)
    data = ImageData(known, images, labels, pd.DataFrame(index=range(len(truth))), "x", "test")
    return EvalSet("test", data, np.array(truth), {})


def rank_of(task, value: float) -> int:
    """The nearest rank, halfway the higher one; more than half below the lowest, none."""
    if value < task.rank_values[0] - 0.5:
        return -1
    best = 0
    for rank, level in enumerate(task.rank_values):
        if abs(level - value) <= abs(task.rank_values[best] - value):
            best = rank
    return best


def places(numbers: list[float]) -> list[float]:
    """Ranks from 1; of equal numbers, their mean."""
    found = []
    for one in numbers:
        below, equal = sum(n < one for n in numbers), sum(n == one for n in numbers)
        found.append(below + (equal + 1) / 2)
    return found


def correlation(one: list[float], other: list[float]) -> float:
    x, y = sum(one) / len(one), sum(other) / len(other)
    pairs = list(zip(one, other, strict=True))
    up = sum((a - x) * (b - y) for a, b in pairs)
    return up / (sum((a - x) ** 2 for a in one) * sum((b - y) ** 2 for b in other)) ** 0.5


def naive(task, truth: list[float], scores: list[float], scale: LabelScaler) -> dict[str, float]:
    low, high = task.range
    low = min(low, min(truth))
    values = [min(max(scale.slope * score + scale.intercept, low), high) for score in scores]
    ranks = [rank_of(task, label) for label in truth]
    right = pairs = 0.0
    for i, j in combinations(range(len(truth)), 2):
        if ranks[i] != ranks[j]:
            pairs += 1
            higher, lower = (i, j) if ranks[i] > ranks[j] else (j, i)
            right += (scores[higher] > scores[lower]) + (scores[higher] == scores[lower]) / 2
    same = [rank_of(task, value) == rank for value, rank in zip(values, ranks, strict=True)]
    return {
        "spearman": correlation(places(truth), places(scores)),
        "pearson": correlation(truth, scores),
        "pairwise": right / pairs,
        "mae": sum(abs(v - t) for v, t in zip(values, truth, strict=True)) / len(truth),
        "accuracy": sum(same) / len(same),
    }


@pytest.mark.parametrize("task", TASKS)
def test_it_is_what_loops_say(task):
    rng = np.random.default_rng(len(task))
    low, high = load_task(task).range
    truth = rng.uniform(low, high, 25)
    truth = truth if task == "quality" else truth.round()
    scores = (truth - truth.mean()) / truth.std() + rng.normal(0, 0.8, 25)
    # Some are tied, and some values lie beyond the range.
    scores[:4] = scores[4]
    scale = LabelScaler(mean=0, std=1, slope=truth.std(), intercept=truth.mean())
    values = scale.inverse_transform(scores)
    assert values.min() < low < high < values.max()
    found = evaluate_ranking(judged(task, truth.tolist()), scores, scale)
    expected = naive(load_task(task), truth.tolist(), scores.tolist(), scale)
    assert found == pytest.approx(expected, abs=1e-6)
    assert [*found] == [*expected]


def test_none_at_all_lies_below_the_range_and_counts():
    rng = np.random.default_rng(0)
    truth = [*range(1, 13), *[0] * 12]
    scores = np.array(truth) + rng.normal(0, 1.5, 24)
    found = evaluate_ranking(judged("counting", truth), scores, AS_THEY_ARE)
    expected = naive(load_task("counting"), truth, scores.tolist(), AS_THEY_ARE)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "mae", "accuracy"),
    [
        # Below 0 there is nothing; 0.4 is none, 0.6 is one.
        ([-3.0, 0.4, 0.0, 2.0], 0.1, 1.0),
        ([0.6, 0.6, 0.6, 2.0], 0.45, 0.25),
        ([0.0, 0.0, 0.0, 99.0], 4.5, 0.75),
    ],
)
def test_zero_is_right_only_where_there_is_none(values, mae, accuracy):
    found = evaluate_ranking(judged("counting", [0, 0, 0, 2]), np.array(values), AS_THEY_ARE)
    assert (found["mae"], found["accuracy"]) == (pytest.approx(mae), accuracy)


def test_what_is_undefined_is_none():
    constant = evaluate_ranking(judged("dating", [0, 1, 4]), np.array([2.0, 2.0, 2.0]), AS_THEY_ARE)
    assert [*constant.values()] == [None, None, 0.5, 1.666667, 0.0]
    equal = evaluate_ranking(judged("dating", [2, 2, 2]), np.array([1.0, 2.0, 3.0]), AS_THEY_ARE)
    assert [equal[name] for name in ("spearman", "pearson", "pairwise")] == [None] * 3
    json.dumps([constant, equal], allow_nan=False)


@pytest.fixture
def small(clip, small_world):
    """An adapter for ageing and counting, trained for two epochs, and the history of it."""
    return train_ranking_adapter(clip, ("ageing", "counting"), SHORT, progress=False)


def test_training_has_the_plans_seed_and_the_pictures_that_may_be_seen(small, clip):
    adapter, history = small
    assert [*adapter.tasks] == ["ageing", "counting"]
    assert adapter.options.seed == 7
    assert adapter.options.negative_ratio == rankers.NEGATIVE_RATIO > 0.2
    for task in adapter.tasks:
        labels = training_data(clip, task, "train").values
        assert adapter.label_scalers[task].mean == pytest.approx(labels.mean())
        assert adapter.label_scalers[task].std == pytest.approx(labels.std())
    count = sum(len(training_data(clip, task, "train")) for task in adapter.tasks)
    assert history.attrs["steps"] == 2 * (count // 10)
    assert set(adapter.ood_detectors) == set(adapter.tasks)
    assert np.isfinite(history["loss"]).all()


def test_rows_are_of_every_set_and_wording(small, clip):
    adapter, _ = small
    rows = evaluate_adapter(adapter)
    keys = [(row["task"], row["split"], row["prompts"]) for row in rows]
    assert keys == [
        ("ageing", "test", "seen"),
        ("ageing", "test", "held_out"),
        *(("counting", name, kind) for name in ("test", "held-out objects", "distractors")
          for kind in ("seen", "held_out")),
        ("counting", "absent objects", "seen"),
    ]  # fmt: skip
    # Each again, by hand: the first sentence of its kind, with the names of the objects.
    for row in rows:
        task, known = load_task(row["task"]), WORDINGS[row["task"]]
        sentence = (known.train if row["prompts"] == "seen" else known.held_out)[0]
        split = "distractors" if row["split"] == "distractors" else "test"
        size = 40 if row["split"] == "held-out objects" else None
        data = load_data(row["task"], split, clip.image_size, size)
        if row["split"] == "held-out objects":
            data = data.subset(
                [i for i, n in enumerate(data.metadata["plural"]) if n in HELD_OUT_OBJECTS]
            )
        if row["split"] == "absent objects":
            continue
        names = data.metadata["plural"] if row["task"] == "counting" else [""] * len(data)
        scores = adapter.predict_scores(data, [sentence.format(plural=name) for name in names])
        scale = adapter.label_scalers[row["task"]]
        expected = naive(task, data.values.tolist(), scores.tolist(), scale)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=2e-6)


def test_the_card_says_all_that_is_known(small, clip, tmp_path):
    adapter, history = small
    rows = save_with_card(adapter, history, SHORT, tmp_path / "mine")
    loaded = load_component(tmp_path / "mine", clip)
    card = loaded.card
    assert card["results"] == rows == evaluate_adapter(adapter)
    assert card["description"].startswith("Ranking-aware adapter for ageing, counting, conditioned")
    assert (card["seed"], card["hyperparameters"]) == (7, asdict(SHORT))
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
    # What is kept, in half precision, orders and reads almost as what was trained.
    data = load_data("ageing", "val", clip.image_size)
    same = [model.predict(data).value for model in (adapter, loaded)]
    np.testing.assert_allclose(*same, atol=0.3)


class Told(Exception):
    """Carries what the command understood."""


@pytest.fixture
def understood(monkeypatch):
    """Parse a command without training, and return what would be trained."""

    def parse(line: str) -> tuple:
        words = shlex.split(line)
        assert words[:2] == ["ordlib", "train-adapter"]

        def told(clip, tasks, config, folder):
            raise Told(clip, tuple(tasks), config, folder.name)

        with monkeypatch.context() as patch:
            patch.setattr(rankers, "load_clip", lambda name, device: name)
            patch.setattr(rankers, "train_ranking_adapter", told)
            found = CliRunner().invoke(app, words[1:])
        assert isinstance(found.exception, Told), found.output
        return found.exception.args

    return parse


@pytest.mark.parametrize(
    ("tasks", "changes", "folder"),
    [
        (TASKS, {}, "ranking-adapter"),
        (("dating",), {"seed": 3}, "old prints"),
        (("ageing", "counting"), {"seed": 1000, "epochs": 2}, "it's mine"),
        (TASKS[::-1], {"epochs": 1}, "the-other-way"),
    ],
)
def test_the_cards_command_trains_the_same_again(
    tasks, changes, folder, understood, clip, tmp_path, monkeypatch, small_world
):
    """Also where the order of the tasks is another: it decides what is drawn."""
    monkeypatch.setattr(rankers, "evaluate_adapter", lambda *_: [])
    monkeypatch.setattr(rankers, "training_data", lambda *_: judged("dating", [0, 1]).data)
    adapter = rankers.RankingAdapter(clip, [load_task(task) for task in tasks])
    history = pd.DataFrame()
    history.attrs.update(steps=1, best_epoch=1, seconds=0.5)
    config = replace(CONFIG, **changes)
    save_with_card(adapter, history, config, tmp_path / folder)
    command = json.loads((tmp_path / folder / "card.json").read_text())["command"]
    assert understood(command) == (clip.name, tasks, config, folder)
    assert ("--task" in command) == (tasks != TASKS)


def test_from_the_command_to_a_component(clip, small_world, tmp_path, monkeypatch):
    monkeypatch.setattr(rankers, "CONFIG", replace(SHORT, epochs=1))
    words = ["train-adapter", "--output", str(tmp_path / "out"), "--task", "ageing"]
    words += ["--epochs", "1", "--backbone", clip.name, "--device", "cpu"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    out = tmp_path / "out"
    assert f"{out} is complete; ordlib.load_component({str(out)!r}) loads it" in found.stdout
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["card.json", "config.json", "model.safetensors"]
    model = load_component(tmp_path / "out", clip)
    assert [*model.tasks] == ["ageing"]
    assert model.card["hyperparameters"] == asdict(replace(SHORT, epochs=1, seed=CONFIG.seed))


def test_an_unknown_task_is_told(tmp_path):
    words = ["train-adapter", "--output", str(tmp_path), "--task", "ageing", "--task", "weighing"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 1
    told = "task = 'weighing': must be one of counting, dating, ageing, quality"
    assert found.stderr.strip() == told
    assert not [*tmp_path.iterdir()]
