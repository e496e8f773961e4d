"""Pictures with labels: the rendered world's splits, and folders of your own."""

from .dataset import ImageData
from .folder import load_folder
from .rendered import load_data

__all__ = ["ImageData", "load_data", "load_folder"]
