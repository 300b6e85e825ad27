"""Files out: resumable blocks, QuPath GeoJSON, the nuclei table, pictures, the summary.

Knows nuclei, not how they were found.
"""
