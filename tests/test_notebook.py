import json
import random

import numpy as np
import pytest
import torch

from ordlib.course import notebook


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_start_seeds_everything():
    notebook.start(seed=3)
    first = draws()
    notebook.start(seed=3)
    assert draws() == first
    notebook.start(seed=4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_unknown_budget_fails_at_the_top():
    with pytest.raises(ValueError, match="'slow'"):
        notebook.start(budget="slow")


def test_results_go_where_the_course_says(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_RESULTS", str(tmp_path / "out"))
    results = notebook.Results("demo")
    results["b"], results["a"], results["name"] = np.float32(0.5), np.int64(3), "ridge"
    results.save()
    text = (tmp_path / "out" / "demo.json").read_text()
    assert json.loads(text) == {"a": 3, "b": 0.5, "name": "ridge"}
    assert text.index('"a"') < text.index('"b"')


def test_results_default_to_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ORDLIB_RESULTS", raising=False)
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    notebook.Results("demo").save()
    assert (tmp_path / "results" / "demo.json").exists()


def test_results_refuse_what_is_no_number():
    with pytest.raises(TypeError, match="'curve' is a list"):
        notebook.Results("demo")["curve"] = [1, 2]


@pytest.mark.parametrize("number", [float("nan"), np.inf])
def test_results_refuse_what_has_no_value(number):
    with pytest.raises(ValueError, match="'mae' is"):
        notebook.Results("demo")["mae"] = number
