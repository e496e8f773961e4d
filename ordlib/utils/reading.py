"""Read files of unknown origin: regular files in their folder, of limited size; strict JSON."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MAX_JSON_BYTES = 64 * 2**20
MAX_SHOWN, MAX_REASON = 60, 400  # characters of a value, and of another library's message
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "an integer", float: "a number"}


def check_file(path: Path, folder: Path | None = None) -> Path:
    """Return the path of a regular file, which opens without waiting and lies in a folder.

    Links may lead elsewhere in the folder; those of the hub's cache, to the repository's blobs.

    Args:
        path: of the file.
        folder: None is the one that it is in.

    Raises:
        FileNotFoundError: missing.
        ValueError: a folder, pipe, socket or device; or a link out of the folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path.parent}: {path.name} is missing")
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file but a folder, pipe, socket or device")
    folder = (folder or path.parent).resolve()
    allowed = folder.parents[1] if folder.parent.name == "snapshots" else folder
    if not path.resolve().is_relative_to(allowed):
        raise ValueError(f"{path}: leads out of the folder {folder}; put the file itself there")
    return path


def read_file(path: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Read a regular file, see :func:`check_file`; ValueError if it is larger than expected."""
    size = check_file(path).stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: has {size:,} bytes; a file of this kind has at most {max_bytes}")
    return path.read_bytes()


def read_json(path: Path) -> dict:
    """Read a JSON object; unlike in ``json.loads``, keys are unique and numbers finite.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_file`; or not such a file.
    """
    return parse_json(path, read_file(path))


def parse_json(path: Path, content: bytes) -> dict:
    """Parse the content of a file, see :func:`read_json`."""
    hooks = {"object_pairs_hook": _unique, "parse_constant": _finite, "parse_float": _finite}
    try:
        parsed = json.loads(content, **hooks)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{path}: damaged: {shorten(parsed)} is not a JSON object")
    return parsed


def get_field(content: Mapping, name: str, *kinds: type, default: object = ...) -> Any:
    """Field of a JSON object, of one of the types ``kinds``; ``"a.b"`` is field b of field a.

    Raises:
        ValueError: the field is missing, without a default, or of another type.

    Example:
        >>> get_field({"backbone": {"name": 3}}, "backbone.name", str)
        Traceback (most recent call last):
        ValueError: backbone.name = 3: must be a text
    """
    parent, _, key = ("", "", name) if name in content else name.rpartition(".")
    content = get_field(content, parent, dict) if parent else content
    value = content.get(key, default)
    if value is ...:
        raise ValueError(f"{name} is missing")
    numeric = isinstance(value, int) and float in kinds
    # JSON has one type of numbers, and true is none of them.
    if value is not default and (isinstance(value, bool) or not (numeric or type(value) in kinds)):
        raise ValueError(f"{name} = {shorten(value)}: must be {' or '.join(map(_kind, kinds))}")
    return value


def build(cls: type[T], content: object, name: str) -> T:
    """Build a dataclass from a JSON object; errors name the field of it, and ``name``.

    Raises:
        ValueError: no object, a field is missing, unknown or invalid.

    Example:
        >>> from ordlib import OrdinalTask
        >>> build(OrdinalTask, {"name": "toast", "unit": "minutes"}, "task")
        Traceback (most recent call last):
        ValueError: task.values is missing
    """
    given = get_field({name: content}, name, dict)
    required = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}
    for field in sorted(given.keys() - required):
        raise ValueError(f"{name}.{field}: unknown field; {cls.__name__} has {', '.join(required)}")
    for field, is_required in required.items():
        if is_required and field not in given:
            raise ValueError(f"{name}.{field} is missing")
    try:
        return cls(**given)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from error


@contextmanager
def errors_name(path: Path | str, *foreign: type[Exception]) -> Iterator[None]:
    """Errors of a block that a file's content causes become ValueErrors that name the file.

    ``foreign``: further exceptions, such as a library's own.
    """
    try:
        yield
    except OSError:
        raise
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from error
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
    except (RuntimeError, MemoryError, *foreign) as error:  # of torch, and deep nesting
        reason = " ".join(str(error).split())[:MAX_REASON] or type(error).__name__
        raise ValueError(f"{path}: {reason}") from error


def shorten(value: object, length: int = MAX_SHOWN) -> str:
    """A value for a message: control characters escaped, cut after ``length`` characters."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def _kind(kind: type) -> str:
    return "null" if kind is type(None) else _KINDS[kind]


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shorten(twice)} occurs twice")
    return content


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text:.20} is not finite")
    return number
