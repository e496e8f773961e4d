"""Validate all samples of a label table and report every error."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..tasks import OrdinalTask
from ..tasks.validation import MISSING
from ..utils.validation import listed
from .image_io import validate_image
from .label_files import LabelTable


def validate_samples(
    root: Path,
    table: LabelTable,
    task: OrdinalTask,
    required_columns: Iterable[pd.Series | None] = (),
    first_label: int | None = None,
) -> tuple[list[Path], np.ndarray]:
    """Validate images, labels and required (non-empty) columns of a label table.

    Returns:
        N paths of readable images, and ``(N,)`` float64 labels in the task's unit.

    Raises:
        ValueError: lists up to ten errors in row order, each with row, field and value.
    """
    report = ErrorReport(table)
    files = _resolve_paths(root, report)
    values = np.full(len(files), np.nan)
    for index, label in enumerate(table.labels):
        try:
            values[index] = task.parse_label(label, first_label=first_label)
        except ValueError as error:
            report.add(index, table.label_field, str(error))
    for column in required_columns:
        missing = [] if column is None else column.str.casefold().isin(MISSING)
        for index in np.flatnonzero(missing):
            report.add(
                index,
                f"column {column.name!r}",
                f"{column.iloc[index]!r} is missing".removeprefix("'' "),
            )
    _open_images(files, report)
    report.raise_if_any()
    return files, values


class ErrorReport:
    """Errors of a label table by entry."""

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self.errors: dict[int, list[str]] = defaultdict(list)

    def add(self, index: int, field: str, problem: str) -> None:
        """Add an error of an entry: "row 7, column 'age': problem"."""
        row = self.table.rows[index]
        self.errors[index].append(f"{row}, {field}: {problem}" if row else f"{field}: {problem}")

    def raise_if_any(self) -> None:
        """Raise ValueError with the first ten errors, if there are any."""
        # Images of a class folder share its name and therefore its error.
        errors = list(
            dict.fromkeys(chain.from_iterable(self.errors[i] for i in sorted(self.errors)))
        )
        if not errors:
            return
        count = f"{len(errors)} error{'s'[: len(errors) > 1]}"
        message = f"{self.table.source}: {count}:{listed(errors)}"
        if len(self.errors) == len(self.table.rows) > 1:
            message += "\n  Every entry has an error; check the folder, the columns and the task"
        raise ValueError(message)


def _resolve_paths(root: Path, report: ErrorReport) -> list[Path | None]:
    """File of each entry; None, and an error, if it is missing, outside or listed twice."""
    table = report.table
    files: list[Path | None] = []
    first: dict[Path, int] = {}
    for index, name in enumerate(table.paths):
        file = _find_file(root, name)
        if not name:
            problem = "is empty"
        elif not file.is_relative_to(root):
            problem = f"{name!r} is outside {root}; give a folder that contains all images"
        elif file in first:
            problem = f"{name!r} duplicates {table.rows[first[file]]}; remove one"
        elif not os.path.isfile(file):
            problem = f"{name!r} is missing: no file {file}"
        else:
            first[file] = index
            files.append(file)
            continue
        files.append(None)
        report.add(index, table.path_field, problem)
    return files


def _find_file(root: Path, name: str) -> Path:
    """Path of an image in the folder, also from Windows, in another Unicode form, or by a link."""
    spellings = [name, name.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    if os.path.isabs(name):
        spellings.append(os.path.relpath(os.path.realpath(name), os.path.realpath(root)))
    candidates = [Path(os.path.normpath(root / spelling)) for spelling in spellings]
    inside = [file for file in candidates if file.is_relative_to(root) and os.path.isfile(file)]
    return (inside or candidates)[0]


def _open_images(files: list[Path | None], report: ErrorReport) -> None:
    """Validate every image file, in threads because the disk is the bottleneck."""
    table = report.table
    indices = [index for index, file in enumerate(files) if file is not None]
    with ThreadPoolExecutor() as pool:
        results = pool.map(validate_image, (files[index] for index in indices))
        bar = tqdm(results, "validating images", len(indices), leave=False, delay=2, unit="image")
        for index, result in zip(indices, bar, strict=True):
            if isinstance(result, str):
                report.add(index, table.path_field, f"{table.paths[index]!r} {result}")
