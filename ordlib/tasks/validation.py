"""Validation of tasks and labels: errors name the field, its value, and what to do."""

import math
from collections.abc import Iterable, Mapping, Set
from itertools import pairwise
from numbers import Integral, Real
from reprlib import Repr

import numpy as np

from ..utils.validation import check_choice
from .templates import placeholder_names

DECODINGS = ("expectation", "argmax")
_repr = Repr()
_repr.maxtuple = _repr.maxlist = 8
_repr.maxstring = _repr.maxother = 80


def validate(definition: Mapping) -> dict:
    """The fields of an `OrdinalTask`: checked, sequences as tuples, those left out filled in."""
    try:
        return _validate(definition)
    except ValueError as error:
        raise ValueError(f"OrdinalTask {definition['name']!r}: {error}") from None


def _validate(given: Mapping) -> dict:
    for field in ("name", "unit"):
        _text(field, given[field])
    values = _values(given["values"])
    positions = _positions(given["positions"], values)
    rank_names = given["rank_names"]
    words = (
        tuple(map(as_text, values))
        if rank_names is None
        else _phrases("rank_names", rank_names, len(values))
    )
    placeholders = _placeholders(given["placeholders"])
    templates = _templates("templates", given["templates"], placeholders)
    bin_templates = templates
    if given["bin_templates"] is not None:
        bin_templates = _templates("bin_templates", given["bin_templates"], placeholders)
    for name in placeholders:
        if not any(name in placeholder_names(text) for text in templates + bin_templates):
            _invalid(
                "placeholders",
                given["placeholders"],
                f"no template has {{{name}}}; use it or drop it",
            )
    validate_decode(given["decode"])
    return {
        **given,
        "values": values,
        "positions": positions,
        "rank_names": words,
        "templates": templates,
        "placeholders": placeholders,
        "bin_templates": bin_templates,
        **_bins(given, positions or values, words),
    }


def as_text(value: float | str) -> str:
    """A rank's value as a person would write it: 2.0 as "2", a name as it is."""
    return value if isinstance(value, str) else repr(value).removesuffix(".0")


def validate_decode(decode: str) -> str:
    """The reading itself; ValueError if it is none."""
    check_choice("decode", decode, DECODINGS)
    return decode


def _values(given: object) -> tuple:
    values = _sequence("values", given)
    if len(values) < 2:
        _invalid("values", given, f"{len(values)} rank(s); an order needs at least 2")
    if not any(isinstance(value, str) for value in values):
        return _increasing("values", values)
    if not all(isinstance(value, str) for value in values):
        _invalid(
            "values", given, "mixes names and numbers; use one kind (names may have positions)"
        )
    return _phrases("values", values, len(values))


def _positions(given: object, values: tuple) -> tuple | None:
    if not isinstance(values[0], str):
        if given is not None:
            _invalid(
                "positions", given, "only for named ranks: numbers stand where they are; drop it"
            )
        return None
    if given is None:
        return tuple(range(len(values)))
    positions = _increasing("positions", _sequence("positions", given))
    return _check_length("positions", positions, len(values), "rank")


def _bins(given: Mapping, rank_values: tuple, rank_names: tuple) -> dict:
    edges, phrases, upper_edge = given["bin_edges"], given["bin_phrases"], given["upper_edge"]
    if edges is None:
        edges = (rank_values[0], *((low + high) / 2 for low, high in pairwise(rank_values)))
        phrases = rank_names if phrases is None else _phrases("bin_phrases", phrases, len(edges))
    else:
        edges = _increasing("bin_edges", _sequence("bin_edges", edges))
        _check_edges(edges, rank_values)
        if phrases is None:
            _invalid("bin_phrases", phrases, f"give a phrase for each of the {len(edges)} bins")
        phrases = _phrases("bin_phrases", phrases, len(edges), "bin")
    upper_edge = rank_values[-1] if upper_edge is None else _number("upper_edge", upper_edge)
    if upper_edge < rank_values[-1]:
        _invalid(
            "upper_edge",
            upper_edge,
            f"below the highest rank, {rank_values[-1]}; it closes the last bin",
        )
    return {"bin_edges": edges, "bin_phrases": phrases, "upper_edge": upper_edge}


def _check_edges(edges: tuple, rank_values: tuple) -> None:
    if len(edges) < 2:
        _invalid("bin_edges", edges, "one bin tells nothing apart; give 2 or more, or leave it out")
    if len(edges) > len(rank_values):
        _invalid("bin_edges", edges, f"{len(edges)} bins for {len(rank_values)} ranks; use fewer")
    if edges[0] > rank_values[0]:
        _invalid(
            "bin_edges",
            edges,
            f"the lowest rank, {rank_values[0]}, has no bin: lower the first edge",
        )
    if edges[-1] > rank_values[-1]:
        _invalid(
            "bin_edges", edges, f"the last bin starts above the highest rank, {rank_values[-1]}"
        )


