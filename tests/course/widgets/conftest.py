import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ordlib.clip import load_clip
from ordlib.data import ImageData
from ordlib.tasks import load_task


@pytest.fixture(autouse=True)
def clean_session(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(noise_images):
    """Seven different images, sorted by label."""
    return ImageData(
        task=load_task("counting"), images=np.stack(noise_images), values=np.arange(1.0, 8),
        metadata=pd.DataFrame({"plural": ["stars", "photos"] * 3 + ["stars"]}),
        fingerprint="seven", split="val",
    )  # fmt: skip


@pytest.fixture
def record_calls(monkeypatch):
    """Replace a drawing function by one that records its arguments."""

    def record(module, name):
        calls = []
        monkeypatch.setattr(module, name, lambda *args, **kwargs: calls.append((*args, kwargs)))
        return calls

    return record
