import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import build_tiny_clip

from ordlib import L2RCLIP, NumCLIP, load_clip
from ordlib.course import notebook
from ordlib.course.runner.build import build

HOME = Path(__file__).parents[2] / "notebooks"


def draw(seed):
    notebook.setup(seed=seed)
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_setup_seeds_all_generators():
    assert draw(3) == draw(3)
    assert all(a != b for a, b in zip(draw(3), draw(4), strict=True))


def test_results_log_saves_to_the_results_folder_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_RESULTS", str(tmp_path / "out"))
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    results = notebook.ResultsLog("demo")
    results["b"], results["a"], results["name"] = np.float32(0.5), np.int64(3), "ridge"
    results.save()
    text = (tmp_path / "out" / "demo.json").read_text()
    assert list(json.loads(text).items()) == [("a", 3), ("b", 0.5), ("name", "ridge")]
    monkeypatch.delenv("ORDLIB_RESULTS")
    results.save()
    assert (tmp_path / "results" / "demo.json").read_text() == text


@pytest.mark.parametrize("value", [[1, 2], float("nan"), np.inf])
def test_results_log_rejects_other_values(value):
    with pytest.raises((TypeError, ValueError), match="mae = "):
        notebook.ResultsLog("demo")["mae"] = value


@pytest.fixture(scope="module")
def random_clip(tmp_path_factory):
    return load_clip(str(build_tiny_clip(tmp_path_factory.mktemp("clip"))), "cpu")


def test_setup_prints_the_device_on_colab(capsys, monkeypatch):
    notebook.setup()
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    notebook.setup()
    assert "for a GPU choose Runtime > Change runtime type" in capsys.readouterr().out


def test_image_counts_encode_at_most_the_limit_on_a_cpu(random_clip, capsys):
    counts = notebook.image_counts(random_clip, "quick", {"train": 2000, "val": 400}, repeats=4)
    assert counts == {"train": 312, "val": 62}
    assert re.match(r"Encoding 1,496 images of 9,600; .* images a second", capsys.readouterr().out)
    fewer = notebook.image_counts(random_clip, "quick", {"train": 512, "val": 200}, limit=300)
    assert fewer == {"train": 215, "val": 84}


def test_image_counts_estimate_the_training(random_clip, capsys, monkeypatch):
    monkeypatch.setattr(notebook, "seconds_per_step", lambda clip, method: 0.5)
    notebook.image_counts(random_clip, "quick", {"train": 130}, method=L2RCLIP, epochs=40)
    assert "Training, 120 steps of L2RCLIP: about 60 s.\n" in capsys.readouterr().out


@pytest.mark.parametrize("method", [NumCLIP, L2RCLIP])
def test_seconds_per_step_trains_a_step(method, random_clip):
    assert 0 < notebook.seconds_per_step(random_clip, method) < 60


def test_image_counts_keep_few_images_and_a_full_budget(random_clip):
    few, many = {"train": 100}, {"train": 2000}
    assert notebook.image_counts(random_clip, "quick", few) == few
    assert notebook.image_counts(random_clip, "full", many) == many


def test_setup_cell_survives_a_folder_of_that_name():
    """On Colab a clone lies in the current folder, and ``import ordlib`` finds that first."""
    setup = build(HOME / "source" / "00_start_here.py").cells[1].source
    assert len(setup.splitlines()) <= 6
    code = "\n".join(line for line in setup.splitlines() if "install ordlib" not in line)
    code = f"import sys, types\nsys.modules['ordlib'] = types.ModuleType('ordlib')\n{code}"
    code += "\nprint(notebook.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ordlib.course.notebook\n", done.stderr
