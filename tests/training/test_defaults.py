"""Default length of training, held-out validation images, calibration, and first tries of fit."""

import numpy as np
import pytest
import torch
import training_runs as runs

from ordlib import CoOp, ImageData, NumCLIP, RankingAdapter, fit, load_clip
from ordlib.training import TrainingConfig
from ordlib.training.held_out import hold_out_val, split_calibration
from ordlib.training.sampling import epoch_batches


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.mark.parametrize(
    ("num_images", "batch_size", "expected"),
    [(1, 64, (2000, 300)), (209, 64, (667, 100)), (2000, 64, (65, 10)), (640_000, 64, (20, 5))],
)
def test_resolved_makes_2000_steps(num_images, batch_size, expected):
    config = TrainingConfig(batch_size=batch_size, seed=3).resolved(num_images)
    assert (config.epochs, config.patience, config.seed) == (*expected, 3)


def test_resolved_keeps_what_is_given():
    given = TrainingConfig(epochs=7)
    assert given.resolved(100) is given
    assert TrainingConfig(patience=2).resolved(1000).patience == 2


def grouped(count: int, per_group: int) -> ImageData:
    data = runs.make_data("val", count)
    vars(data)["groups"] = np.array([f"g{i // per_group}" for i in range(count)])
    return data


def test_hold_out_val_keeps_groups_together_and_says_so():
    data = grouped(60, 6)
    with pytest.warns(UserWarning, match=r"12 of 60 training images .*\(2 groups\) are held out"):
        [kept], [val] = hold_out_val([data], seed=0)
    assert set(kept.groups) | set(val.groups) == set(data.groups)
    assert not set(kept.groups) & set(val.groups)


def test_split_calibration_is_half_from_100_images_on():
    assert split_calibration(runs.make_data("val", 199), 0)[1] is None
    kept, calibration = split_calibration(runs.make_data("val", 210), 0)
    assert sorted([len(kept), len(calibration)]) == [105, 105]
    kept, calibration = split_calibration(grouped(240, 12), 0)
    assert len(calibration) >= 100
    assert not set(kept.groups) & set(calibration.groups)
    # One group has all images, so no part of it can be held out.
    assert split_calibration(grouped(240, 240), 0)[1] is None


def test_fit_calibrates_on_images_that_early_stopping_does_not_see(clip):
    model, val = CoOp(clip, runs.TASK), runs.make_data("val", 240)
    history = fit(model, runs.make_data("train", 24), val, {"epochs": 2}, progress=False)
    kept, calibration = split_calibration(val, seed=0)
    residuals = np.sort(np.abs(calibration.values - model.predict(calibration).value))
    np.testing.assert_allclose(model.calibrations["brightness"].residuals, residuals, rtol=1e-5)
    best = history.set_index("epoch")["mae"][history.attrs["best_epoch"]]
    assert best == pytest.approx(np.abs(kept.values - model.predict(kept).value).mean())


def test_fit_without_calibration_leaves_intervals_undefined(clip):
    for count, calibration in ((24, "auto"), (240, None)):
        model, val = NumCLIP(clip, runs.TASK), runs.make_data("val", count)
        train, options = runs.make_data("train", 24), {"calibration": calibration}
        fit(model, train, val, {"epochs": 1}, progress=False, **options)
        with pytest.raises(RuntimeError, match="NumCLIP is not calibrated for brightness"):
            model.intervals(model.predict(val))


def test_fit_holds_out_validation_images(clip):
    model = CoOp(clip, runs.TASK)
    with pytest.warns(UserWarning, match="5 of 24 training images"):
        fit(model, runs.make_data("train", 24), config={"epochs": 1}, progress=False)


def test_fit_warns_if_the_last_epoch_is_best(clip):
    with pytest.warns(UserWarning, match=r"the best epoch is the last of 1: .*epochs=2"):
        fit(CoOp(clip, runs.TASK), *splits(), {"epochs": 1}, progress=False)


def splits() -> tuple[ImageData, ImageData]:
    return runs.make_data("train", 24), runs.make_data("val", 12)


def test_fit_takes_a_dict_and_names_wrong_arguments(clip):
    model, (train, val) = CoOp(clip, runs.TASK), splits()
    with pytest.raises(TypeError, match="config: has no field 'epoch'; use epochs, batch_size"):
        fit(model, train, val, {"epoch": 3})
    with pytest.raises(TypeError, match=r"train = dict of \['a'\]: .* pass data\['train'\]"):
        fit(model, {"a": train}, val)
    with pytest.raises(TypeError, match="val = 3: must be an ImageData"):
        fit(model, train, [3])


def test_fit_leaves_random_numbers_alone(clip):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    runs.train(NumCLIP(clip, runs.TASK))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience", "prompt_epochs", "seed"])
def test_integers_are_integers(name):
    assert type(getattr(TrainingConfig(**{"epochs": 5, name: np.int64(2)}), name)) is int
    for value in (2.0, True, "2"):
        with pytest.raises(ValueError, match=f"{name} = {value!r}: must be an integer"):
            TrainingConfig(**{"epochs": 5, name: value})


def test_options_are_integers(clip):
    with pytest.raises(ValueError, match=r"n_ctx = 4\.0: must be an integer, or None"):
        NumCLIP(clip, runs.TASK, n_ctx=4.0)
    with pytest.raises(ValueError, match=r"seed = 1\.5: must be an integer"):
        RankingAdapter(clip, runs.TASK, seed=1.5)


def test_models_take_names():
    model = NumCLIP("pico-clip", "counting")
    assert (model.clip.name, model.task.name) == ("pico-clip", "counting")
    assert [*RankingAdapter(model.clip, ["dating", runs.TASK]).tasks] == ["dating", "brightness"]
    with pytest.raises(TypeError, match="the order of the arguments is clip, task"):
        NumCLIP(runs.TASK, model.clip)
    with pytest.raises(TypeError, match="task = 3: must be an OrdinalTask"):
        NumCLIP(model.clip, 3)


def test_balanced_batches_draw_ranks_equally():
    ranks = np.array([0] * 90 + [1] * 9 + [3])
    drawn = np.concatenate([epoch_batches(100, 10, 0, e, ranks).ravel() for e in range(60)])
    share = np.bincount(ranks[drawn], minlength=4) / len(drawn)
    np.testing.assert_allclose(share, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.03)
    again = epoch_batches(100, 10, 0, 59, ranks)
    assert np.array_equal(again.ravel(), drawn[-100:])


def test_fit_uses_balanced_sampling(clip, monkeypatch):
    calls = []

    def spy(*arguments):
        calls.append(arguments)
        return epoch_batches(*arguments)

    monkeypatch.setattr("ordlib.training.trainer.epoch_batches", spy)
    train, val = splits()
    for balanced in (True, False):
        config = {"epochs": 1, "balanced_sampling": balanced}
        fit(CoOp(clip, runs.TASK), train, val, config, progress=False)
    assert np.array_equal(calls[0][-1], train.ranks)
    assert calls[1][-1] is None


def test_fit_warns_of_calibration_images_that_it_sees(clip):
    train, val = splits()
    for seen in (train, val):
        options = {"calibration": seen, "progress": False}
        with pytest.warns(UserWarning, match=f"{len(seen)} of {len(seen)} calibration images"):
            fit(CoOp(clip, runs.TASK), train, val, {"epochs": 1}, **options)


def test_fit_names_the_way_out_if_nothing_can_be_held_out(clip):
    with pytest.raises(ValueError, match=r"val = None: .*1 groups are too few .*; pass val="):
        fit(CoOp(clip, runs.TASK), grouped(12, 12), config={"epochs": 1})
