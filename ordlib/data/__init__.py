"""Labelled images: `ImageData`, and loading of image folders."""

from .dataset import ImageData
from .folder import load_folder

__all__ = ["ImageData", "load_folder"]
