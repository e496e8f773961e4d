"""The README's passage on pictures of one's own, run as it is written."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
# As the README's ranks stand on the number line; no slice is brown.
SLICES = {"white": 0, "pale": 1, "golden": 3, "burnt": 7}
LOAVES = 10


def passage() -> str:
    """The first block of code of the README's section."""
    section = README.read_text(encoding="utf-8").partition("### Your own pictures and ranks")[2]
    return re.search(r"```python\n(.*?)```", section, re.S)[1]


def bake(folder: Path) -> None:
    """Draw squares that grow with the rank, a slice of each kind from every loaf, and a table."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = ["path,minutes,loaf"]
    for loaf in range(LOAVES):
        for name, minutes in SLICES.items():
            picture = rng.integers(200, 256, (64, 64, 3), dtype=np.uint8)
            side, (top, left) = 6 + 6 * minutes, rng.integers(0, 12, 2)
            picture[top : top + side, left : left + side] = (120, 60, 20)
            path = f"{loaf}-{name}.png"
            Image.fromarray(picture).save(folder / path)
            # A name or a number, as the README says.
            rows.append(f"{path},{name if loaf % 2 else minutes},loaf {loaf}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """What the passage's names hold after it ran, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("kitchen")
    bake(folder / "slices")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ORDLIB_CACHE", str(folder / "cache"))
        names = {}
        exec(compile(passage(), README.name, "exec"), names)
        yield names


def test_the_table_is_read_with_a_rank_missing(kitchen):
    data = kitchen["data"]
    assert {name: len(part) for name, part in data.items()} == {"train": 24, "val": 8, "test": 8}
    for part in data.values():
        assert sorted(set(part.values)) == sorted(SLICES.values())
    homes = [set(part.groups) for part in data.values()]
    assert sum(map(len, homes)) == len(set.union(*homes)) == LOAVES


def test_it_learns_the_squares(kitchen):
    model, test = kitchen["model"], kitchen["data"]["test"]
    assert kitchen["history"]["loss"].iloc[-1] < kitchen["history"]["loss"].iloc[0]
    middle = np.median(kitchen["data"]["train"].values)
    guess = np.abs(test.values - middle).mean()
    result = kitchen["evaluate"](model, test)
    assert result.metrics["mae"] < guess / 2
    assert result.metrics["spearman"] > 0.7


def test_what_was_kept_predicts_the_same(kitchen):
    loaded = kitchen["load_component"]("toast-numclip", kitchen["model"].clip)
    assert loaded.task == kitchen["toast"]
    assert loaded.options == kitchen["model"].options
    test = kitchen["data"]["test"]
    found, expected = loaded.predict(test), kitchen["model"].predict(test)
    assert np.array_equal(found.value, expected.value)
    assert np.array_equal(found.label, expected.label)
    assert set(found.label) <= {0.0, 1.0, 3.0, 4.0, 7.0}
    assert sum(path.stat().st_size for path in Path("toast-numclip").iterdir()) < 100_000
