"""Checks of the exercises: one module for each notebook, one function for each exercise."""

from .result import Verdict, diagnosing

__all__ = ["Verdict", "diagnosing"]
