"""Every notebook runs to its end on a CLIP that nobody trained: a folder with two layers."""

from pathlib import Path

import pytest
from clips import build_clip

from ordlib import load_clip
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
@pytest.mark.parametrize("path", WITH_CLIP)
def test_a_notebook_runs_on_a_random_clip(path, random_clip, tmp_path):
    (outcome,) = run([path], tmp_path, values={"backbone": str(random_clip)})
    assert outcome.failure is None, outcome.failure
    assert outcome.results
