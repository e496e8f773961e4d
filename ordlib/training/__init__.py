"""Training: fit(), one training loop for all methods."""

from .config import TrainingConfig
from .fit import fit

__all__ = ["TrainingConfig", "fit"]
