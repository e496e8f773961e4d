"""Training: one loop for every method, and the commands that train components and tables."""

from .config import TrainingPlan
from .fit import fit

__all__ = ["TrainingPlan", "fit"]
