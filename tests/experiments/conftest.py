"""Fixtures for the experiments: a cache of their own, a random CLIP, small rendered splits."""

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
    """Rendered splits of a few pictures, for what trains and tests ranking adapters."""
    for split, size in {"train": 20, "val": 24, "test": 20, "distractors": 10}.items():
        monkeypatch.setitem(rendering.SPLIT_SIZES, split, size)
    for task in adapter_data.SIZES:
        monkeypatch.setitem(adapter_data.SIZES, task, 30)
    monkeypatch.setattr(adapter_data, "TEST_SIZE", 40)
    monkeypatch.setattr(adapter_data, "DAMAGED_EACH", 12)
