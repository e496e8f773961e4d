"""Two stages: words on cached features, then the picture side with the words held."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from training_runs import CONFIG, TASK, pictures_of, train

from ordlib import CORN, CoOp
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig, fit
from ordlib.training.fit import CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME, delete_checkpoints

STAGES = replace(CONFIG, epochs=3, prompt_epochs=2)


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def moved(one: dict, other: dict) -> set[str]:
    """The groups of the tensors that differ."""
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    return {
        name.split(".")[1] if name.startswith("image_encoder.") else "prompts" for name in differing
    }


class Watched(L2RCLIP):
    """Keeps its state after each epoch, also the copy that has no tower."""

    seen: list[dict]

    def predict_from_features(self, features):
        self.seen.append(state_of(self))
        return super().predict_from_features(features)


class Worsening(CORN):
    """Is perfect in the first epoch and worse in every other, of whatever stage."""

    calls: list[dict]

    def predict_from_features(self, features):
        self.calls.append(state_of(self))
        truth = pictures_of("val", 12).values
        return self.task.decode_values(truth if len(self.calls) == 1 else 5 - truth)


@pytest.fixture(scope="module")
def staged(clip):
    Watched.seen = []
    model = Watched(clip, TASK, image_encoder="lora", rank_pos_embed="learned")
    first = state_of(model)
    return model, first, train(model, config=STAGES)


def test_words_stay_in_the_second_stage_and_the_tower_in_the_first(staged):
    _, first, _ = staged
    one, two, three = Watched.seen
    towers = {name for name in first if name.startswith("image_encoder.encoder.")}
    assert one.keys() == two.keys() == first.keys() - towers
    assert three.keys() == first.keys()
    assert moved({name: first[name] for name in two}, two) == {"adapter", "prompts"}
    assert moved(one, {name: three[name] for name in one}) >= {"adapter"}
    kept = [name for name in first if not name.startswith("image_encoder.")]
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
    assert compute_metrics(TASK, val.values, model.predict(val))["mae"] == pytest.approx(
        low, abs=1e-6
    )


def test_afterwards_everything_is_trained_again(staged):
    model, *_ = staged
    assert set(model.parameter_groups()) == {"image_encoder", "adapter", "prompts"}


def test_the_best_state_is_kept_though_the_second_stage_never_improves(clip):
    Worsening.calls = []
    model = Worsening(clip, TASK, image_encoder="lora")
    first = state_of(model)
    history = train(model, config=replace(STAGES, epochs=4))
    assert history["best"].tolist() == [True, False, False, False]
    assert (history.attrs["best_epoch"], history.attrs["steps"]) == (1, 12)
    for name, tensor in model.trainable_state_dict().items():
        expected = first[name] if ".encoder." in name else Worsening.calls[0][name]
        assert torch.equal(tensor, expected), name


def test_patience_counts_in_each_stage_from_its_start(clip):
    Worsening.calls = []
    config = replace(STAGES, epochs=9, prompt_epochs=5, patience=2)
    history = train(Worsening(clip, TASK, image_encoder="lora"), config=config)
    # One good epoch and two others, then two that are no better than what they started from.
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history.attrs["best_epoch"] == 1


def test_rates_of_tower_and_words_are_each_for_their_stage(clip):
    Watched.seen = []
    model = Watched(clip, TASK, image_encoder="lora")
    first = state_of(model)
    config = replace(
        STAGES, epochs=2, prompt_epochs=1, lr_multipliers={"image_encoder": 0.0, "prompts": 0.0}
    )
    train(model, config=config)
    one, two = Watched.seen
    assert moved({name: first[name] for name in one}, one) == {"adapter"}
    assert moved(first, two) == {"adapter"}


@pytest.mark.parametrize("group", ["words", "image_encoder"])
def test_an_unknown_group_is_refused_before_anything_is_trained(clip, group):
    model = CoOp(clip, TASK)
    with pytest.raises(ValueError, match=f"lr_multipliers: no group '{group}' is trained here"):
        train(model, config=replace(CONFIG, lr_multipliers={group: 0.1}))


def test_a_frozen_tower_has_no_second_stage(clip):
    told = "prompt_epochs = 2: the picture tower is frozen, .* prompt_epochs=0, or image_encoder='lora'"
    with pytest.raises(ValueError, match=told):
        train(L2RCLIP(clip, TASK), config=STAGES)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_loss_that_breaks_leaves_the_best_state(clip, stage, monkeypatch):
    model, calls = L2RCLIP(clip, TASK, image_encoder="lora"), []
    first, loss = state_of(model), L2RCLIP.loss

    def breaking(self, *batch):
        calls.append(1)
        broken = len(calls) > (3 if stage == 1 else 6)
        return loss(self, *batch) * (float("nan") if broken else 1.0)

    monkeypatch.setattr(L2RCLIP, "loss", breaking)
    with pytest.raises(FloatingPointError, match="back in the best state so far"):
        train(model, config=STAGES)
    assert moved(first, model.trainable_state_dict()) == {"adapter", "prompts"}
    assert set(model.parameter_groups()) == {"image_encoder", "adapter", "prompts"}


def test_a_finished_run_of_two_stages_is_not_trained_again(clip, tmp_path, monkeypatch):
    model, again = (L2RCLIP(clip, TASK, image_encoder="lora") for _ in range(2))
    config = replace(STAGES, epochs=2, prompt_epochs=1)
    history = train(model, tmp_path, config)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME}
    monkeypatch.setattr(L2RCLIP, "loss", None)
    found = train(again, tmp_path, config)
    pd.testing.assert_frame_equal(found, history, check_exact=True)
    assert found.attrs == history.attrs
    for name, tensor in model.trainable_state_dict().items():
        assert torch.equal(tensor, again.trainable_state_dict()[name]), name
    # One stage of as many epochs is another run.
    with pytest.raises(ValueError, match=r"trains was .* there"):
        train(again, tmp_path, replace(config, epochs=1, prompt_epochs=0))
    with pytest.raises(ValueError, match=r"config\.epochs was 1 there and is 2 now"):
        train(again, tmp_path, replace(config, epochs=3, prompt_epochs=2))
    delete_checkpoints(tmp_path)
    assert not any(tmp_path.iterdir())
    delete_checkpoints(tmp_path)


def test_pictures_of_another_task_are_refused_in_the_first_stage(clip):
    other = replace(TASK, name="other")
    data = pictures_of("train", 24)
    with pytest.raises(ValueError, match="the model learns 'other'"):
        fit(L2RCLIP(clip, other, image_encoder="lora"), data, data, STAGES, progress=False)


def test_words_first_is_off_by_default():
    assert TrainingConfig().prompt_epochs == 0


def test_after_every_step_the_model_may_put_itself_right(clip):
    class Kept(L2RCLIP):
        alphas: list[float]

        def on_after_step(self):
            self.alphas.append(self.rankformer.alpha.item())
            super().on_after_step()

    # So high a rate carries alpha out of 0 to 1 at once.
    model = Kept(clip, TASK, alpha=0.5)
    model.alphas = []
    history = train(model, config=replace(CONFIG, epochs=1, learning_rate=2.0, max_grad_norm=1e6))
    assert len(model.alphas) == history.attrs["steps"] == 3
    assert not all(0 <= alpha <= 1 for alpha in model.alphas)
    assert 0 <= model.rankformer.alpha.item() <= 1
