"""The library and the README use the field's words; see the list."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the field calls: image, image or text encoder, validate or raise, prompt template,
# out-of-distribution, checkpoint, baseline, evaluate, positional embedding, frozen.
PRIVATE_WORDS = re.compile(
    r"(?<![a-z])(pictures?|pictured|towers?|told|complain(?:s|ed|t|ts)?|wordings?|strange(?:r|ness)?"
    r"|likeness|unfinished|rivals?|judged?|judges|remembers?|first weights)(?![a-z])",
    re.IGNORECASE,
)
# Files with the text that may hold such a word there, and nothing else.
EXCEPTIONS = {
    "README.md": ["teach CLIP to count, date, age and judge"],
    "ordlib/tasks/ranking_prompts.py": ["Order the pictures by"],
}


def files() -> list[Path]:
    library = [*(ROOT / "ordlib").rglob("*.py"), *(ROOT / "ordlib").rglob("*.html")]
    return [ROOT / "README.md", *(f for f in library if "synthetic" not in f.parts)]


def private_words(text: str, allowed: list[str]) -> list[str]:
    """Return the private words of a text with their line numbers."""
    for phrase in allowed:
        text = text.replace(phrase, "")
    lines = enumerate(text.splitlines(), 1)
    return [f"{n}: {word[0]}" for n, line in lines for word in PRIVATE_WORDS.finditer(line)]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_private_words_do_not_return(path):
    allowed = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), [])
    assert private_words(path.read_text("utf-8"), allowed) == []


@pytest.mark.parametrize(("path", "phrases"), EXCEPTIONS.items())
def test_exceptions_are_needed(path, phrases):
    text = (ROOT / path).read_text("utf-8")
    for phrase in phrases:
        assert phrase in text
        assert private_words(phrase, []) != []


def test_private_words_finds_inflections():
    text = "An image.\nA Picture, told of strangeness.\nfind_pictures, depicture"
    assert private_words(text, []) == ["2: Picture", "2: told", "2: strangeness", "3: pictures"]
