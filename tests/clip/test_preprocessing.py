import numpy as np
import pytest
import torch
from PIL import Image

from ordlib.clip.preprocessing import PROCESSOR, Preprocessor

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
RESIZES = ("crop", "squash", "pad", "squash_crop")
SIZES = [(64, 64), (96, 96), (80, 120), (50, 64), (33, 200)]


def preprocess_naive(image: Image.Image, size: int) -> np.ndarray:
    image = image.convert("RGB")
    short = min(image.size)
    resized = tuple(
        size if length == short else int(size * length / short) for length in image.size
    )
    image = image.resize(resized, Image.Resampling.BICUBIC)
    x, y = (resized[0] - size) // 2, (resized[1] - size) // 2
    array = np.asarray(image.crop((x, y, x + size, y + size)), dtype=np.float64) / 255
    return ((array - MEAN) / STD).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def preprocess(tiny_clip_folder):
    return Preprocessor(tiny_clip_folder, 64)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in SIZES]


def test_preprocessor_equals_pillow_and_transformers(preprocess, images, tiny_clip_folder):
    reference = np.stack([preprocess_naive(Image.fromarray(image), 64) for image in images])
    pixels = preprocess(images)
    assert (pixels.dtype, pixels.shape) == (torch.float32, (5, 3, 64, 64))
    assert pixels.is_contiguous()
    assert np.abs(pixels.numpy() - reference).max() < 1e-5
    pil_images = [Image.fromarray(image) for image in images]
    assert torch.equal(preprocess(pil_images), pixels)
    processor = PROCESSOR.from_pretrained(tiny_clip_folder)
    reference = [processor(image, return_tensors="pt")["pixel_values"] for image in pil_images]
    assert torch.allclose(pixels, torch.cat(reference), atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_preprocessor_accepts_image_modes(preprocess, images, mode):
    image = Image.fromarray(images[1]).convert(mode)
    assert np.abs(preprocess([image])[0].numpy() - preprocess_naive(image, 64)).max() < 1e-5


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (70, 64), (3, 3, 3)])
def test_preprocessor_accepts_array_shapes(preprocess, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    reference = preprocess_naive(Image.fromarray(array), 64)
    assert np.abs(preprocess([array])[0].numpy() - reference).max() < 1e-5


def test_preprocessor_rescales_black_images(preprocess):
    black = preprocess([np.zeros((64, 64, 3), np.uint8), np.zeros((90, 64, 3), np.uint8)])
    assert np.allclose(black[:, :, 5, 5], -MEAN / STD, atol=1e-6)


def test_preprocessor_resize_and_crop_of_different_sizes(tmp_path, images):
    size = {"shortest_edge": 72}
    PROCESSOR(size=size, crop_size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    reference = PROCESSOR.from_pretrained(tmp_path)(images[0], return_tensors="pt")["pixel_values"]
    assert torch.allclose(Preprocessor(tmp_path, 64)([images[0]]), reference, atol=1e-5)


def test_preprocessor_key_depends_on_settings(tmp_path, tiny_clip_folder, vit_b_32_folder):
    openai = Preprocessor(tmp_path, 224).key
    assert Preprocessor(vit_b_32_folder, 224).key == openai
    assert Preprocessor(tiny_clip_folder, 64).key != openai
    keys = {openai, *(Preprocessor(tmp_path, 224, name).key for name in RESIZES[1:])}
    for other in (
        {"image_mean": [0.5, 0.5, 0.5]},
        {"size": {"shortest_edge": 240}},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_resize": False},
    ):
        PROCESSOR(**other).save_pretrained(tmp_path)
        keys.add(Preprocessor(tmp_path, 224).key)
    assert len(keys) == 4 + 5


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], r"images = \[\]"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3))], r"images\[1\] .* float64"),
        ([np.zeros((3, 8, 8), np.uint8)], r"images\[0\] .*\(3, 8, 8\)"),
        ([np.zeros(8, np.uint8)], r"images\[0\] .*\(8,\)"),
    ],
)
def test_preprocessor_rejects_invalid_images(preprocess, images, message):
    with pytest.raises(ValueError, match=message):
        preprocess(images)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_resize": False},
        {"do_center_crop": False, "size": {"height": 64, "width": 64}},
        {"size": {"height": 80, "width": 70}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_preprocessor_follows_unusual_settings(tmp_path, images, settings):
    defaults = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    PROCESSOR(**defaults | settings).save_pretrained(tmp_path)
    processor = PROCESSOR.from_pretrained(tmp_path)
    for image in images:
        reference = processor(image, return_tensors="pt")["pixel_values"]
        assert torch.allclose(Preprocessor(tmp_path, 64)([image]), reference, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"crop_size": {"height": 60, "width": 60}}, {"do_center_crop": False}]
)
def test_preprocessor_refuses_settings_that_do_not_fit_the_model(tmp_path, images, settings):
    PROCESSOR(**{"size": {"shortest_edge": 64}} | settings).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"128 by 65 pixels into .*, but the model takes 64 by 64"):
        Preprocessor(tmp_path, 64)
    assert Preprocessor(tmp_path, 64, "squash")(images).shape == (5, 3, 64, 64)