def _placeholders(given: object) -> dict:
    if not isinstance(given, Mapping):
        _invalid("placeholders", given, 'must be a mapping: {"object": ("stars", "cats")}')
    for name in given:
        if not isinstance(name, str) or not name.isidentifier() or name in ("rank", "template"):
            _invalid(
                "placeholders", given, f"{name!r} cannot name a placeholder; choose another word"
            )
    return {name: _phrases(f"placeholders[{name!r}]", words, None) for name, words in given.items()}


def _templates(field: str, given: object, placeholders: Mapping) -> tuple:
    templates = _sequence(field, given)
    if not templates:
        _invalid(field, given, 'give at least one, such as "a photo of {rank}"')
    for index, template in enumerate(templates):
        here = f"{field}[{index}]"
        _text(here, template)
        try:
            names = placeholder_names(template)
        except ValueError as error:
            _invalid(here, template, f"{error}; placeholders are plain words in braces")
        if "rank" not in names:
            _invalid(here, template, "has no {rank}, so all ranks would have the same prompt")
        for name in sorted(names - {"rank"} - set(placeholders)):
            _invalid(
                here, template, f"unknown placeholder {{{name}}}; give its words in placeholders"
            )
    return templates


def _sequence(field: str, given: object) -> tuple:
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        _invalid(
            field, given, "must be a tuple or list in order; for a single entry write (entry,)"
        )
    return tuple(given)


def _text(field: str, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        _invalid(field, given, "must be a text that is not empty")
    return given


def _number(field: str, given: object) -> float:
    if isinstance(given, bool | np.bool_) or not isinstance(given, Real):
        _invalid(field, given, "must be a number")
    if not math.isfinite(given):
        _invalid(field, given, "must be finite")
    return int(given) if isinstance(given, Integral) else float(given)


def _increasing(field: str, given: tuple) -> tuple:
    numbers = tuple(_number(f"{field}[{index}]", value) for index, value in enumerate(given))
    for low, high in pairwise(numbers):
        if low == high:
            _invalid(field, given, f"holds {high} twice; give each once")
        if low > high:
            _invalid(field, given, f"{high} follows {low}; list them from lowest to highest")
    return numbers


def _phrases(field: str, given: object, count: int | None, of: str = "rank") -> tuple:
    phrases = tuple(
        _text(f"{field}[{index}]", text) for index, text in enumerate(_sequence(field, given))
    )
    if not phrases:
        _invalid(field, given, "is empty; give at least one word")
    seen = set()
    for phrase in phrases:
        if phrase.casefold() in seen:
            _invalid(field, given, f"holds {phrase!r} twice (case does not count); give each once")
        seen.add(phrase.casefold())
    return phrases if count is None else _check_length(field, phrases, count, of)


def _check_length(field: str, given: tuple, count: int, of: str) -> tuple:
    if len(given) != count:
        _invalid(field, given, f"{len(given)} given for {count} {of}s; give one for each {of}")
    return given


def _invalid(field: str, value: object, problem: str) -> None:
    raise ValueError(f"{field} = {_repr.repr(value)}: {problem}")


_MISSING = {"", "nan", "none", "<na>", "nat"}


def levels_by_text(values: tuple, rank_names: tuple, rank_values: np.ndarray) -> dict[str, float]:
    """Level of every rank by its word and its name in lower case; between those, names count."""
    texts = [*rank_names, *map(as_text, values)]
    return {
        normalize_label(text): level
        for text, level in zip(texts, 2 * rank_values.tolist(), strict=True)
    }


def normalize_label(label: object) -> str:
    """A label as text without regard to case and outer spaces."""
    return str(label).strip().casefold()


def parse_label(label: object, known: Mapping[str, float], task: str, named: bool) -> float:
    """Level of a label, whatever stood in the file; between named ranks lies nothing."""
    text = normalize_label(label)
    if label is not None and text in known:
        return known[text]
    if text in _MISSING:
        raise ValueError(f"label {label!r} is missing; fill it in or leave the picture out")
    try:
        number = math.nan if isinstance(label, bool | np.bool_) else float(text)
    except ValueError:
        number = math.nan
    low, high = min(known.values()), max(known.values())
    if named and number not in known.values():
        offer = ", ".join(repr(name) for name in known)
        raise ValueError(f"label {label!r} is no rank of task {task!r}; choose one of {offer}")
    if not low <= number <= high:
        fault = "is no number" if math.isnan(number) else "is outside the ranks"
        raise ValueError(
            f"label {label!r} {fault}; task {task!r} takes {low:g} to {high:g}. If the label is "
            f"right, give the task more values"
        )
    return number
