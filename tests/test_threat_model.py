"""docs/threat_model.md names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "threat_model.md").read_text("utf-8")
SOURCES = {path.name: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")][2:]
NAMES = sorted({name for row in ROWS for name in re.findall(r"`(test_\w+(?:\.py)?)`", row)})


@pytest.mark.parametrize("name", NAMES)
def test_named_tests_exist(name):
    if name.endswith(".py"):
        assert name in SOURCES
    else:
        assert any(re.search(rf"def {name}\(", source) for source in SOURCES.values())


@pytest.mark.parametrize("row", ROWS)
def test_every_promise_names_a_test(row):
    _, _, promise, tests, _ = row.split("|")
    assert promise.strip()
    named = "`test_" in tests or tests.strip().startswith("the same")
    assert named
    # Cases in parentheses are ids of parametrized tests.
    for case in re.findall(r'"([^"]+)"', tests):
        assert any(case.partition(" = ")[0].split(" ")[0] in source for source in SOURCES.values())
