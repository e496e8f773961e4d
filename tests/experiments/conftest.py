"""Fixtures for the experiments: a separate cache, a random CLIP, small synthetic splits."""

import pytest
from training_fixtures import cache_folder, clip, training_cache  # noqa: F401

from ordlib.experiments import adapter_data
from ordlib.synthetic import rendering


@pytest.fixture
def small_world(monkeypatch):
    """Shrink the synthetic splits on which ranking adapters are trained and tested."""
    for split, size in {"train": 20, "val": 24, "test": 20, "distractors": 10}.items():
        monkeypatch.setitem(rendering.SPLIT_SIZES, split, size)
    for task in adapter_data.NUM_TRAIN_IMAGES:
        monkeypatch.setitem(adapter_data.NUM_TRAIN_IMAGES, task, 30)
    monkeypatch.setattr(adapter_data, "NUM_TEST_IMAGES", 40)
    monkeypatch.setattr(adapter_data, "NUM_DISTORTED", 12)
