"""Dagster assets, checks, sensors and jobs: one code location, assembled in ``definitions``."""
