"""The tissue mask that lies beside a result, held against what the result says of it."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.mask_file import read_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.publish import MASK

_ENDINGS = (".parquet", ".geojson.gz", ".json.gz", ".geojson", ".json", ".geojson.zip")


def mask_of_result(file: Path, provenance: Provenance) -> tuple[TissueMask | None, tuple[str, ...]]:
    """The mask in which a result's nuclei were looked for; without it, a note that says so.

    Args:
        file: The result's table or GeoJSON.
        provenance: What it was made from.

    Raises:
        MaskError: If the mask beside it is another one.
    """
    ending = next(one for one in _ENDINGS if file.name.endswith(one))
    path = file.with_name(file.name.removesuffix(ending) + MASK)
    if not path.is_file():
        return None, (f"{path.name} is not there: where the tissue ends is unknown",)
    mask = read_mask(path)
    wanted = provenance.mask.sha256 if provenance.mask is not None else ""
    if mask is None or mask.digest() != wanted:
        raise MaskError(
            f"{path.name} is not the mask in which the nuclei beside it were looked for.",
            "It was replaced, or belongs to another result; segment the slide again.",
        )
    return mask, ()
