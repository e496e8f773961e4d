"""Validate all samples of a label table and report every error."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from ..tasks import OrdinalTask
from ..tasks.validation import MISSING
from ..utils.validation import listed
from .image_files import missing_file
from .image_index import common_bit_depth, inspect_images
from .image_io import unknown_depth
from .label_files import LabelTable

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAX_PROBLEM = 1_000  # characters


def validate_samples(
    root: Path,
    table: LabelTable,
    task: OrdinalTask,
    required_columns: Iterable[pd.Series | None] = (),
    first_label: int | None = None,
    decode: bool = True,
    bit_depth: int | None = None,
) -> tuple[list[Path], np.ndarray, int | None]:
    """Validate images, labels and required (non-empty) columns of a label table.

    Returns:
        N paths of readable images, ``(N,)`` float64 labels in the task's unit, and the bit depth
        of images with more than 8 bits (None without such images).

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
    bit_depth = _inspect_images(files, report, decode, bit_depth)
    report.raise_if_any()
    return files, values, bit_depth


class ErrorReport:
    """Errors of a label table by entry."""

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self.errors: dict[int, list[str]] = defaultdict(list)

    def add(self, index: int, field: str, problem: str) -> None:
        """Add an error of an entry: "row 7, column 'age': problem"."""
        row = self.table.rows[index]
        if len(problem) > MAX_PROBLEM:
            problem = f"{problem[: MAX_PROBLEM // 2]} ... {problem[-MAX_PROBLEM // 2 :]}"
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
        elif URL.match(name):
            problem = f"{name!r} is a URL; download the images and give their paths"
        elif reason := missing_file(file):
            problem = f"{name!r} {reason}: no file {str(file)!r}"
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


def _inspect_images(
    files: list[Path | None], report: ErrorReport, decode: bool, bit_depth: int | None
) -> int | None:
    """Inspect every image file; returns the bit depth of the deeper ones, one for all."""
    table = report.table
    indices = [index for index, file in enumerate(files) if file is not None]
    images = inspect_images([files[index] for index in indices], decode, bit_depth)
    found = dict(zip(indices, images, strict=True))
    for index, image in found.items():
        if image.error:
            report.add(index, table.path_field, f"{table.paths[index]!r} {image.error}")
    unknown = {index: image.max_value for index, image in found.items() if not image.bit_depth}
    if unknown:
        first, problem = min(unknown), unknown_depth(max(i.max_value or 0 for i in images))
        count = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        report.add(first, table.path_field, f"{table.paths[first]!r}{count} {problem}")
    return bit_depth or common_bit_depth(images)
