"""Dagster resources: what assets are given. Wiring only; logic lives in the engine."""
