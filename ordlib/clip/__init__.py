"""CLIP: frozen backbone, checkpoints, preprocessing and cached features."""

from .backbone import ClipBackbone, load_clip

__all__ = ["ClipBackbone", "load_clip"]
