"""Regions that people draw on slides, and what is counted in them.

``reading`` finds and reads them, ``counting`` counts nuclei in them, ``region_table`` writes the
figures of all slides as one table.
"""
