"""Validation of OrdinalTask fields and parsing of labels."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Set
from itertools import islice, pairwise
from numbers import Integral, Real
from reprlib import Repr
from typing import NoReturn

import numpy as np

from ..utils.validation import check_choice, check_count
from .templates import MAX_LENGTH, placeholder_names

DECODINGS = ("expectation", "argmax")
AUGMENTATIONS = ("flip", "crop_scale", "random_crop", "jitter")
MAX_RANKS = 10_000
MAX_NUMBER = 1e300  # differences stay finite
# They change the order in which following characters are shown.
BIDIRECTIONAL = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
MISSING = {"", "nan", "none", "<na>", "nat", "null", "n/a", "#n/a"}
_repr = Repr()
_repr.maxtuple = _repr.maxlist = 8
_repr.maxstring = _repr.maxother = 80


def validate(fields: Mapping) -> dict:
    """Fields of an `OrdinalTask`, validated, with sequences as tuples and defaults filled in."""
    try:
        for field in ("name", "unit"):
            _text(field, fields[field])
        values = _values(fields["values"])
        positions = _positions(fields["positions"], values)
        rank_names = tuple(map(as_text, values))
        if fields["rank_names"] is not None:
            rank_names = _phrases("rank_names", fields["rank_names"], len(values))
        ranks = {"values": values, "positions": positions, "rank_names": rank_names}
        bins = _bins(fields, positions or values, rank_names)
        validate_decode(fields["decode"])
        augmentations = _augmentations(fields["augmentations"])
        return {**fields, **ranks, **_prompts(fields), **bins, "augmentations": augmentations}
    except ValueError as error:
        raise ValueError(f"OrdinalTask {_repr.repr(fields['name'])}: {error}") from None


def _prompts(fields: Mapping) -> dict:
    placeholders = _placeholders(fields["placeholders"])
    templates = bin_templates = _templates("templates", fields["templates"], placeholders)
    if fields["bin_templates"] is not None:
        bin_templates = _templates("bin_templates", fields["bin_templates"], placeholders)
    used = set().union(*map(placeholder_names, templates + bin_templates))
    for name in placeholders:
        if name not in used:
            problem = f"no template has {{{name}}}; use it or drop it"
            _invalid("placeholders", fields["placeholders"], problem)
    return {"templates": templates, "placeholders": placeholders, "bin_templates": bin_templates}


def _augmentations(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = _sequence("augmentations", given)
    for name in names:
        check_choice("augmentations", name, AUGMENTATIONS)
    return names


def check_same_ranks(task: object, other: object, name: str) -> None:
    """Validate that ``name``, of the task ``other``, has the ranks of the model's task.

    Raises:
        ValueError: the tasks differ in values or positions.
    """
    for field in ("values", "positions"):
        expected, given = getattr(task, field), getattr(other, field)
        if expected != given:
            raise ValueError(
                f"task {task.name!r}: {field} = {_repr.repr(expected)} of the model, but "
                f"{_repr.repr(given)} of {name}; build both from one OrdinalTask, or give the "
                "tasks different names"
            )


def as_text(value: float | str) -> str:
    """A rank's value as text: 2.0 as "2", a name unchanged."""
    return value if isinstance(value, str) else repr(value).removesuffix(".0")


def validate_decode(decode: str) -> str:
    """Return ``decode``, or raise ValueError if it is unknown."""
    check_choice("decode", decode, DECODINGS)
    return decode


def _values(given: object) -> tuple:
    values = _sequence("values", given)
    if len(values) < 2:
        _invalid("values", given, f"{len(values)} rank(s); an order needs at least 2")
    if not any(isinstance(value, str) for value in values):
        return _increasing("values", values)
    if not all(isinstance(value, str) for value in values):
        _invalid("values", given, "mixes names and numbers; use names with positions")
    return _phrases("values", values, len(values))


def _positions(given: object, values: tuple) -> tuple | None:
    if not isinstance(values[0], str):
        if given is not None:
            _invalid("positions", given, "only for named ranks; drop it")
        return None
    if given is None:
        return tuple(range(len(values)))
    positions = _increasing("positions", _sequence("positions", given))
    return _check_length("positions", positions, len(values), "rank")


