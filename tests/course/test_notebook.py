import json
import random

import numpy as np
import pytest
import torch

from ordlib.course import notebook


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
