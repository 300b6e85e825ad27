"""Cells around nuclei, by bounded expansion, and what is measured in their compartments.

``growth`` grows nuclei on a grid of pixels, ``expansion`` does so for a slide piece by piece,
``compartments`` measures, ``cell_files`` writes for QuPath and as a table.
"""
