"""Process image files a part at a time, in bounded memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..clip.backbone import BATCH_MULTIPLE
from ..data import ImageData
from ..data.image_index import common_bit_depth, inspect_images
from ..data.image_io import unknown_depth
from ..tasks import OrdinalTask

# Images at once: without a writable cache, their features are in memory.
CHUNK_SIZE = 1024


class FileProcessor:
    """Apply a function to image files, a part at a time; unreadable files are recorded.

    Args:
        task: task of the data sets that the function gets; their labels mean nothing.
        process: maps an ``ImageData`` of N files to a table of N rows.
        description: what the progress bar shows.
        bit_depth: of images with more than 8 bits.

    Attributes:
        errors: reason by path of the files that cannot be read.
        bit_depth: as given, else the largest of the files.
        deep_file: a file with more than 8 bits, or None.
    """

    def __init__(
        self,
        task: OrdinalTask,
        process: Callable[[ImageData], pd.DataFrame],
        description: str,
        bit_depth: int | None = None,
    ) -> None:
        self.task, self.process, self.description = task, process, description
        self.bit_depth, self.errors, self.deep_file = bit_depth, {}, None

    def run(self, files: Sequence[str]) -> pd.DataFrame:
        """Return the rows of all readable files, with their ``path`` as the first column."""
        files, tables = self._valid(files, decode=False), []
        bar = tqdm(None, self.description, len(files), leave=False, delay=2, unit="image")
        with bar:
            for start in range(0, len(files), CHUNK_SIZE):
                chunk = files[start : start + CHUNK_SIZE]
                try:
                    tables.append(self._process(chunk))
                except OSError:
                    # The header was fine, but an image cannot be decoded: go on without it.
                    valid = self._valid(chunk, decode=True)
                    if len(valid) == len(chunk):
                        raise
                    if valid:
                        tables.append(self._process(valid))
                bar.update(len(chunk))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def _valid(self, files: Sequence[str], decode: bool) -> list[str]:
        """The files without an error; the others are added to ``errors``."""
        reports = inspect_images([Path(file) for file in files], decode, self.bit_depth)
        deepest = max((r.max_value or 0 for r in reports), default=0)
        for file, report in zip(files, reports, strict=True):
            if not report.bit_depth:
                self.errors[file] = unknown_depth(deepest)
            elif report.error:
                self.errors[file] = report.error
            if report.max_value is not None:
                self.deep_file = self.deep_file or file
        self.bit_depth = self.bit_depth or common_bit_depth(reports)
        return [file for file in files if file not in self.errors]

    def _process(self, files: Sequence[str]) -> pd.DataFrame:
        paths = pd.DataFrame({"path": files})
        images = [Path(file) for file in files]
        images += images[-1:] * (-len(images) % BATCH_MULTIPLE)  # As for the features.
        data = ImageData(
            task=self.task,
            images=images,
            values=np.full(len(images), self.task.range[0], float),  # unused
            metadata=pd.DataFrame({"path": images}),
            fingerprint="",  # unused
            split="all",
            bit_depth=self.bit_depth,
        )
        table = paths.join(self.process(data))
        _raise_if_not_finite(table)
        return table


def _raise_if_not_finite(table: pd.DataFrame) -> None:
    """Raise FloatingPointError that names the first image with a number that is not finite.

    NaN has no order, counts as in-distribution, and is not valid JSON.
    """
    numbers = table.select_dtypes("number")
    rows, columns = np.nonzero(~np.isfinite(numbers.to_numpy(float)))
    if len(rows):
        name, row = numbers.columns[columns[0]], rows[0]
        raise FloatingPointError(
            f"{name} of {table['path'].iloc[row]} is {numbers[name].iloc[row]}: the component has "
            "a damaged config or weights that are too large; download or train it again"
        )
