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


@pytest.fixture(scope="module")
def enlarging_clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu", resize="squash_crop")


def test_random_crop_is_a_window_of_the_enlarged_square(enlarging_clip):
    preprocessor, data = enlarging_clip.preprocessor, runs.make_data("train", 24)
    enlarged = preprocessor.uncropped()([*data.images])
    assert enlarged.shape == (24, 3, 73, 73)
    result = augmentation(enlarging_clip, 24, random_crop=True)(enlarged, np.arange(24))
    assert result.shape == (24, 3, 64, 64)
    corners = []
    for crop, image in zip(result, enlarged, strict=True):
        windows = image.unfold(1, 64, 1).unfold(2, 64, 1)  # (3, 10, 10, 64, 64)
        equal = (windows == crop[:, None, None]).all(-1).all(-1).all(0)
        assert equal.sum() == 1
        corners.append(tuple(equal.nonzero()[0].tolist()))
    assert len(set(corners)) > 12
    for axis in range(2):
        assert min(c[axis] for c in corners) <= 1
        assert max(c[axis] for c in corners) >= 8


def test_random_crop_is_the_same_in_parts_of_a_batch(enlarging_clip):
    pixels = torch.rand(6, 3, 73, 73)
    options = {"random_crop": True, "flip": True}
    whole = augmentation(enlarging_clip, **options)(pixels, np.arange(6))
    parts = [augmentation(enlarging_clip, **options)(pixels[r], r) for r in ([4, 5], [0, 1, 2, 3])]
    assert torch.equal(torch.cat([parts[1], parts[0]]), whole)


def test_random_crop_leaves_the_random_numbers_of_other_augmentations_alone(clip, enlarging_clip):
    plain = augmentation(clip, flip=True, crop_scale=0.5, jitter=0.1)
    cropped = augmentation(enlarging_clip, flip=True, crop_scale=0.5, jitter=0.1, random_crop=True)
    for name in ("is_flipped", "area", "left", "top", "log_ratio", "brightness", "contrast"):
        np.testing.assert_array_equal(getattr(cropped, name), getattr(plain, name))


def test_fit_with_random_crop_resumes_and_validates_on_the_center(enlarging_clip, tmp_path):
    config = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01, random_crop=True, flip=True)
    straight, plain, stopped, resumed = (
        NumCLIP(enlarging_clip, runs.TASK, image_encoder="lora") for _ in range(4)
    )
    history = runs.train(straight, None, config)
    assert not history.equals(runs.train(plain, None, TrainingConfig(epochs=3, batch_size=8)))
    with runs.changed_loss(stopped, 8), pytest.raises(runs.Interrupted):
        runs.train(stopped, tmp_path, config)
    assert runs.train(resumed, tmp_path, config).equals(history)
    assert runs.states_equal(resumed.trainable_state_dict(), straight.trainable_state_dict())
    val = runs.make_data("val", 12)
    mae = abs(straight.predict(val).value - val.values).mean()
    assert mae == pytest.approx(history["mae"].min())


def test_random_crop_needs_enlarged_images(clip):
    model, config = NumCLIP(clip, runs.TASK, image_encoder="lora"), TrainingConfig(random_crop=True)
    with pytest.raises(
        ValueError, match=r"random_crop = True: .*resize='squash_crop'\); .* 'crop'"
    ):
        runs.train(model, None, config)


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


@pytest.mark.parametrize("name", ["flip", "crop_scale", "random_crop", "jitter"])
def test_augmentation_needs_a_tuned_encoder_and_labels_that_survive(clip, name):
    train, val = runs.make_data("train", 24), runs.make_data("val", 12)
    config = TrainingConfig(epochs=1, **{name: 0.5 if name in ("crop_scale", "jitter") else True})
    with pytest.raises(ValueError, match=f"{name} = .*: augmentation requires a tuned image encod"):
        fit(CoOp(clip, runs.TASK), train, val, config)
    fields = {n: getattr(runs.TASK, n) for n in ("name", "unit", "values")}
    others = tuple({"flip", "crop_scale", "random_crop", "jitter"} - {name})
    task = OrdinalTask(**fields, augmentations=others)
    data = [runs.make_data(split, 12, task) for split in ("train", "val")]
    with pytest.raises(ValueError, match=f"{name} = .*: changes the labels of task 'brightness'"):
        fit(CoOp(clip, task, image_encoder="lora"), *data, config)
    with pytest.raises(ValueError, match=f"{name} = .*: changes the labels"):
        fit(CoOp(clip, task, image_encoder="lora"), train, val, config)


def test_task_refuses_unknown_augmentations():
    with pytest.raises(ValueError, match="augmentations = 'blur': must be one of flip, crop_scale"):
        OrdinalTask(name="a", unit="b", values=(1, 2), augmentations=("blur",))
