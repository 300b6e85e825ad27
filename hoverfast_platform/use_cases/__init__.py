"""Whole tasks, each once: what a person asks for, done and recorded. Every door calls these.

Work on many items yields one outcome per item: a failed slide never stops the others. Nothing here
prints, and nothing here knows Dagster.
"""
