"""Answers of every kind to every exercise: a check never raises and never passes them."""

import contextlib
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ordlib.course.checks import (
    numclip,
    own_data,
    rankformer,
    ranking_adapter,
    start_here,
    vanilla_clip,
    which_one,
)  # fmt: skip
from ordlib.course.grading.assignments import load_assignments
from ordlib.course.grading.run_answers import check_module

MODULES = (numclip, own_data, ranking_adapter, rankformer, start_here, vanilla_clip, which_one)
CHECKS = {
    f"{module.__name__.split('.')[-1]}.{name}": check
    for module in MODULES
    for name, check in vars(module).items()
    if hasattr(check, "__wrapped__") and not name.startswith("_")
}
EVERY = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
TAKES_FUNCTIONS = {
    name: check for name, check in CHECKS.items()
    if "Callable" in str(inspect.signature(check))
}  # fmt: skip


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __eq__ = __hash__ = __repr__


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def generator(*_):
    yield 1


async def coroutine(*_):
    return 1


def endless(*_):
    return endless(*_)


def raising(error):
    def function(*_):
        raise error

    return function


VALUES = [
    "x", b"x", 3, 1.5, float("nan"), np.inf, 10**400, True, (1, "a"), {}, {1, 2}, [], 1j,
    np.float64(1), np.int64(3), np.bool_(True), np.datetime64("2026-01-01"), np.array(["a", "b"]),
    np.array([None, 1]), np.ma.masked_array([1, 2], mask=[1, 0]), torch.empty(0),
    torch.empty(3, device="meta"), torch.ones(3, dtype=torch.complex64), torch.ones(3).half(),
    torch.eye(3).to_sparse(), torch.ones(3) * 1e38, Unprintable(), int, (i for i in ()),
]  # fmt: skip
ERRORS = [SystemExit(1), GeneratorExit(), StopIteration(), MemoryError(), UnprintableError()]


def answer(check, value):
    with warnings.catch_warnings(action="ignore"):
        result = check(*[value] * len(inspect.signature(check).parameters))
    assert result.state in ("not yet", "not tried yet")
    assert result.message.strip()
    assert result._repr_html_()
    return result.message


@EVERY
def test_values_are_no_right_answers(check):
    for value in VALUES:
        message = answer(check, value)
        if check in TAKES_FUNCTIONS.values() and not isinstance(value, type):
            assert f"you pass a {type(value).__name__}, not a function: write its name" in message


@EVERY
def test_functions_that_return_such_values(check):
    for value in VALUES:
        answer(check, lambda *_, value=value: value)


@pytest.mark.parametrize("check", TAKES_FUNCTIONS.values(), ids=TAKES_FUNCTIONS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exceptions_of_every_kind_are_messages(check, error):
    assert f"raised {type(error).__name__}" in answer(check, raising(error))


@pytest.mark.parametrize("check", TAKES_FUNCTIONS.values(), ids=TAKES_FUNCTIONS)
def test_functions_of_another_kind_are_named(check):
    for function in (generator, coroutine):
        assert "does not run: write def and return" in answer(check, function)
    for function in (lambda: 1, lambda *, x: 1):
        assert "positional argument" in answer(check, function)
    assert "RecursionError" in answer(check, endless)


@pytest.mark.parametrize("check", TAKES_FUNCTIONS.values(), ids=TAKES_FUNCTIONS)
def test_an_interruption_is_not_swallowed(check):
    with pytest.raises(KeyboardInterrupt):
        answer(check, raising(KeyboardInterrupt()))


@contextlib.contextmanager
def float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "float64": float64,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "meta device": lambda: torch.device("meta"), "numpy raises": lambda: np.errstate(all="raise"),
}  # fmt: skip
# Exercises that need no images.
ASSIGNMENTS = ("02_numclip", "03_rankformer", "04_ranking_adapter")


@pytest.fixture(scope="module")
def solutions():
    """Namespace and check call of each exercise that has a function as its answer."""
    found = {}
    for assignment in load_assignments(Path(__file__).parents[3] / "notebooks" / "source"):
        if assignment.name not in ASSIGNMENTS:
            continue
        module = next(m for m in MODULES if m.__name__.endswith(check_module(assignment.preamble)))
        for exercise in assignment.exercises:
            space = {"__name__": "__main__"}
            for code in (*assignment.preamble, exercise.solution):
                exec(code, space)
            found[exercise.id] = space | {"check": module}, exercise.check
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_right_answers_pass_in_every_mode_of_torch(solutions, mode):
    for name, (space, call) in solutions.items():
        with mode(), warnings.catch_warnings(action="ignore"):
            result = eval(call, space)
        assert result.state == "passed", f"{name}: {result}"
