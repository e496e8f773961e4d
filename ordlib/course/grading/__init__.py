"""Graded labs: assignments from the notebooks' sources, and grading of what students hand in.

Imports nothing, so that the process that runs a student's code starts fast.
"""
