"""Notebook setup (seeding, plot theme) and the results log."""

import json
import math
import os
import random
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..utils.cache import atomic_write, cache_dir
from .plots import set_theme

if TYPE_CHECKING:
    from ..clip import ClipBackbone
    from ..methods.base import OrdinalMethod

BUDGETS = ("quick", "full")
# What a notebook encodes on a CPU with a CLIP of usual size, some ten images a second and core;
# the second, where the image encoder is trained, which takes several times as long.
MAX_IMAGES, MAX_TUNED_IMAGES = 1_500, 300


def setup(seed: int = 0, budget: str = "quick") -> None:
    """Seed ``random``, numpy and torch, set the plot theme, and silence what distracts.

    On Colab it prints the device, and where to choose a GPU if there is none.

    Raises:
        ValueError: an unknown budget; validated here so that a typo fails in the first cells.

    Example:
        >>> setup(seed=1)
        >>> setup(budget="huge")
        Traceback (most recent call last):
        ValueError: budget = 'huge': must be "quick" or "full"
    """
    if budget not in BUDGETS:
        raise ValueError(f'budget = {budget!r}: must be "quick" or "full"')
    import torch
    from IPython import get_ipython

    from ._doctor import check_device, on_colab

    if on_colab():
        print(f"Device: {check_device().detail}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    set_theme()
    # The trainings in notebooks are short on purpose.
    warnings.filterwarnings("ignore", message="the best epoch is the last")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Double the figure resolution in Jupyter.
    shell = get_ipython()
    if shell is not None and "InlineBackend" in {c.__class__.__name__ for c in shell.configurables}:
        shell.run_line_magic("config", 'InlineBackend.figure_format = "retina"')


def image_counts(
    clip: "ClipBackbone", budget: str, counts: Mapping[str, int], repeats: int = 1,
    limit: int = MAX_IMAGES, method: "type[OrdinalMethod] | None" = None, epochs: int = 0,
) -> dict[str, int]:  # fmt: skip
    """Numbers of images to encode: ``counts``, or fewer on a CPU with a CLIP of usual size.

    Args:
        clip: a bundled backbone encodes all images, as does any on an accelerator.
        budget: "full" encodes all images, too.
        counts: number of images by split.
        repeats: how often the notebook encodes so many, for example once per task.
        limit: maximum number in all.
        method: a method that the notebook trains on counting, if its training takes long.
        epochs: for how many epochs in all, over the images of "train".

    Returns:
        Counts in the same proportion. Unless the CLIP is a bundled one, the times that encoding
        and training take are measured on a few images and a step, and printed.

    Example:
        >>> from ordlib import load_clip
        >>> image_counts(load_clip("pico-clip", "cpu"), "quick", {"train": 2000, "val": 400})
        {'train': 2000, 'val': 400}
    """
    from ..clip.checkpoints import list_bundled
    from ..training.config import TrainingConfig

    if clip.name in list_bundled():
        return dict(counts)
    total = repeats * sum(counts.values())
    if budget == "quick" and clip.device.type == "cpu" and total > limit:
        counts = {name: count * limit // total for name, count in counts.items()}
    images, seconds = repeats * sum(counts.values()), seconds_per_image(clip)
    left_out = f" of {total:,}; budget = 'full' takes all" if images < total else ""
    duration = f"{_duration(images * seconds)} here, {1 / seconds:.0f} images a second"
    print(f"Encoding {images:,} images{left_out}: about {duration}.")
    if method is not None:
        steps = epochs * math.ceil(counts["train"] / TrainingConfig().batch_size)
        duration = _duration(steps * seconds_per_step(clip, method))
        print(f"Training, {steps:,} steps of {method.__name__}: about {duration}.")
    return dict(counts)


def seconds_per_image(clip: "ClipBackbone", num_images: int = 16) -> float:
    """Measure the seconds that encoding an image takes, on random images."""
    images = np.random.default_rng(0).integers(0, 256, (num_images, *[clip.image_size] * 2, 3))
    batch = [Image.fromarray(image.astype(np.uint8)) for image in images]
    clip.encode_images(batch[:2])  # warm-up
    start = time.perf_counter()
    clip.encode_images(batch)
    return (time.perf_counter() - start) / num_images


def seconds_per_step(clip: "ClipBackbone", method: "type[OrdinalMethod]") -> float:
    """Measure the seconds of a training step on counting, without the optimizer."""
    import torch

    from ..tasks import load_task
    from ..training.config import TrainingConfig

    model, batch_size = method(clip, load_task("counting")), TrainingConfig().batch_size
    features = torch.randn(batch_size, clip.embed_dim, device=clip.device)
    values = torch.ones(batch_size, device=clip.device)
    for _ in range(2):  # the first is a warm-up
        start = time.perf_counter()
        model.loss(features, values).backward()
    return time.perf_counter() - start


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


class ResultsLog(dict):
    """Results of a notebook, such as "00_start_here", that its Markdown cells quote.

    A dictionary of finite numbers (else ValueError) and text (else TypeError), saved as JSON.

    Example:
        >>> results = ResultsLog("demo")
        >>> results["ridge.mae"] = np.float64(1.23456789)
        >>> results
        {'ridge.mae': 1.234568}
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def __setitem__(self, key: str, value: float | str) -> None:
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, int | float | str):
            raise TypeError(f"{key} = {value!r}: is a {type(value).__name__}; set a number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} = {value}: must be finite")
        # Six decimals: more than any text quotes, few enough to be equal on every machine.
        super().__setitem__(key, round(value, 6) if isinstance(value, float) else value)

    def record(self, name: str, values: Mapping) -> None:
        """Set ``NAME.KEY`` for every value of a mapping or Series; tuple keys are joined by dots.

        With an empty name, the keys stand alone.

        Example:
            >>> results = ResultsLog("demo")
            >>> results.record("mae", {("counting", "NumCLIP"): 1.5})
            >>> results
            {'mae.counting.NumCLIP': 1.5}
        """
        for key, value in values.items():
            parts = key if isinstance(key, tuple) else (key,)
            self[".".join([name] * bool(name) + [str(part) for part in parts])] = value

    def save(self) -> None:
        """Write ``NAME.json`` to the folder ``$ORDLIB_RESULTS``, by default in the cache.

        Where the cache is shared and cannot be written, it goes to the folder of temporary files.
        """
        content = json.dumps(dict(self), indent=2, sort_keys=True) + "\n"
        chosen = os.environ.get("ORDLIB_RESULTS")
        folder = Path(chosen) if chosen else cache_dir() / "results"
        try:
            self._write(folder, content)
        except PermissionError:
            if chosen:
                raise
            self._write(Path(tempfile.gettempdir()) / "ordlib-results", content)

    def _write(self, folder: Path, content: str) -> None:
        with atomic_write(folder / f"{self.name}.json") as temporary:
            temporary.write_text(content)
