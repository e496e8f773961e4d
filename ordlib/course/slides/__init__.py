"""Slides for a lecture, made from the executed notebooks."""
