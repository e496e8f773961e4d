"""Pretrained components: those bundled with ordlib, and local folders."""

from .registry import list_components, load_component

__all__ = ["list_components", "load_component"]
