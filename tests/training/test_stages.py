"""Two stages: prompts on cached features, then the image encoder with frozen prompts."""

from dataclasses import replace

import pytest
import torch
from training_runs import (
    CONFIG,
    TASK,
    changed_loss,
    check_history,
    clone_state,
    make_data,
    to_nan,
    train,
)

from ordlib import CORN
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.metrics import compute_metrics
from ordlib.training.fit import CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME, delete_checkpoints

STAGES = replace(CONFIG, epochs=3, prompt_epochs=2)


def changed_groups(a: dict, b: dict) -> set[str]:
    """Groups of the tensors of ``a`` that differ in ``b``."""
    names = [name for name in a if not torch.equal(a[name], b[name])]
    return {
        name.split(".")[1] if name.startswith("image_encoder.") else "prompts" for name in names
    }


class Recorded(L2RCLIP):
    """Records the state after each epoch, also of the copy that the first stage trains."""

    states: list[dict]

    def predict_from_features(self, features):
        self.states.append(clone_state(self))
        return super().predict_from_features(features)


class Worsening(CORN):
    """Perfect in the first epoch of the first stage, and worse in all others."""

    states: list[dict]

    def predict_from_features(self, features):
        self.states.append(clone_state(self))
        y_true = make_data("val", 12).values
        return self.task.decode_values(y_true if len(self.states) == 1 else 5 - y_true)


@pytest.fixture(scope="module")
def staged(clip):
    Recorded.states = []
    model = Recorded(clip, TASK, image_encoder="lora", rank_pos_embed="learned")
    return model, clone_state(model), train(model, config=STAGES)


def test_stages_freeze_encoder_then_prompts(staged):
    model, initial, _ = staged
    first, second, third = Recorded.states
    encoder = {name for name in initial if name.startswith("image_encoder.encoder.")}
    assert first.keys() == second.keys() == initial.keys() - encoder
    assert third.keys() == initial.keys()
    assert changed_groups(second, initial) == {"adapter", "prompts"}
    assert changed_groups(first, third) >= {"adapter"}
    prompts = [name for name in initial if not name.startswith("image_encoder.")]
    # The second stage starts from the best state of the first.
    assert any(all(torch.equal(s[n], third[n]) for n in prompts) for s in (first, second))
    assert {n for n in encoder if not torch.equal(initial[n], third[n])} == encoder
    assert set(model.parameter_groups()) == {"image_encoder", "adapter", "prompts"}


def test_history_covers_both_stages(staged):
    model, _, history = staged
    check_history(history, epochs=3, steps=9)
    val = make_data("val", 12)
    mae = compute_metrics(TASK, val.values, model.predict(val))["mae"]
    assert mae == pytest.approx(history["mae"].min(), abs=1e-6)


def test_best_state_of_first_stage_survives_worse_second_stage(clip):
    Worsening.states = []
    model = Worsening(clip, TASK, image_encoder="lora")
    initial = clone_state(model)
    history = train(model, config=replace(STAGES, epochs=4))
    assert history["best"].tolist() == [True, False, False, False]
    assert (history.attrs["best_epoch"], history.attrs["steps"]) == (1, 12)
    for name, tensor in model.trainable_state_dict().items():
        expected = initial[name] if ".encoder." in name else Worsening.states[0][name]
        assert torch.equal(tensor, expected), name


def test_patience_counts_within_each_stage(clip):
    Worsening.states = []
    config = replace(STAGES, epochs=9, prompt_epochs=5, patience=2)
    history = train(Worsening(clip, TASK, image_encoder="lora"), config=config)
    # A good epoch and two worse ones, then two that do not improve on the first stage.
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history.attrs["best_epoch"] == 1


def test_lr_multipliers_apply_to_their_stage(clip):
    Recorded.states = []
    model = Recorded(clip, TASK, image_encoder="lora")
    initial, factors = clone_state(model), {"image_encoder": 0.0, "prompts": 0.0}
    train(model, config=replace(STAGES, epochs=2, prompt_epochs=1, lr_multipliers=factors))
    first, second = Recorded.states
    assert changed_groups(first, initial) == {"adapter"}
    assert changed_groups(initial, second) == {"adapter"}


def test_stages_refuse_frozen_encoder(clip):
    with pytest.raises(ValueError, match=r"prompt_epochs = 2: .* image_encoder='lora'"):
        train(L2RCLIP(clip, TASK), config=STAGES)


@pytest.mark.parametrize("call", [4, 7], ids=["first stage", "second stage"])
def test_nan_loss_restores_best_weights(clip, call):
    model = L2RCLIP(clip, TASK, image_encoder="lora")
    initial, broken = clone_state(model), changed_loss(L2RCLIP, call, to_nan)
    with broken, pytest.raises(FloatingPointError, match="best weights so far"):
        train(model, config=STAGES)
    assert changed_groups(initial, model.trainable_state_dict()) == {"adapter", "prompts"}
    assert set(model.parameter_groups()) == {"image_encoder", "adapter", "prompts"}


def test_finished_stages_are_another_run_than_one_stage(clip, tmp_path):
    model = L2RCLIP(clip, TASK, image_encoder="lora")
    config = replace(STAGES, epochs=2, prompt_epochs=1)
    train(model, tmp_path, config)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME}
    with pytest.raises(ValueError, match=r"trainable_groups was .* there"):
        train(model, tmp_path, replace(config, epochs=1, prompt_epochs=0))
    with pytest.raises(ValueError, match=r"config\.epochs was 1 there and is 2 now"):
        train(model, tmp_path, replace(config, epochs=3, prompt_epochs=2))
    delete_checkpoints(tmp_path)
    assert not any(tmp_path.iterdir())
    delete_checkpoints(tmp_path)


def test_on_after_step_is_called_after_each_step(clip):
    class Clamped(L2RCLIP):
        def on_after_step(self):
            alphas.append(self.rankformer.alpha.item())
            super().on_after_step()

    alphas: list[float] = []
    model = Clamped(clip, TASK, alpha=0.5)
    # The learning rate is so high that alpha leaves [0, 1] at once.
    history = train(model, config=replace(CONFIG, epochs=1, learning_rate=2.0, max_grad_norm=1e6))
    assert len(alphas) == history.attrs["steps"] == 3
    assert not all(0 <= alpha <= 1 for alpha in alphas)
    assert 0 <= model.rankformer.alpha.item() <= 1
