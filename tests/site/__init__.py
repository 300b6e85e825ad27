"""Tests of the site: its pages are complete, and its tutorials run."""
