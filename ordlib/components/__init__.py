"""Trained parts by name: those that come with ordlib, and folders of your own."""

from .registry import list_components, load_component

__all__ = ["list_components", "load_component"]
