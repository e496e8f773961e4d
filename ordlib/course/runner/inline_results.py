"""Numbers that prose quotes: ``0.42<!--=mae-->``, computed by the notebook, never typed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

QUOTE = re.compile(
    r"(?P<number>[-−]?(?:\d[\d,]*)?\.?\d+)(?P<percent>\s?%)?<!--=(?P<key>[^<>]+?)-->"
    r"(?P<after>\s?%)?"
)
MARKER = re.compile(r"<!--=\s*(?P<key>[^>]*?)\s*-->")


def load_results(path: str | Path) -> dict[str, float]:
    """Read the numbers that a notebook saved in ``results/NAME.json``, one flat table.

    Results that are text are left out, and a missing file holds none.
    """
    path = Path(path)
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {key: value for key, value in results.items() if not isinstance(value, str)}


def refresh(text: str, results: Mapping[str, float]) -> str:
    """Print every number that a text quotes anew, in the style in which it stands.

    The number of decimals, thousands commas, a leading ``.42`` without its zero and a
    percent sign (results are fractions) are kept. Quotes of unknown names stay.

    Example:
        >>> refresh("MAE 9.99<!--=mae-->, 7 %<!--=accuracy-->", {"mae": 1.234, "accuracy": 0.5})
        'MAE 1.23<!--=mae-->, 50 %<!--=accuracy-->'
    """

    def printed(match: re.Match) -> str:
        key = match["key"]
        if key not in results:
            return match[0]
        scale = 100 if match["percent"] or match["after"] else 1
        number = _like(match["number"], results[key] * scale)
        return f"{number}{match['percent'] or ''}<!--={key}-->{match['after'] or ''}"

    return QUOTE.sub(printed, text)


def _like(pattern: str, value: float) -> str:
    decimals = len(pattern.partition(".")[2])
    shown = f"{value:{',' if ',' in pattern else ''}.{decimals}f}"
    if float(shown.replace(",", "")) == 0:
        shown = shown.removeprefix("-")
    if pattern.lstrip("-−").startswith("."):
        shown = re.sub(r"^(-?)0\.", r"\1.", shown)
    return shown.replace("-", "−") if "−" in pattern else shown


def unknown(text: str, results: Mapping[str, float]) -> list[str]:
    """Say which quotes cannot be kept up to date, and what to do about each.

    Those are quotes whose name is not in the results, or which have no number right before them.

    Example:
        >>> unknown("about 0.42 <!--=mae-->", {"mae": 0.42})
        ["'<!--=mae-->' has no number right before it: write 0.42<!--=mae-->"]
    """
    quotes = {match["key"] for match in QUOTE.finditer(text)}
    messages = []
    for match in MARKER.finditer(text):
        key = match["key"]
        if key not in results:
            there = ", ".join(results) or "none"
            messages.append(f"no result is named {key!r}: save it, or quote one of {there}")
        elif key not in quotes or not re.search(r"[\d%]$", text[: match.start()]):
            messages.append(f"{match[0]!r} has no number right before it: write 0.42{match[0]}")
    return messages
