"""From a cohort to a judged student, step by step; composes teachers, training, evaluation.

``plan`` says what a lab wants of a cohort, ``steps`` does it. The Dagster assets call these.
"""
