"""One slide is one partition; its key is the catalogue's key of the slide."""

import dagster as dg

slides = dg.DynamicPartitionsDefinition(name="slides")

cohorts = dg.DynamicPartitionsDefinition(name="cohorts")
"""One cohort is one partition; its key is the name of its plan."""
