"""Pictures with labels: what every method learns from, and folders of your own."""

from .dataset import ImageData
from .folder import load_folder

__all__ = ["ImageData", "load_folder"]
