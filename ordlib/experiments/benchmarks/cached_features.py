"""Picture features: read from the disk cache, against encoded anew (ViT-B/32)."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from ordlib.clip import feature_cache as features
from ordlib.clip import load_clip
from ordlib.synthetic.load import load_data
from ordlib.utils.cache import cache_dir
from tests.clips import build_vit_b_32

from .timing import race


def measure(pictures: int = 64, repeats: int = 3) -> pd.DataFrame:
    """One row a kind of feature: seconds both ways, and the ratio."""
    data = load_data("counting", "val", size=pictures)
    before, rows = os.environ.get("ORDLIB_CACHE"), []
    with TemporaryDirectory() as folder:
        clip = load_clip(build_vit_b_32(Path(folder) / "vit-b-32"))
        os.environ["ORDLIB_CACHE"] = f"{folder}/cache"
        try:
            for kind in (features.image_features, features.visual_tokens):
                rows.append(_row(kind, clip, data, repeats))
        finally:
            os.environ.pop("ORDLIB_CACHE")
            if before is not None:
                os.environ["ORDLIB_CACHE"] = before
    return pd.DataFrame(rows)


def _row(kind, clip, data, repeats: int) -> dict:
    def anew() -> torch.Tensor:
        shutil.rmtree(cache_dir() / "features", ignore_errors=True)
        return kind(clip, data)

    # In turns, so each reading finds what the encoding before it left. A sum touches every
    # number: the file is mapped into memory, and reading it would otherwise be put off.
    seconds = race({"anew": anew, "cached": lambda: kind(clip, data).sum()}, repeats)
    assert torch.equal(anew(), kind(clip, data))
    return {
        "kind": kind.__name__,
        "pictures": len(data),
        "s anew": round(seconds["anew"], 2),
        "s cached": round(seconds["cached"], 4),
        "times faster": round(seconds["anew"] / seconds["cached"]),
    }
