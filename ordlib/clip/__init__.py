"""CLIP: frozen backbone, checkpoints, preprocessing and cached features."""

from .backbone import ClipBackbone
from .load import load_clip

__all__ = ["ClipBackbone", "load_clip"]
