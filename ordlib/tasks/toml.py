"""Read and write the fields of a task as TOML."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..utils.cache import atomic_write
from ..utils.reading import read_file

REQUIRED = ("name", "unit", "values")


def read_toml(path: Path, available: Sequence[str]) -> dict:
    """Read a TOML file, and validate the names of its fields.

    Raises:
        ValueError: not a TOML file, or a field is unknown or missing.
    """
    try:
        values = tomllib.loads(read_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"task = {path}: not a readable TOML file: {error}") from error
    unknown = [name for name in values if name not in available]
    missing = [name for name in REQUIRED if name not in values]
    if unknown or missing:
        problem = f"unknown field {unknown[0]}" if unknown else f"missing field {missing[0]}"
        raise ValueError(f"task = {path}: {problem}; available fields: {', '.join(available)}")
    return values


def write_toml(fields: Mapping[str, object], path: Path) -> None:
    """Write strings, numbers, sequences of them and one level of tables; None is left out."""
    tables = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    lines = [
        f"{name} = {_literal(value)}"
        for name, value in fields.items()
        if value is not None and name not in tables
    ]
    for name, table in tables.items():
        if table:
            lines += [
                "",
                f"[{name}]",
                *(f"{_literal(k)} = {_literal(v)}" for k, v in table.items()),
            ]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _literal(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's strings, but for DEL: refused
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(int(value) if isinstance(value, int) else float(value))
