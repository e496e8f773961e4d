"""A pool of 96 images and a model of one layer, small enough to train in a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from pretraining_runs import TINY
from transformers import CLIPTokenizer

from ordlib.experiments.pretrain_clip import image_pool
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.image_pool import ImagePool, render_pool
from ordlib.experiments.pretrain_clip.tokenizer import build_tokenizer


@pytest.fixture(scope="module", autouse=True)
def training_cache() -> None:
    """Override: these tests take rendered images from the shared cache."""


@pytest.fixture(scope="session")
def _pool_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="module")
def pool(_pool_cache: Path) -> Iterator[ImagePool]:
    """One cycle of blocks of sixteen images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(_pool_cache))
        patch.setattr(image_pool, "BLOCK", 16)
        yield render_pool(96, 64, num_workers=1)


@pytest.fixture(scope="module")
def tokenizer(pool: ImagePool) -> CLIPTokenizer:
    return build_tokenizer(pool)


@pytest.fixture(scope="session")
def config() -> PretrainingConfig:
    """Three epochs of four batches."""
    return PretrainingConfig(
        count_caption_fraction=0.5, size=TINY, num_images=96, samples_seen=12 * 24, batch_size=24,
        learning_rate=3e-3, seed=3,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _restore_global_state() -> Iterator[None]:
    """Use one thread, and reset the global state of accelerate."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
