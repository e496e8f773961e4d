"""Inline results in Markdown, ``0.42<!--=mae-->``, kept in sync with a notebook's results."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

INLINE_RESULT = re.compile(
    r"(?P<number>[-−]?(?:\d[\d,]*)?\.?\d+)(?P<percent>\s?%)?<!--=(?P<key>[^<>]+?)-->"
    r"(?P<after>\s?%)?"
)
MARKER = re.compile(r"<!--=\s*(?P<key>[^>]*?)\s*-->")


def load_notebook_results(path: str | Path) -> dict[str, float]:
    """Load the numbers of ``results/NAME.json``; text is left out, a missing file is empty.

    Raises:
        ValueError: no JSON object of finite numbers and text; the message names the file.
    """
    path = Path(path)
    try:
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: invalid JSON ({error}); run the notebook again") from error
    if not isinstance(results, dict):
        raise ValueError(f"{path}: must be a JSON object of numbers and text; see ResultsLog")
    numbers = {key: value for key, value in results.items() if not isinstance(value, str)}
    for key, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{path}, {key!r}: {value!r} is no finite number and no text")
    return numbers


def update_inline_results(text: str, results: Mapping[str, float]) -> str:
    """Replace the numbers of inline results, keeping their format.

    Decimals, thousands separators, a leading ``.42`` without zero, and a percent sign (results
    are fractions) are kept. Inline results with an unknown key are left unchanged.

    Example:
        >>> text = "MAE 9.99<!--=mae-->, 7 %<!--=accuracy-->"
        >>> update_inline_results(text, {"mae": 1.234, "accuracy": 0.5})
        'MAE 1.23<!--=mae-->, 50 %<!--=accuracy-->'
    """

    def updated(match: re.Match) -> str:
        key = match["key"]
        if key not in results:
            return match[0]
        scale = 100 if match["percent"] or match["after"] else 1
        number = _format_like(match["number"], results[key] * scale)
        return f"{number}{match['percent'] or ''}<!--={key}-->{match['after'] or ''}"

    return INLINE_RESULT.sub(updated, text)


def _format_like(pattern: str, value: float) -> str:
    decimals = len(pattern.partition(".")[2])
    text = f"{value:{',' if ',' in pattern else ''}.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    if pattern.lstrip("-−").startswith("."):
        text = re.sub(r"^(-?)0\.", r"\1.", text)
    return text.replace("-", "−") if "−" in pattern else text


def check_inline_results(text: str, results: Mapping[str, float]) -> list[str]:
    """Return a message for each inline result with an unknown key or without a number.

    Example:
        >>> check_inline_results("about 0.42 <!--=mae-->", {"mae": 0.42})
        ["'<!--=mae-->' has no number right before it: write 0.42<!--=mae-->"]
    """
    keys = {match["key"] for match in INLINE_RESULT.finditer(text)}
    messages = []
    for match in MARKER.finditer(text):
        key = match["key"]
        if key not in results:
            available = ", ".join(results) or "none"
            messages.append(f"no result is named {key!r}: save it, or quote one of {available}")
        elif key not in keys or not re.search(r"[\d%]$", text[: match.start()]):
            messages.append(f"{match[0]!r} has no number right before it: write 0.42{match[0]}")
    return messages
