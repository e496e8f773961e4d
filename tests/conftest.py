"""Offline tests; checkpoints are created once and shared by all workers."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("ORDLIB_CACHE", str(Path(__file__).parents[1] / "build" / "cache"))

import numpy as np
import pytest

from ordlib.utils.cache import atomic_write

# A script that starts a server, not to be imported in search of doctests.
collect_ignore = ["helpers/hub_cases.py"]


def _shared(tmp_path_factory: pytest.TempPathFactory, name: str, build: str, **options) -> Path:
    """Call a function of the module ``clips`` once for all workers."""
    import clips  # takes seconds, which the process that starts the workers need not wait

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / name
    if not folder.is_dir():
        with atomic_write(folder) as temporary:
            getattr(clips, build)(temporary, **options)
    return folder


@pytest.fixture(scope="session")
def tiny_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint: 2 layers, 64 pixels, 4x4 patches, text_width 32, embed_dim 24."""
    return _shared(tmp_path_factory, "tiny-clip", "build_tiny_clip")


@pytest.fixture(scope="session")
def even_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like ``tiny_clip_folder``, but text_width and embed_dim are both 16."""
    return _shared(tmp_path_factory, "even-clip", "build_tiny_clip", text_width=16, width=16)


@pytest.fixture(scope="session")
def vit_b_32_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random checkpoint with OpenAI's ViT-B/32 geometry and ``eos_token_id`` = 2."""
    return _shared(tmp_path_factory, "vit-b-32", "build_vit_b_32")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users may enter: pytest closes its own whenever it starts anywhere."""
    with tempfile.TemporaryDirectory(prefix="ordlib-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def noise_images() -> list[np.ndarray]:
    """Seven random images, 64 pixels square."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    return list(blocks.repeat(8, axis=1).repeat(8, axis=2))
