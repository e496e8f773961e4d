"""Every entry of a listing looked at before anything is done with it, and all faults told."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..tasks import OrdinalTask
from ..utils.validation import listed
from .image_io import validate_image
from .label_files import LabelTable


def validate_samples(
    root: Path, listing: LabelTable, task: OrdinalTask, filled: Iterable[pd.Series | None] = ()
) -> tuple[list[Path], np.ndarray]:
    """N paths of readable pictures, and ``(N,)`` labels on the task's number line.

    In the columns ``filled`` every row must say something.

    Raises:
        ValueError: up to ten faults, each with its row, field and value, in the order of rows.
    """
    faults = ErrorReport(listing)
    files = _resolve_paths(root, listing, faults)
    values = np.full(len(files), np.nan)
    for index, label in enumerate(listing.labels):
        place = faults.place(index, listing.label_field)
        try:
            values[index] = task.parse_label(label, where=place)
        except ValueError as error:
            faults.add(index, str(error))
    for column in filled:
        for index in [] if column is None else np.flatnonzero(column == ""):
            faults.add(index, f"{faults.place(index, f'column {column.name!r}')}: is empty")
    _open_all(files, listing, faults)
    faults.raise_if_any()
    return files, values


class ErrorReport:
    """What is wrong with the entries of a listing, kept by row."""

    def __init__(self, listing: LabelTable) -> None:
        self.listing = listing
        self.texts: dict[int, list[str]] = {}

    def place(self, index: int, field: str) -> str:
        """An entry's field as its reader finds it: "row 7, column 'age'"."""
        row = self.listing.rows[index]
        return f"{row}, {field}" if row else field

    def add(self, index: int, text: str) -> None:
        """Note a fault of an entry."""
        self.texts.setdefault(index, []).append(text)

    def raise_if_any(self) -> None:
        """Raise ``ValueError`` with the first ten faults, if there are any."""
        # Pictures of a subfolder share its name, and what is wrong with it.
        texts = list(dict.fromkeys(text for row in sorted(self.texts) for text in self.texts[row]))
        if not texts:
            return
        told = listed(texts)
        if len(self.texts) == len(self.listing.paths) > 1:
            told += "\n  Every entry is at fault: are the folder, the columns and the task right?"
        count = f"{len(texts)} fault{'s'[: len(texts) > 1]}"
        raise ValueError(f"{self.listing.source} has {count}:{told}")


def _resolve_paths(root: Path, listing: LabelTable, faults: ErrorReport) -> list[Path | None]:
    """Each entry's file; None, and a fault, where it is missing, outside, or listed twice."""
    files: list[Path | None] = []
    first: dict[Path, int] = {}
    for index, name in enumerate(listing.paths):
        file = _resolve(root, name)
        if not name:
            fault = "is empty"
        elif not file.is_relative_to(root):
            fault = f"{name!r} leaves the folder {root}; give a folder that holds all pictures"
        elif file in first:
            fault = f"{name!r} stands in {listing.rows[first[file]]} already; keep one of the two"
        elif not os.path.isfile(file):
            fault = f"{name!r} is missing: there is no file {file}"
        else:
            first[file] = index
            files.append(file)
            continue
        files.append(None)
        faults.add(index, f"{faults.place(index, listing.path_field)}: {fault}")
    return files


def _resolve(root: Path, name: str) -> Path:
    file = Path(os.path.normpath(root / name))
    if "\\" in name and not os.path.isfile(file):
        # A table written on Windows.
        file = Path(os.path.normpath(root / name.replace("\\", "/")))
    return file


def _open_all(files: list[Path | None], listing: LabelTable, faults: ErrorReport) -> None:
    """Open every picture that was found; in threads, since this mostly waits for the disk."""
    found = [index for index, file in enumerate(files) if file is not None]
    with ThreadPoolExecutor() as pool:
        told = pool.map(validate_image, (files[index] for index in found))
        bar = tqdm(told, "checking pictures", len(found), leave=False, delay=2, unit="picture")
        for index, fault in zip(found, bar, strict=True):
            if isinstance(fault, str):
                place = faults.place(index, listing.path_field)
                faults.add(index, f"{place}: {listing.paths[index]!r} {fault}")
