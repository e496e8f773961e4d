"""Fixtures for the experiments: a separate cache, a random CLIP, small synthetic splits."""

import pytest

from ordlib import load_clip
from ordlib.experiments import adapter_data
from ordlib.synthetic import rendering


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def training_cache(cache_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(cache_folder))
        yield


@pytest.fixture(scope="session")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture
def small_world(monkeypatch):
    """Shrink the synthetic splits on which ranking adapters are trained and tested."""
    for split, size in {"train": 20, "val": 24, "test": 20, "distractors": 10}.items():
        monkeypatch.setitem(rendering.SPLIT_SIZES, split, size)
    for task in adapter_data.NUM_TRAIN_IMAGES:
        monkeypatch.setitem(adapter_data.NUM_TRAIN_IMAGES, task, 30)
    monkeypatch.setattr(adapter_data, "NUM_TEST_IMAGES", 40)
    monkeypatch.setattr(adapter_data, "NUM_DISTORTED", 12)
