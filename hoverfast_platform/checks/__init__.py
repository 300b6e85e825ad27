"""Whether a slide's mask and nuclei are plausible: one table of checks, and their thresholds.

Nothing is repaired or held back here: a finding tells a person where to look.
"""
