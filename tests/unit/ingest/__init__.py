"""Slides arriving in folders."""
