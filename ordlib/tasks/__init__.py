"""Ordinal tasks: definition, validation and built-in tasks."""

from ..metrics.prediction import Prediction
from .builtin import load_task
from .ordinal_task import OrdinalTask

__all__ = ["OrdinalTask", "Prediction", "load_task"]