def _bins(fields: Mapping, rank_values: tuple, rank_names: tuple) -> dict:
    edges, phrases, upper = (fields[x] for x in ("bin_edges", "bin_phrases", "upper_edge"))
    if edges is None:
        edges = (rank_values[0], *((low + high) / 2 for low, high in pairwise(rank_values)))
        phrases = rank_names if phrases is None else _phrases("bin_phrases", phrases, len(edges))
    else:
        edges = _increasing("bin_edges", _sequence("bin_edges", edges))
        _check_edges(edges, rank_values)
        if phrases is None:
            _invalid(
                "bin_phrases", phrases, f"missing; give one phrase for each of {len(edges)} bins"
            )
        phrases = _phrases("bin_phrases", phrases, len(edges), "bin")
    upper = rank_values[-1] if upper is None else _number("upper_edge", upper)
    if upper < rank_values[-1]:
        _invalid("upper_edge", upper, f"below the highest rank, {rank_values[-1]}; raise it")
    return {"bin_edges": edges, "bin_phrases": phrases, "upper_edge": upper}


def _check_edges(edges: tuple, rank_values: tuple) -> None:
    low, high = rank_values[0], rank_values[-1]
    if len(edges) < 2:
        _invalid("bin_edges", edges, "fewer than two bins; give 2 or more edges, or omit it")
    if len(edges) > len(rank_values):
        _invalid("bin_edges", edges, f"{len(edges)} bins for {len(rank_values)} ranks; use fewer")
    if edges[0] > low:
        _invalid("bin_edges", edges, f"above the lowest rank, {low}; lower the first edge")
    if edges[-1] > high:
        _invalid("bin_edges", edges, f"above the highest rank, {high}; lower the last edge")


def _placeholders(given: object) -> dict:
    if not isinstance(given, Mapping):
        _invalid("placeholders", given, 'must be a mapping: {"object": ("stars", "cats")}')
    for name in given:
        if not isinstance(name, str) or not name.isidentifier() or name in ("rank", "template"):
            _invalid("placeholders", given, f"{name!r} cannot name a placeholder; rename it")
    return {name: _phrases(f"placeholders[{name!r}]", texts) for name, texts in given.items()}


def _templates(field: str, given: object, placeholders: Mapping) -> tuple:
    templates = _sequence(field, given)
    if not templates:
        _invalid(field, given, 'empty; give at least one template, such as "a photo of {rank}"')
    for index, template in enumerate(templates):
        entry = f"{field}[{index}]"
        _text(entry, template)
        try:
            names = placeholder_names(template)
        except ValueError as error:
            _invalid(entry, template, f"{error}; write placeholders as {{name}}")
        if "rank" not in names:
            _invalid(entry, template, "has no {rank}; all ranks would get the same prompt")
        for name in sorted(names - {"rank"} - set(placeholders)):
            problem = f"unknown placeholder {{{name}}}; list its options in placeholders"
            _invalid(entry, template, problem)
    return templates


def _sequence(field: str, given: object) -> tuple:
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        _invalid(field, given, "must be a tuple or list in order; write one entry as (entry,)")
    entries = tuple(islice(given, MAX_RANKS + 1))
    if len(entries) > MAX_RANKS:
        problem = f"more than {MAX_RANKS:,} entries; use fewer: labels may lie between ranks"
        _invalid(field, given, problem)
    return entries


def _text(field: str, given: object) -> str:
    if not isinstance(given, str) or not normalize_label(given):
        _invalid(field, given, "must be a non-empty string")
    if len(given) > MAX_LENGTH:
        _invalid(field, given, f"has {len(given):,} characters; the limit is {MAX_LENGTH}")
    # Control characters command a terminal, and half a surrogate pair cannot be written to a file.
    for character in set(given) - {"\t", "\n", "\r"}:
        if unicodedata.category(character) in ("Cc", "Cs") or character in BIDIRECTIONAL:
            _invalid(field, given, f"contains the control character {character!r}; remove it")
    return given


def _number(field: str, given: object) -> float:
    if isinstance(given, bool | np.bool_) or not isinstance(given, Real):
        _invalid(field, given, "must be a number")
    if not abs(given) <= MAX_NUMBER:
        _invalid(field, given, f"must be finite, from -{MAX_NUMBER:g} to {MAX_NUMBER:g}")
    return int(given) if isinstance(given, Integral) else float(given)


