"""Synthetic H&E slides whose nuclei are known: for demos, tests and benchmarks."""

from hoverfast_platform.synthetic.slide import SyntheticTruth, write_synthetic_slide

__all__ = ["SyntheticTruth", "write_synthetic_slide"]
