"""Checks of the course's exercises: one module per notebook, one function per exercise."""

from .result import CheckResult, exercise_check

__all__ = ["CheckResult", "exercise_check"]
