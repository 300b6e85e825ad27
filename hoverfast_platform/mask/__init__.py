"""Where on a slide nuclei are looked for, and why not elsewhere: the tissue mask.

Found by the built-in engine, made by an installed HistoQC, or imported (``engines``). Knows
slides; knows nothing of tiles, networks or nuclei.
"""

from hoverfast_platform.mask.tissue_mask import TissueMask

__all__ = ["TissueMask"]
