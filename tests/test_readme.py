"""The README's example with own images, executed as written, with its commands."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import run
from PIL import Image

# Four trainings of the default length.
pytestmark = pytest.mark.slow
README = Path(__file__).parents[1] / "README.md"
# As the README's ranks stand on the number line; no slice is brown.
SLICES = {"white": 0, "pale": 1, "golden": 3, "burnt": 7}
LOAVES = 10


def section() -> str:
    return README.read_text(encoding="utf-8").partition("### Your own images and ranks")[2]


def example() -> str:
    """Return the first code block of the README's section."""
    return re.search(r"```python\n(.*?)```", section(), re.S)[1]


def commands() -> list[str]:
    """Return the first block of commands of the section."""
    block = re.search(r"\n\n((?:    .*\n)+)", section().partition("```\n")[2])[1]
    return [line.strip() for line in block.replace("\\\n", "").splitlines()]


def make_images(folder: Path) -> None:
    """Draw squares that grow with the rank, a slice of each kind from every loaf, and a table."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = ["path,minutes,loaf"]
    for loaf in range(LOAVES):
        for name, minutes in SLICES.items():
            image = rng.integers(200, 256, (64, 64, 3), dtype=np.uint8)
            side, (top, left) = 6 + 6 * minutes, rng.integers(0, 12, 2)
            image[top : top + side, left : left + side] = (120, 60, 20)
            path = f"{loaf}-{name}.png"
            Image.fromarray(image).save(folder / path)
            # A name or a number, as in the README.
            rows.append(f"{path},{name if loaf % 2 else minutes},loaf {loaf}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The variables of the example after it ran."""
    folder = tmp_path_factory.mktemp("toast")
    make_images(folder / "slices")
    make_images(folder / "breakfast")
    (folder / "breakfast" / "labels.csv").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ORDLIB_CACHE", str(folder / "cache"))
        names = {}
        exec(compile(example(), README.name, "exec"), names)
        yield names


def test_load_folder_reads_table_with_missing_rank(variables):
    data = variables["data"]
    assert {name: len(part) for name, part in data.items()} == {"train": 24, "val": 8, "test": 8}
    for part in data.values():
        assert sorted(set(part.values)) == sorted(SLICES.values())
    groups = [set(part.groups) for part in data.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == LOAVES


def test_fit_beats_constant_prediction(variables):
    model, test = variables["model"], variables["data"]["test"]
    assert variables["history"]["loss"].iloc[-1] < variables["history"]["loss"].iloc[0]
    median = np.median(variables["data"]["train"].values)
    baseline_mae = np.abs(test.values - median).mean()
    result = variables["evaluate"](model, test)
    assert result.metrics["mae"] < baseline_mae / 2
    assert result.metrics["spearman"] > 0.7


def test_load_component_predicts_as_before(variables):
    loaded = variables["load_component"]("toast-numclip", variables["model"].clip)
    assert loaded.task == variables["toast"]
    assert loaded.options == variables["model"].options
    test = variables["data"]["test"]
    found, expected = loaded.predict(test), variables["model"].predict(test)
    assert np.array_equal(found.value, expected.value)
    assert np.array_equal(found.label, expected.label)
    assert set(found.label) <= {0.0, 1.0, 3.0, 4.0, 7.0}
    assert sum(path.stat().st_size for path in Path("toast-numclip").iterdir()) < 100_000


def test_cross_validation_and_prediction_of_a_folder(variables):
    table = variables["predictions"].table
    assert len(table) == LOAVES * len(SLICES)
    truth = [SLICES[Path(path).stem.partition("-")[2]] for path in table["path"]]
    assert np.corrcoef(table["value"], truth)[0, 1] > 0.7
    # Eight validation images are too few to calibrate on, as the README says.
    assert table[["low", "high"]].isna().all(axis=None)
    assert "No intervals" in " ".join(variables["predictions"].notes)
    assert table["ood_score"].notna().all()
    assert Path("breakfast.html").stat().st_size > 10_000


def test_commands(variables):
    lines = commands()
    assert [line.split()[1] for line in lines] == ["train", "evaluate", "predict"]
    for line in lines:
        run(*shlex.split(line)[1:])
    component, report = Path("build/mine/toast"), Path("build/mine/report")
    assert variables["load_component"](component).card["num_groups"] == LOAVES
    metrics = pd.read_csv(report / "metrics.csv", index_col="metric")
    assert metrics.loc["spearman", "estimate"] > 0.7
    assert "Learning curve" in (report / "report.html").read_text("utf-8")