def test_preprocessor_squash_equals_pillow(tiny_clip_folder, images):
    pixels = Preprocessor(tiny_clip_folder, 64, "squash")(images).numpy()
    for image, result in zip(images, pixels, strict=True):
        resized = Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)
        reference = (np.asarray(resized, dtype=np.float64) / 255 - MEAN) / STD
        assert np.abs(result.transpose(1, 2, 0) - reference).max() < 1e-5


def squash_crop_naive(image: np.ndarray, size: int, enlarged: int, start: int) -> np.ndarray:
    """torchvision's Resize((256, 256)) and CenterCrop(224), scaled to another size."""
    resized = Image.fromarray(image).resize((enlarged, enlarged), Image.Resampling.BICUBIC)
    array = np.asarray(resized)[start : start + size, start : start + size]
    return ((array.astype(np.float64) / 255 - MEAN) / STD).transpose(2, 0, 1)


# Side, enlarged side and first pixel of the center crop.
@pytest.mark.parametrize("sizes", [(224, 256, 16), (64, 73, 4), (336, 384, 24), (96, 110, 7)])
def test_preprocessor_squash_crop_equals_pillow(tmp_path, images, sizes):
    PROCESSOR(
        size={"shortest_edge": sizes[0]}, crop_size={"height": sizes[0], "width": sizes[0]}
    ).save_pretrained(tmp_path)
    preprocess = Preprocessor(tmp_path, sizes[0], "squash_crop")
    reference = np.stack([squash_crop_naive(image, *sizes) for image in images])
    assert np.abs(preprocess(images).numpy() - reference).max() < 1e-5
    size, enlarged, start = sizes
    uncropped = preprocess.uncropped()(images).numpy()
    assert uncropped.shape == (5, 3, enlarged, enlarged)
    window = slice(start, start + size)
    np.testing.assert_array_equal(uncropped[..., window, window], preprocess(images).numpy())
    assert (preprocess.squashed_size, preprocess.min_side) == (enlarged, 2 * enlarged)


def test_preprocessor_uncropped_changes_squash_crop_only(tiny_clip_folder, images):
    for resize in ("crop", "squash", "pad"):
        preprocess = Preprocessor(tiny_clip_folder, 64, resize)
        assert preprocess.squashed_size == 64
        assert torch.equal(preprocess.uncropped()(images), preprocess(images))


def test_preprocessor_pad_shows_the_whole_image_on_the_mean_color(tiny_clip_folder):
    preprocess = Preprocessor(tiny_clip_folder, 64, "pad")
    for height, width in ((32, 128), (128, 32)):
        image = np.zeros((height, width, 3), np.uint8)
        image[-1, -1] = image[0, 0] = 255
        pixels = preprocess([image])[0]
        pixels = pixels if width > height else pixels.transpose(1, 2)
        # A quarter of the square is image: rows 24 to 39.
        assert pixels[:, :24].abs().max() < 0.01
        assert pixels[:, 40:].abs().max() < 0.01
        assert pixels[:, 24:40, 2:-2].max() < -1
        assert pixels[:, 24, 0].min() > pixels[:, 24, 5].max()
        assert pixels[:, 39, -1].min() > pixels[:, 39, -5].max()


def test_preprocessor_unseen_fraction(tiny_clip_folder):
    preprocess = Preprocessor(tiny_clip_folder, 64)
    assert [preprocess.unseen_fraction(*size) for size in ((4, 3), (3, 4), (9, 9))] == [
        0.25,
        0.25,
        0,
    ]
    assert Preprocessor(tiny_clip_folder, 64, "squash").unseen_fraction(4, 3) == 0
    with pytest.raises(ValueError, match="resize = 'stretch': must be one of crop, squash, pad, s"):
        Preprocessor(tiny_clip_folder, 64, "stretch")
