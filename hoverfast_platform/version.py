"""The code's version, importable from anywhere inside the engine."""

__version__ = "0.1.0"
