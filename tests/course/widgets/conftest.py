import numpy as np
import pandas as pd
import pytest

from ordlib.clip import load_clip
from ordlib.data import ImageData
from ordlib.tasks import load_task


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))


@pytest.fixture(scope="session")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(noise_images):
    """Seven different images, sorted by label."""
    images, values = np.stack(noise_images), np.arange(1.0, 8)
    metadata = pd.DataFrame({"plural": ["stars", "photos"] * 3 + ["stars"]})
    return ImageData(load_task("counting"), images, values, metadata, "seven", "val")
