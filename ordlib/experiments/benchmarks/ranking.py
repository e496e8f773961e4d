"""A folder put in order by a sentence: ten thousand pictures, then another sentence."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import pandas as pd

from ordlib import load_clip, load_component, load_data, rank

from .memory import peak

SENTENCES = ("the number of stars", "the number of hearts")


def measure(pictures: int = 10_000) -> pd.DataFrame:
    """One row a number of pictures and a sentence: seconds, and memory at its peak."""
    clip = load_clip("pico-clip")
    adapter = load_component("ranking-adapter", clip)
    rows, before = [], os.environ.get("ORDLIB_CACHE")
    data = load_data("counting", "val")
    with TemporaryDirectory() as folder:
        os.environ["ORDLIB_CACHE"] = f"{folder}/cache"
        try:
            for count in (pictures // 10, pictures):
                files = _write(data, Path(folder) / str(count), count)
                for said, sentence in zip(("first", "second"), SENTENCES, strict=True):
                    seconds, mib = _timed(lambda f=files, s=sentence: rank(f, s, component=adapter))
                    cost = {"s": round(seconds, 1), "MiB": round(mib)}
                    rows.append({"pictures": count, "sentence": said} | cost)
        finally:
            os.environ.pop("ORDLIB_CACHE")
            if before is not None:
                os.environ["ORDLIB_CACHE"] = before
    return pd.DataFrame(rows)


def _write(data, folder: Path, count: int) -> Path:
    """Write pictures; the same ones under many names, which ordlib has no way to know."""
    folder.mkdir()
    for number in range(min(count, len(data))):
        data[number].save(folder / f"{number}.png")
    for number in range(len(data), count):
        os.link(folder / f"{number % len(data)}.png", folder / f"{number}.png")
    return folder


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    began = perf_counter()
    mib, _ = peak(run)
    return perf_counter() - began, mib
