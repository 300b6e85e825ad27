"""Results in the forms of other tools: one file per form, and ``table`` lists them all.

To add a form, write its file beside these and name its ``EXPORTER`` in ``table``.
"""
