"""Scoring of image files, a part at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..data import ImageData
from ..data.image_index import common_bit_depth, inspect_images
from ..data.image_io import unknown_depth
from ..methods.ranking_adapter.model import RankingAdapter

# Images scored at once: without a writable cache, their tokens are in memory.
CHUNK_SIZE = 1024


class FileScorer:
    """Score files by a prompt, in bounded memory; features are cached on disk.

    The OOD score depends on the ``task`` of the prompt: photographs are in-distribution for
    quality, but not for counting.

    Attributes:
        errors: reason by path of the files that cannot be scored.
        bit_depth: of images with more than 8 bits: as given, else the largest of their files.
    """

    def __init__(
        self,
        adapter: RankingAdapter,
        prompt: str,
        task: str | None,
        batch_size: int,
        bit_depth: int | None = None,
    ) -> None:
        self.adapter, self.prompt, self.task = adapter, prompt, task
        self.batch_size, self.bit_depth = batch_size, bit_depth
        self.errors: dict[str, str] = {}

    def score(self, files: Sequence[str]) -> pd.DataFrame:
        """Score sorted files.

        Returns:
            One row per valid file with ``path``, ``score`` and ``ood_score`` (1 is the threshold,
            ``nan`` without an OOD detector).
        """
        files, tables = self._valid(files, decode=False), []
        with tqdm(None, "scoring images", len(files), leave=False, delay=2, unit="image") as bar:
            for start in range(0, len(files), CHUNK_SIZE):
                chunk = files[start : start + CHUNK_SIZE]
                try:
                    tables.append(self._score(chunk))
                except OSError:
                    # The header was fine, but an image cannot be decoded: go on without it.
                    valid = self._valid(chunk, decode=True)
                    if len(valid) == len(chunk):
                        raise
                    tables.append(self._score(valid))
                bar.update(len(chunk))
        return pd.concat([self._empty([]), *tables], ignore_index=True)

    def _valid(self, files: Sequence[str], decode: bool) -> list[str]:
        """The files without an error; the others are added to ``errors``."""
        reports = inspect_images([Path(file) for file in files], decode, self.bit_depth)
        deepest = max((r.max_value or 0 for r in reports), default=0)
        for file, report in zip(files, reports, strict=True):
            if not report.bit_depth:
                self.errors[file] = unknown_depth(deepest)
            elif report.error:
                self.errors[file] = report.error
        self.bit_depth = self.bit_depth or common_bit_depth(reports)
        return [file for file in files if file not in self.errors]

    def _score(self, files: Sequence[str]) -> pd.DataFrame:
        table = self._empty(files)
        if not files:
            return table
        any_task = next(iter(self.adapter.tasks.values()))
        data = ImageData(
            task=any_task,
            images=[Path(file) for file in files],
            values=np.full(len(files), any_task.range[0], float),  # unused
            metadata=table,
            fingerprint="",  # unused
            split="all",
            bit_depth=self.bit_depth,
        )
        table["score"] = self.adapter.predict_scores(data, self.prompt, self.batch_size)
        if self.adapter.ood_detectors:
            table["ood_score"] = self.adapter.ood_score(data, self.task, self.batch_size)
        return table

    @staticmethod
    def _empty(files: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame({"path": files, "score": np.nan, "ood_score": np.nan})
