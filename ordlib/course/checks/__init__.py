"""Checks of the exercises: one module for each notebook, one function for each exercise."""

from .result import CheckResult, exercise_check

__all__ = ["CheckResult", "exercise_check"]
