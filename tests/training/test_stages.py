"""Two stages: words on cached features, then the picture side with the words held."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from training_runs import PLAN, TASK, pictures_of, train

from ordlib import CoOp, Corn
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.metrics import score
from ordlib.training import TrainingPlan, fit
from ordlib.training.fit import FIRST_STATE, STATE, forget

STAGES = replace(PLAN, epochs=3, words_first=2)


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.trained_state().items()}


def moved(one: dict, other: dict) -> set[str]:
    """The groups of the tensors that differ."""
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    return {name.split(".")[1] if name.startswith("image.") else "rest" for name in differing}


class Watched(L2RCLIP):
    """Keeps its state after each epoch, also the copy that has no tower."""

    seen: list[dict]

    def read(self, features):
        self.seen.append(state_of(self))
        return super().read(features)


class Worsening(Corn):
    """Is perfect in the first epoch and worse in every other, of whatever stage."""

    calls: list[dict]

    def read(self, features):
        self.calls.append(state_of(self))
        truth = pictures_of("val", 12).values
        return self.task.read_values(truth if len(self.calls) == 1 else 5 - truth)


@pytest.fixture(scope="module")
def staged(clip):
    Watched.seen = []
    model = Watched(clip, TASK, tower="lora", positions="learned")
    first = state_of(model)
    return model, first, train(model, plan=STAGES)


def test_words_stay_in_the_second_stage_and_the_tower_in_the_first(staged):
    _, first, _ = staged
    one, two, three = Watched.seen
    towers = {name for name in first if name.startswith("image.tower.")}
    assert one.keys() == two.keys() == first.keys() - towers
    assert three.keys() == first.keys()
    assert moved({name: first[name] for name in two}, two) == {"adapter", "rest"}
    assert moved(one, {name: three[name] for name in one}) >= {"adapter"}
    kept = [name for name in first if not name.startswith("image.")]
    # The second stage starts from the best state of the first.
    assert any(all(torch.equal(s[n], three[n]) for n in kept) for s in (one, two))
    assert {n for n in towers if not torch.equal(first[n], three[n])} == towers


def test_the_history_is_of_both_stages(staged):
    model, _, history = staged
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history.index.tolist() == [0, 1, 2]
    assert history.attrs["steps"] == 9
    assert history.attrs["seconds"] > 0
    assert history.attrs["device"] == "cpu"
    best, low = [], float("inf")
    for mae in history["mae"]:
        best.append(mae < low)
        low = min(low, mae)
    assert history["best"].tolist() == best
    assert history.attrs["best_epoch"] == history["epoch"][history["mae"].argmin()]
    val = pictures_of("val", 12)
    assert score(TASK, val.values, model.predict(val))["mae"] == pytest.approx(low, abs=1e-6)


def test_afterwards_everything_is_trained_again(staged):
    model, *_ = staged
    assert set(model.parameter_groups()) == {"tower", "adapter", "rest"}


def test_the_best_state_is_kept_though_the_second_stage_never_improves(clip):
    Worsening.calls = []
    model = Worsening(clip, TASK, tower="lora")
    first = state_of(model)
    history = train(model, plan=replace(STAGES, epochs=4))
    assert history["best"].tolist() == [True, False, False, False]
    assert (history.attrs["best_epoch"], history.attrs["steps"]) == (1, 12)
    for name, tensor in model.trained_state().items():
        expected = first[name] if "tower" in name else Worsening.calls[0][name]
        assert torch.equal(tensor, expected), name


def test_patience_counts_in_each_stage_from_its_start(clip):
    Worsening.calls = []
    plan = replace(STAGES, epochs=9, words_first=5, patience=2)
    history = train(Worsening(clip, TASK, tower="lora"), plan=plan)
    # One good epoch and two others, then two that are no better than what they started from.
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history.attrs["best_epoch"] == 1


def test_rates_of_tower_and_words_are_each_for_their_stage(clip):
    Watched.seen = []
    model = Watched(clip, TASK, tower="lora")
    first = state_of(model)
    plan = replace(STAGES, epochs=2, words_first=1, rates={"tower": 0.0, "rest": 0.0})
    train(model, plan=plan)
    one, two = Watched.seen
    assert moved({name: first[name] for name in one}, one) == {"adapter"}
    assert moved(first, two) == {"adapter"}


@pytest.mark.parametrize("group", ["words", "tower"])
def test_an_unknown_group_is_refused_before_anything_is_trained(clip, group):
    model = CoOp(clip, TASK)
    with pytest.raises(ValueError, match=f"rates: no group '{group}' is trained here"):
        train(model, plan=replace(PLAN, rates={group: 0.1}))


def test_a_frozen_tower_has_no_second_stage(clip):
    told = "words_first = 2: the picture tower is frozen, .* words_first=0, or tower='lora'"
    with pytest.raises(ValueError, match=told):
        train(L2RCLIP(clip, TASK), plan=STAGES)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_loss_that_breaks_leaves_the_best_state(clip, stage, monkeypatch):
    model, calls = L2RCLIP(clip, TASK, tower="lora"), []
    first, loss = state_of(model), L2RCLIP.loss

    def breaking(self, *batch):
        calls.append(1)
        broken = len(calls) > (3 if stage == 1 else 6)
        return loss(self, *batch) * (float("nan") if broken else 1.0)

    monkeypatch.setattr(L2RCLIP, "loss", breaking)
    with pytest.raises(FloatingPointError, match="back in the best state so far"):
        train(model, plan=STAGES)
    assert moved(first, model.trained_state()) == {"adapter", "rest"}
    assert set(model.parameter_groups()) == {"tower", "adapter", "rest"}


def test_a_finished_run_of_two_stages_is_not_trained_again(clip, tmp_path, monkeypatch):
    model, again = (L2RCLIP(clip, TASK, tower="lora") for _ in range(2))
    plan = replace(STAGES, epochs=2, words_first=1)
    history = train(model, tmp_path, plan)
    assert {path.name for path in tmp_path.iterdir()} == {STATE, FIRST_STATE}
    monkeypatch.setattr(L2RCLIP, "loss", None)
    found = train(again, tmp_path, plan)
    pd.testing.assert_frame_equal(found, history, check_exact=True)
    assert found.attrs == history.attrs
    for name, tensor in model.trained_state().items():
        assert torch.equal(tensor, again.trained_state()[name]), name
    # One stage of as many epochs is another run.
    with pytest.raises(ValueError, match=r"trains was .* there"):
        train(again, tmp_path, replace(plan, epochs=1, words_first=0))
    with pytest.raises(ValueError, match=r"plan\.epochs was 1 there and is 2 now"):
        train(again, tmp_path, replace(plan, epochs=3, words_first=2))
    forget(tmp_path)
    assert not any(tmp_path.iterdir())
    forget(tmp_path)


def test_pictures_of_another_task_are_refused_in_the_first_stage(clip):
    other = replace(TASK, name="other")
    data = pictures_of("train", 24)
    with pytest.raises(ValueError, match="the model learns 'other'"):
        fit(L2RCLIP(clip, other, tower="lora"), data, data, STAGES, bar=False)


def test_words_first_is_off_by_default():
    assert TrainingPlan().words_first == 0


def test_after_every_step_the_model_may_put_itself_right(clip):
    class Kept(L2RCLIP):
        alphas: list[float]

        def after_step(self):
            self.alphas.append(self.rankformer.alpha.item())
            super().after_step()

    # So high a rate carries alpha out of 0 to 1 at once.
    model = Kept(clip, TASK, alpha=0.5)
    model.alphas = []
    history = train(model, plan=replace(PLAN, epochs=1, learning_rate=2.0, largest_norm=1e6))
    assert len(model.alphas) == history.attrs["steps"] == 3
    assert not all(0 <= alpha <= 1 for alpha in model.alphas)
    assert 0 <= model.rankformer.alpha.item() <= 1
