"""Dagster assets, checks, sensors and jobs: one code location, assembled in ``definitions``."""

import warnings

import dagster as dg

# Used on purpose, within a narrow range of versions: one load of the model per run, checks with
# a verdict per slide, links to the code. Said on every start, it would hide what a person should
# read.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)
warnings.filterwarnings(
    "ignore", ".*(source_code_references|CodeReference|CodeReferencesMeta)", dg.BetaWarning
)
warnings.filterwarnings("ignore", "Specifying a partitions_def on", dg.PreviewWarning)
# Batch sizes differ on purpose, see docs/dagster.md.
warnings.filterwarnings("ignore", "Asset job .* varying BackfillPolicies", UserWarning)
