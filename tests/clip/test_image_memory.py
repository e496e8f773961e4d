"""However many images are encoded, few are in memory at their full size."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ordlib import ImageData, NumCLIP, load_clip, load_folder, load_task
from ordlib.clip.feature_cache import cached_image_features, open_image_tokens
from ordlib.data import dataset
from ordlib.utils.threads import NUM_THREADS

COUNT = 40


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / f"{row}.png" for row in range(COUNT)]
    for row, file in enumerate(files):
        Image.new("RGB", (80, 64), (6 * row, 0, 99)).save(file)
    return ImageData(
        task=load_task("counting"),
        images=files,
        values=np.full(COUNT, 3.0),
        metadata=pd.DataFrame({"row": range(COUNT)}),
        fingerprint="files",
        split="all",
    )


@pytest.fixture
def most_alive(monkeypatch):
    """The largest number of decoded images at once, as a list of one number."""
    alive, most = set(), [0]
    load = dataset.load_image

    def spy(*args, **options):
        image = load(*args, **options)
        alive.add(id(image))
        weakref.finalize(image, alive.discard, id(image))
        most[0] = max(most[0], len(alive))
        return image

    monkeypatch.setattr(dataset, "load_image", spy)
    return most


def predict_with_lora(clip, data):
    options = {"image_encoder": "lora", "lora_target_modules": r".*\.q_proj"}
    NumCLIP(clip, data.task, **options).predict(data)


CALLS = {
    "encode_images": lambda clip, data: clip.encode_images(data, batch_size=COUNT),
    "load_pixels": lambda clip, data: clip.load_pixels(data, range(COUNT)),
    "cached features": lambda clip, data: cached_image_features(clip, data, batch_size=COUNT),
    "cached tokens": lambda clip, data: open_image_tokens(clip, data, COUNT)[range(COUNT)],
    "prediction with LoRA": predict_with_lora,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_few_images_of_a_batch_are_decoded_at_once(clip, data, most_alive, call):
    gc.collect()
    with torch.no_grad():
        call(clip, data)
    # One per thread, and what a thread has just returned.
    assert 1 <= most_alive[0] <= 2 * NUM_THREADS + 1


@pytest.mark.parametrize("check", ["decode", "header"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 20_000), r"is 1 by 20,000 pixels, an aspect ratio above 100; crop it"),
        ((20_000, 1), r"an aspect ratio above 100"),
        ((13_000, 13_000), r"has 169,000,000 pixels, more than 89,478,485; scale it down"),
    ],
)
def test_load_folder_refuses_absurd_shapes(tmp_path, size, message, check):
    (tmp_path / "3").mkdir()
    Image.new("1", size).save(tmp_path / "3" / "a.png")
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path, None, "counting", check=check)
