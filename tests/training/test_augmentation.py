"""Augmentation against transforms written out, its limits, and its use in fit."""

import numpy as np
import pytest
import torch
import training_runs as runs

from ordlib import CoOp, NumCLIP, OrdinalTask, fit, load_clip
from ordlib.training import TrainingConfig
from ordlib.training.augmentation import Augmentation


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


def augmentation(clip, size: int = 6, seed: int = 0, **options: object) -> Augmentation:
    config = TrainingConfig(**options)
    return Augmentation(config, clip.preprocessor, np.random.default_rng(seed), size)


def pixels_of(clip, count: int = 6) -> torch.Tensor:
    return clip.load_pixels(runs.make_data("train", count), range(count))


def test_flip_mirrors_about_half_of_the_images(clip):
    augment, pixels = augmentation(clip, 400, flip=True), torch.randn(400, 3, 2, 2)
    result = augment(pixels, np.arange(400))
    is_flipped = (result == pixels.flip(-1)).flatten(1).all(1)
    assert ((result == pixels).flatten(1).all(1) ^ is_flipped).all()
    assert 160 < is_flipped.sum() < 240


@pytest.mark.parametrize("crop_scale", [0.2, 0.8])
def test_crop_shows_a_box_of_the_image(clip, crop_scale):
    side = 64
    # The value of a pixel is its position, so a crop shows where its box lies.
    steps = (torch.arange(side) + 0.5) / side
    x, y = steps.expand(side, side), steps[:, None].expand(side, side)
    pixels = torch.stack([x, y, x], 0).expand(50, 3, side, side)
    augment = augmentation(clip, 50, crop_scale=crop_scale)
    result = augment(pixels, np.arange(50))
    width = (result[:, 0, 0, -1] - result[:, 0, 0, 0]) * side / (side - 1)
    height = (result[:, 1, -1, 0] - result[:, 1, 0, 0]) * side / (side - 1)
    area = width * height
    assert area.min() > 0.9 * crop_scale
    assert area.max() < 1.1
    assert area.std() > 0.02
    assert result.min() >= 0
    assert result.max() <= 1


def test_jitter_scales_brightness_and_contrast(clip):
    augment, pixels = augmentation(clip, jitter=0.3), pixels_of(clip)
    result = augment(pixels, np.arange(6))
    bytes_ = clip.preprocessor.denormalize(pixels)
    for i in range(6):
        brighter = (bytes_[i] * (1 + 0.3 * augment.brightness[i])).clip(0, 255)
        mean = brighter.mean()
        expected = (mean + (brighter - mean) * (1 + 0.3 * augment.contrast[i])).clip(0, 255)
        found = clip.preprocessor.denormalize(result[i : i + 1])[0]
        np.testing.assert_allclose(found, expected, atol=1e-2)


def test_parts_of_a_batch_get_what_the_whole_batch_gets(clip):
    options, pixels = {"flip": True, "crop_scale": 0.5, "jitter": 0.2}, pixels_of(clip)
    whole = augmentation(clip, **options)(pixels.clone(), np.arange(6))
    parts = [augmentation(clip, **options)(pixels[r].clone(), r) for r in ([0, 1, 2], [3, 4, 5])]
    torch.testing.assert_close(torch.cat(parts), whole)
    other = augmentation(clip, seed=1, **options)(pixels, np.arange(6))
    assert not torch.allclose(other, whole)


CONFIG = TrainingConfig(
    epochs=3, batch_size=8, learning_rate=0.01, flip=True, crop_scale=0.5, jitter=0.2
)


def test_fit_with_augmentation_resumes_bit_equal(clip, tmp_path):
    straight, plain = (NumCLIP(clip, runs.TASK, image_encoder="lora") for _ in range(2))
    history = runs.train(straight, None, CONFIG)
    assert not history.equals(runs.train(plain, None, TrainingConfig(epochs=3, batch_size=8)))
    stopped, resumed = (NumCLIP(clip, runs.TASK, image_encoder="lora") for _ in range(2))
    with runs.changed_loss(stopped, 5), pytest.raises(runs.Interrupted):
        runs.train(stopped, tmp_path, CONFIG)
    again = runs.train(resumed, tmp_path, CONFIG)
    assert again["loss"].tolist() == history["loss"].tolist()
    assert runs.states_equal(resumed.trainable_state_dict(), straight.trainable_state_dict())


@pytest.mark.parametrize("name", ["flip", "crop_scale", "jitter"])
def test_augmentation_needs_a_tuned_encoder_and_labels_that_survive(clip, name):
    train, val = runs.make_data("train", 24), runs.make_data("val", 12)
    config = TrainingConfig(epochs=1, **{name: 0.5 if name != "flip" else True})
    with pytest.raises(ValueError, match=f"{name} = .*: augmentation requires a tuned image encod"):
        fit(CoOp(clip, runs.TASK), train, val, config)
    fields = {n: getattr(runs.TASK, n) for n in ("name", "unit", "values")}
    others = tuple({"flip", "crop_scale", "jitter"} - {name})
    task = OrdinalTask(**fields, augmentations=others)
    data = [runs.make_data(split, 12, task) for split in ("train", "val")]
    with pytest.raises(ValueError, match=f"{name} = .*: changes the labels of task 'brightness'"):
        fit(CoOp(clip, task, image_encoder="lora"), *data, config)
    with pytest.raises(ValueError, match=f"{name} = .*: changes the labels"):
        fit(CoOp(clip, task, image_encoder="lora"), train, val, config)


def test_task_refuses_unknown_augmentations():
    with pytest.raises(ValueError, match="augmentations = 'blur': must be one of flip, crop_scale"):
        OrdinalTask(name="a", unit="b", values=(1, 2), augmentations=("blur",))
