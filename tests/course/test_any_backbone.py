"""Every notebook runs to its end on a CLIP that nobody trained: a folder with two layers."""

from pathlib import Path

import numpy as np
import pytest
from clips import build_clip
from PIL import Image

from ordlib import load_clip, load_task
from ordlib.course.runner.run import run

HOME = Path(__file__).parents[2] / "notebooks"
WITH_CLIP = [
    pytest.param(path, id=path.stem)
    for path in sorted(HOME.glob("*.ipynb"))
    if "load_clip" in path.read_text("utf-8")
]
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32,
         "intermediate_size": 64}  # fmt: skip
# Executed by each kernel as it starts: a fraction of the images shows whether notebooks run.
FEWER = """
from ordlib.synthetic import load

whole, most = load.render_split, {"train": 520}
def few(name, split, side, size, workers):
    return whole(name, split, side, min(size or 2000, most.get(split, 200)), workers)
load.render_split = few
"""


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest image_size, and pico-clip's tokenizer: a token per letter would be slow."""
    folder, tokenizer = tmp_path_factory.mktemp("clip"), load_clip("pico-clip", "cpu").tokenizer
    vision = SIZES | {"image_size": 64, "patch_size": 16}
    return build_clip(folder, tokenizer, SIZES, vision, width=24)


@pytest.fixture(autouse=True)
def fewer_images(tmp_path, monkeypatch):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "fewer.py").write_text(FEWER)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.slow
def test_notebook_05_compares_methods_on_a_folder_of_a_published_task(random_clip, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "prints"
    folder.mkdir()
    decades, lines = load_task("hci").rank_names, ["path,label,group"]
    for row in range(60):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{decades[row % len(decades)]},photographer {row // 10}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    values = {"backbone": str(random_clip), "task_name": "hci", "folder": str(folder)}
    (outcome,) = run([HOME / "05_which_one_when.ipynb"], tmp_path / "out", values=values)
    assert outcome.failure is None, outcome.failure
    assert outcome.results["live.NumCLIP"] > 0


@pytest.mark.slow
def test_notebook_06_runs_on_a_folder_and_a_table_of_ones_own(random_clip, tmp_path):
    """Another separator and other columns, no groups, no new images, files of two sizes."""
    rng, folder = np.random.default_rng(0), tmp_path / "plants"
    (folder / "images").mkdir(parents=True)
    lines = ["file;leaves"]
    for row in range(90):
        pixels = rng.integers(0, 256, (64, 80 + 16 * (row % 2), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{row}.png")
        lines.append(f"images/{row}.png;{row % 6}")
    (folder / "plants.csv").write_text("\n".join(lines) + "\n")
    values = {"backbone": str(random_clip), "folder": str(folder), "labels": "plants.csv",
              "image_column": "file", "label_column": "leaves", "group": "",
              "save_to": str(tmp_path / "mine")}  # fmt: skip
    (outcome,) = run([HOME / "06_your_own_data.ipynb"], tmp_path / "out", values=values)
    assert outcome.failure is None, outcome.failure
    assert outcome.results["own images"] == 90
    assert (tmp_path / "mine" / "my-component" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_CLIP)
def test_a_notebook_runs_on_a_random_clip(path, random_clip, tmp_path):
    (outcome,) = run([path], tmp_path, values={"backbone": str(random_clip)})
    assert outcome.failure is None, outcome.failure
    assert outcome.results
