"""Training: one loop for every method, and the commands that train components and tables."""

from .fitting import fit
from .plan import TrainingPlan

__all__ = ["TrainingPlan", "fit"]
