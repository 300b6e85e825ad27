"""Slide or image to nuclei: the one place where all engine steps meet.

Empty on purpose: worker processes import ``inference.workers`` and must stay light.
"""
