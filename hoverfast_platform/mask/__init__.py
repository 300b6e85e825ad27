"""Where on a slide nuclei are looked for: the tissue mask, built in or imported.

Knows slides; knows nothing of tiles, networks or nuclei.
"""

from hoverfast_platform.mask.tissue_mask import TissueMask

__all__ = ["TissueMask"]
