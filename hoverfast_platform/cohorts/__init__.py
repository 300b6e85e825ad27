"""Cohorts: what a lab wants of one, which slides it has now, and whether it changed.

What is done with a cohort is in ``hoverfast_platform.use_cases.learn``.
"""
