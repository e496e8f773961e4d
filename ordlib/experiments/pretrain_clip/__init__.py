"""Contrastive pretraining of pico-clip on synthetic image-caption pairs.

Imports nothing, so that the worker processes that render and caption need no torch.
"""
