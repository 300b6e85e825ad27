"""What people corrected in the viewer or in QuPath, as an asset that `cohort` learns from."""

from __future__ import annotations

import dagster as dg

from hoverfast_platform.assets.data_versions import DATA_VERSION
from hoverfast_platform.assets.names import Names
from hoverfast_platform.errors import LabelError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.teachers.correction_files import CorrectionFile, find_corrections


def corrections_spec(names: Names) -> dg.AssetSpec:
    """The asset `corrections` of a pipeline; nothing runs to make it."""
    return dg.AssetSpec(
        names.key("corrections"),
        group_name=names.word("learning"),
        kinds={"json"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        description="Nuclei that people corrected, and the regions they looked at.\n\n"
        "**Where it is.** `corrections/` in the artefact folder: one file per slide and result, "
        "written by the viewer at every correction; exports of QuPath, called after the slide, lie "
        "beside them.\n\n"
        "**What follows.** A cohort whose plan names this folder (docs/viewer.md) learns from the "
        "regions once nothing more was corrected for the quiet time.",
    )


def corrections_made(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, *, names: Names = Names()
) -> dg.SensorResult | dg.SkipReason:
    """Tells every 30 s what was corrected since: the asset `corrections` gets a new version.

    Nothing is run. A file that cannot be read is named in the tick.
    """
    try:
        files = find_corrections(store.learning().corrections)
    except LabelError as error:
        return dg.SkipReason(str(error))
    version = text_sha256(" ".join(f"{f.path.name} {slide_digest(f.path)}" for f in files))
    if not files or version == context.cursor:
        return dg.SkipReason(f"{len(files)} files, none changed")
    event = dg.AssetMaterialization(
        names.key("corrections"),
        metadata={
            "files": _table(files),
            "n_files": len(files),
            "n_regions": sum(f.n_regions or 0 for f in files),
            "folder": dg.MetadataValue.path(str(files[0].path.parent)),
        },
        tags={DATA_VERSION: version},
    )
    return dg.SensorResult(asset_events=[event], cursor=version)


def _table(files: tuple[CorrectionFile, ...]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "file": f.path.name,
                "source": f.source,
                "reviewed_by": ", ".join(f.reviewed_by),
                "regions": "" if f.n_regions is None else str(f.n_regions),
            }
        )
        for f in files
    ]
    names = ("file", "source", "reviewed_by", "regions")
    return dg.MetadataValue.table(
        records=records, schema=dg.TableSchema([dg.TableColumn(name) for name in names])
    )
