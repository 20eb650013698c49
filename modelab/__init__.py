"""Measure, explain and cure the modes a generator loses: the library that the chapters in nbs/ export."""

__version__ = "0.1.0"
