"""Which engine makes the mask of a slide, by settings."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.config import MaskSettings
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import read_settings_file_if_any
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.held_against_slide import hold_against_slide, load_mask_held
from hoverfast_platform.mask.histoqc import run_histoqc
from hoverfast_platform.mask.imported import find_mask_file
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideReader


def read_mask_settings(path: Path) -> MaskSettings:
    """The settings in a file, or the default ones where there is no file.

    Raises:
        SettingsError: If it is wrong; every wrong field is named.
    """
    return read_settings_file_if_any(path, MaskSettings, what="a file of mask settings")


def make_mask(
    path: Path, reader: SlideReader, settings: MaskSettings, *, slide_sha256: str = ""
) -> TissueMask:
    """The mask of a slide by the engine of the settings.

    Args:
        path: The slide's file.
        reader: The slide, open.
        settings: Engine and its settings.
        slide_sha256: The slide's digest, to recognise an imported mask of other content.

    Raises:
        SettingsError: If the engine cannot be used: HistoQC, its configuration or the folder of
            masks is missing.
        MaskError: If the engine failed on this slide, or its mask does not fit.
        ComputeError: If HistoQC ran out of time or memory.
    """
    if settings.engine == "histoqc":
        made = run_histoqc(path, reader.info, settings.histoqc)
        return hold_against_slide(made, reader, settings.imported, name="HistoQC's mask")
    if settings.engine == "import":
        source = Path(settings.import_from)
        if not settings.import_from or not source.exists():
            raise SettingsError(
                f"There is no folder or table of masks at {settings.import_from!r}.",
                "The import engine needs import_from: a folder of masks, HistoQC's output "
                "folder, or a table with the columns slide and mask.",
            )
        mask_path = find_mask_file(source, path)
        return load_mask_held(mask_path, reader, settings.imported, slide_sha256=slide_sha256)
    return find_tissue(reader, settings.builtin)
