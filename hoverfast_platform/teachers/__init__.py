"""What labels a training set: a slow network, our own students, people, or plain thresholds.

One interface, :class:`.teacher.Teacher`; ``labelling`` runs one over a cohort.
"""
