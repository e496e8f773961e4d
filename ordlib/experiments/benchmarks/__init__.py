"""Benchmarks against slower reference implementations, run by `make bench`."""
