"""Training: one loop for every method, and the commands that train components and tables."""

from .config import TrainingConfig
from .fit import fit

__all__ = ["TrainingConfig", "fit"]
