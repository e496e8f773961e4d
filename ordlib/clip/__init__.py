"""CLIP access: any transformers checkpoint in, features and tokens of pictures and prompts out."""

from .backbone import ClipBackbone, load_clip

__all__ = ["ClipBackbone", "load_clip"]
