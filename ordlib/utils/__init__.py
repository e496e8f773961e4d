"""Helpers of every layer: cache and atomic writes, option errors, device selection."""