def _increasing(field: str, given: tuple) -> tuple:
    numbers = tuple(_number(f"{field}[{index}]", value) for index, value in enumerate(given))
    for low, high in pairwise(numbers):
        if float(low) == float(high):
            _invalid(field, given, f"contains {high} twice; remove one")
        if low > high:
            _invalid(field, given, f"{high} follows {low}; list them from lowest to highest")
    return numbers


def _phrases(field: str, given: object, count: int | None = None, unit: str = "rank") -> tuple:
    texts = _sequence(field, given)
    phrases = tuple(_text(f"{field}[{index}]", text) for index, text in enumerate(texts))
    if not phrases:
        _invalid(field, given, "empty; give at least one entry")
    seen: set[str] = set()
    for phrase in phrases:
        if (name := normalize_label(phrase)) in seen:
            problem = f"contains {phrase!r} twice, ignoring case, spaces and invisible characters"
            _invalid(field, given, f"{problem}; remove one")
        seen.add(name)
    return phrases if count is None else _check_length(field, phrases, count, unit)


def _check_length(field: str, given: tuple, count: int, unit: str) -> tuple:
    if len(given) != count:
        _invalid(field, given, f"{len(given)} given for {count} {unit}s; give one per {unit}")
    return given


def _invalid(field: str, value: object, problem: str) -> NoReturn:
    raise ValueError(f"{field} = {_repr.repr(value)}: {problem}")


def rank_values_by_name(
    values: tuple, rank_names: tuple, rank_values: np.ndarray
) -> dict[str, float]:
    """Rank value by normalized value and rank name; on a conflict the value takes precedence."""
    names = map(normalize_label, [*rank_names, *map(as_text, values)])
    return dict(zip(names, 2 * rank_values.tolist(), strict=True))


def normalize_label(label: object) -> str:
    """Label as case-folded NFC text, without surrounding whitespace and invisible characters."""
    text = str(label)
    if not text.isascii():
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
        text = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", text.strip().casefold())


def parse_label(
    label: object,
    values_by_name: Mapping[str, float],
    task: str,
    named: bool,
    first_label: int | None = None,
) -> float:
    """Rank value of a label; values between ranks are valid unless the ranks are named.

    A number stands for a named rank only if it equals a name as a number ("1.0" and "1"), or a
    position that is not merely the index of its rank, or if ``first_label`` says at which number
    the ranks start.
    """
    text = normalize_label(label)
    if label is not None and text in values_by_name:
        return values_by_name[text]
    if text in MISSING:
        raise ValueError(f"label {label!r} is missing; add it or remove the image")
    number = math.nan if isinstance(label, bool | np.bool_) else as_number(text)
    if named:
        known = _numbers_of_named_ranks(values_by_name, first_label)
        if number in known:
            return known[number]
        options = ", ".join(map(repr, values_by_name))
        remedy = f"choose one of {options}"
        if not math.isnan(number) and first_label is None:
            remedy += "; or set first_label, the number of the lowest rank in the labels"
        raise ValueError(f"label {label!r} is no rank of task {task!r}; {remedy}")
    low, high = min(values_by_name.values()), max(values_by_name.values())
    if not low <= number <= high:
        problem = "is not a number" if math.isnan(number) else "is outside the ranks"
        raise ValueError(
            f"label {label!r} {problem}; task {task!r} takes {low:g} to {high:g}. If the label is "
            "correct, extend the task's values"
        )
    return number


def as_number(text: str) -> float:
    """Number of a text, NaN if it is none; unlike ``float`` without "1_000"."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _numbers_of_named_ranks(
    values_by_name: Mapping[str, float], first_label: int | None
) -> dict[float, float]:
    rank_values = sorted(set(values_by_name.values()))
    if first_label is not None:
        check_count("first_label", first_label, None)
        return {first_label + rank: value for rank, value in enumerate(rank_values)}
    numbers = {as_number(name): value for name, value in values_by_name.items()}
    numbers = {number: value for number, value in numbers.items() if not math.isnan(number)}
    # Default positions are indices, and labels that count from 1 would be one rank off.
    if numbers or rank_values == list(range(len(rank_values))):
        return numbers
    return {value: value for value in rank_values}
