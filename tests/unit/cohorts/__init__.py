"""Learning from cohorts."""
