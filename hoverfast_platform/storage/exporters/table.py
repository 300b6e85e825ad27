"""All exporters: what the command, the use case and ``docs/results.md`` go by."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import write_text
from hoverfast_platform.storage.exporters import (
    annotated_data,
    coco,
    conic,
    csv_table,
    dicom,
    labels,
    parquet,
    qupath,
    ranger,
    spatial_data,
)
from hoverfast_platform.storage.exporters.exporter import Exporter

EXPORTERS: tuple[Exporter, ...] = (
    qupath.EXPORTER,
    qupath.ZIP_EXPORTER,
    parquet.EXPORTER,
    csv_table.EXPORTER,
    labels.EXPORTER,
    labels.TIFF_EXPORTER,
    conic.EXPORTER,
    coco.EXPORTER,
    annotated_data.EXPORTER,
    spatial_data.EXPORTER,
    dicom.EXPORTER,
    ranger.SPACE_RANGER_EXPORTER,
    ranger.XENIUM_EXPORTER,
)


def exporter_for(file_name: str, name: str = "") -> Exporter:
    """The exporter of that name, else the one of the file's ending.

    Raises:
        SettingsError: Listing the names or endings that are known.
    """
    if name:
        found = [one for one in EXPORTERS if one.name == name]
        if not found:
            known = ", ".join(one.name for one in EXPORTERS)
            raise SettingsError(f"There is no form {name!r}.", f"Known are {known}.")
        return found[0]
    endings = {ending: one for one in EXPORTERS for ending in one.extensions}
    fitting = [ending for ending in endings if file_name.endswith(ending)]
    if not fitting:
        known = ", ".join(one.extensions[0] for one in EXPORTERS)
        raise SettingsError(f"{file_name} has no known suffix.", f"Known are {known}; or use --to.")
    return endings[max(fitting, key=len)]


def listing() -> str:
    """One line for each exporter, for the command line."""
    width = max(len(one.name) for one in EXPORTERS)
    return "\n".join(
        f"{one.name:{width}}  {one.extensions[0]:21} {one.what}"
        + (f" (needs {one.needs_text})" if one.needs_text else "")
        for one in EXPORTERS
    )


def reference_table() -> str:
    """The table of ``docs/results.md``."""
    rows = [
        f"| `{one.name}` | {', '.join(f'`{ending}`' for ending in one.extensions)} | {one.what} | "
        f"{one.opens_in} | {one.needs_text or 'nothing'} | {'yes' if one.streams else 'no'} |"
        for one in EXPORTERS
    ]
    head = "| `--to` | ending | what | opens in | needs | written block by block |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def with_reference_table(page: str) -> str:
    """A page whose table of exporters, between two comments, is that of this module."""
    return re.sub(
        r"(<!-- exporters: [^\n]*-->\n).*?(<!-- end of exporters -->)",
        lambda found: f"{found[1]}\n{reference_table()}\n\n{found[2]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), with_reference_table(Path(sys.argv[1]).read_text("utf-8")))
