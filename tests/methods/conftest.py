"""Fixtures of the methods: a random CLIP, a task with uneven ranks, seven images."""

import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, OrdinalTask, load_clip


@pytest.fixture(scope="session")
def tiny_clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture(scope="session")
def uneven() -> OrdinalTask:
    """Five ranks in three bins, a template with an object and one without."""
    return OrdinalTask(
        name="uneven",
        unit="objects",
        values=(1, 2, 3, 5, 9),
        rank_names=("one", "two", "three", "five stars", "nine"),
        templates=("{rank} {object}", "a photo of {rank} star"),
        placeholders={"object": ("star", "cats")},
        bin_edges=(0, 2, 4),
        bin_phrases=("few", "several", "a great many"),
        upper_edge=10,
    )


@pytest.fixture
def seven(uneven, noise_images, tmp_path, monkeypatch) -> ImageData:
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    values = np.array([1.0, 2.0, 3.0, 5.0, 9.0, 2.4, 4.0])
    metadata = pd.DataFrame({"row": range(7)})
    return ImageData(uneven, noise_images, values, metadata, "seven", "train")
