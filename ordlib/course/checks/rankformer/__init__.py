"""Checks of notebook 03."""

from .computed import blend, lora_parameters, pull_and_push
from .experiments import shuffled, sign

__all__ = ["blend", "lora_parameters", "pull_and_push", "shuffled", "sign"]
