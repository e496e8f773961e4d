"""Every notebook runs to its end on a CLIP that nobody trained: a folder with two layers."""

from pathlib import Path

import pytest
from clips import build_clip

from ordlib import load_clip
from ordlib.course.runner.run import run

HOME = Path(__file__).parents[2] / "notebooks"
# Notebook 00 has no CLIP in it.
PATHS = sorted(HOME.glob("*.ipynb"))
WITH_CLIP = [path for path in PATHS if "load_clip" in path.read_text("utf-8")]
# The one that takes least time stands for all in `make test`.
QUICKEST = "02_numclip"
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
# Executed by each kernel as it starts: what notebooks say about numbers is tested elsewhere, and
# a fraction of the pictures will do to see whether they run.
FEWER = """
from ordlib.synthetic import load

whole, most = load.render_split, {"train": 520}
def few(name, split, side, size, workers):
    return whole(name, split, side, min(size or 2000, most.get(split, 200)), workers)
load.render_split = few
"""


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest pictures that the world renders, which takes least time.

    It has pico-clip's tokenizer: with a token for each letter prompts would be long and slow.
    """
    text = {"hidden_size": 32, "intermediate_size": 64, **LAYERS}
    vision = {"hidden_size": 32, "intermediate_size": 64, "image_size": 64, "patch_size": 16}
    folder = tmp_path_factory.mktemp("random-clip")
    tokenizer = load_clip("pico-clip", "cpu").tokenizer
    return build_clip(folder, tokenizer, text, vision | LAYERS, width=24)


@pytest.fixture(autouse=True)
def fewer_pictures(tmp_path, monkeypatch):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "fewer.py").write_text(FEWER)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem != QUICKEST))
        for path in WITH_CLIP
    ],
)
def test_a_notebook_runs_on_a_random_clip(path, random_clip, tmp_path):
    (outcome,) = run([path], tmp_path, values={"backbone": str(random_clip)})
    assert outcome.failure is None, outcome.failure
    assert outcome.results
