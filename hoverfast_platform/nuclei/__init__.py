"""Detected nuclei: the table they live in, their polygons and measurements, and who owns them.

Arrays in, arrays out; runs in worker processes, so nothing here may import torch.
"""

from hoverfast_platform.nuclei.nucleus import (
    MEASUREMENTS,
    Measurement,
    Nuclei,
    measurement_columns,
)

__all__ = ["MEASUREMENTS", "Measurement", "Nuclei", "measurement_columns"]
