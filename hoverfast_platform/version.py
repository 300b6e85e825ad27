"""The code's versions, importable from anywhere inside the engine."""

__version__ = "0.1.0"

RESULT_VERSION = 5
"""Raise when the engine finds other nuclei from the same input: old results stop matching."""
