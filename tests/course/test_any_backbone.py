"""Every notebook runs to its end on a CLIP that nobody trained: a folder with two layers."""

from pathlib import Path

import pytest
from clips import build_clip

from ordlib import load_clip
from ordlib.course.running import run

HOME = Path(__file__).parents[2] / "notebooks"
# Notebook 00 has no CLIP in it.
PATHS = sorted(HOME.glob("*.ipynb"))
WITH_CLIP = [path for path in PATHS if "load_clip" in path.read_text("utf-8")]
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As large as pico-clip's pictures, so that the course's own renderings serve.

    It has pico-clip's tokenizer, too: with a token for each letter prompts would be long and slow.
    """
    text = {"hidden_size": 32, "intermediate_size": 64, **LAYERS}
    vision = {"hidden_size": 32, "intermediate_size": 64, "image_size": 96, "patch_size": 24}
    folder = tmp_path_factory.mktemp("random-clip")
    tokenizer = load_clip("pico-clip", "cpu").tokenizer
    return build_clip(folder, tokenizer, text, vision | LAYERS, width=24)


@pytest.mark.parametrize("path", WITH_CLIP, ids=lambda path: path.stem)
def test_a_notebook_runs_on_a_random_clip(path, random_clip, tmp_path):
    (outcome,) = run([path], tmp_path, values={"backbone": str(random_clip)})
    assert outcome.failure is None, outcome.failure
    assert outcome.results
