"""The ``slide_inventory`` asset: what lies in the watched folders, and what is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from hoverfast_platform.assets.jobs import NIGHTLY_FRESHNESS
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.partitions import add_slides
from hoverfast_platform.assets.progress_log import log_progress
from hoverfast_platform.catalogue.file_remarks import FileRemark
from hoverfast_platform.catalogue.watched_files import QuarantinedFile, WatchedFiles
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.progress import Progress
from hoverfast_platform.texts import markdown

NO_QUARANTINE = "no_slide_in_quarantine"

INVENTORY_VERSION = "1"
"""Data version of every inventory. A slide is found again by its own content: a list with one file
more must not make all other slides stale."""

_MAX_ROWS = 200
"""Number of files shown in the UI, in quarantine or remarked; the catalogue has all of them."""

_QUARANTINE_COLUMNS = ("file", "what_to_do", "why", "kind", "since", "folder")
_REMARK_COLUMNS = ("file", "what_to_do", "what", "slide", "folder")
"""In a window of 1400 px Dagster shows two columns of a table whole, and part of a third."""

_WHAT_TO_DO = {
    "missing": "The file is gone. Put it back, or leave it: its results stay. `hoverfast withdraw "
    "slide` retires it.",
    "duplicate": "Nothing: another file holds the same slide, which is segmented once. Remove the "
    "copy that is not needed.",
    "replaced": "Nothing: the file held another slide before, and the new content is a slide of "
    "its own. To work with the old one, put it back under another name.",
}


class IntakeConfig(dg.Config):
    """What a person may give when materializing by hand."""

    mpp: dict[str, float] = Field(
        default={},
        description="Micrometres per level-0 pixel of files that do not say, or say wrong: file "
        "name (or path, where several have it) to value, such as {slide.svs: 0.25}.",
    )
    retry_quarantined: bool = Field(
        default=True,
        description="Judge all files in quarantine again, also those that have not changed.",
    )


def build_slide_inventory(names: Names) -> dg.AssetsDefinition:
    """The asset `slide_inventory` of a pipeline."""

    @dg.asset(
        key=names.key("slide_inventory"),
        required_resource_keys=names.needs("store", "slide_folders"),
        group_name=names.word("slides"),
        kinds={"openslide", "sqlite"},
        owners=["team:platform"],
        tags=names.tags("intake"),
        freshness_policy=NIGHTLY_FRESHNESS,
        check_specs=[
            dg.AssetCheckSpec(
                NO_QUARANTINE,
                asset=names.key("slide_inventory"),
                description="Every slide file can be used. The table in the metadata says which "
                "cannot, why, and what to do.",
            )
        ],
    )
    def slide_inventory(
        context: dg.AssetExecutionContext,
        config: IntakeConfig,
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Every slide file in the watched folders: registered, still settling, or in quarantine.

        **Where it is.** In the catalogue, table `watched_files`. Slides stay where they are.

        **Running it again.** The sensor `new_slides` does it when files have settled. By hand it
        also judges every file in quarantine again; config `mpp: {file name: 0.25}` gives a scale to
        a file that has none.

        **Missing, duplicate, replaced.** The table `remarks` names files that are gone, that hold a
        slide which another file holds too, or that held another slide before, and what to do.

        **When a file is in quarantine.** Its reason and remedy are in the table `quarantine`; once
        the file is repaired it is taken up by itself.
        """
        slide_folders = names.slide_folders(context)
        with names.store(context).open_catalogue() as catalogue:
            files = catalogue.files
            problems = list(slide_folders.look(files))
            for name, mpp in config.mpp.items():
                files.override_mpp(name, mpp)
                context.log.info("%s: %s micrometres per pixel, as given", name, mpp)
            if config.retry_quarantined:
                files.retry_quarantined()
            new = _register(context, files, names, slide_folders.mpp_rules())
            counts, bad = files.counts(), files.quarantined()
            keys, remarks = files.slide_keys(), files.remarks()
        for problem in problems:
            context.log.warning(problem)
        metadata: dict[str, Any] = {"quarantine": _table(bad)} if bad else {}
        if problems:
            metadata["problems"] = dg.MetadataValue.md(
                "\n".join(f"- {markdown(text)}" for text in problems)
            )
        metadata |= {
            "new_slides": new,
            "registered_files": counts["registered"],
            "slides": len(keys),
            "settling": counts["settling"],
            "in_quarantine": len(bad),
            **{f"{kind}_files": sum(r.kind == kind for r in remarks) for kind in _WHAT_TO_DO},
            **({"remarks": _remarks_table(remarks)} if remarks else {}),
            "folders": dg.MetadataValue.json(slide_folders.folders),
        }
        yield dg.MaterializeResult(
            metadata=metadata,
            data_version=dg.DataVersion(INVENTORY_VERSION),
            check_results=[_verdict(bad, problems)],
        )

    return slide_inventory


def _register(
    context: dg.AssetExecutionContext, files: WatchedFiles, names: Names, mpp: MppRules
) -> int:
    """Register what is ready, and make partitions of it at once; how many are new."""
    from hoverfast_platform.ingest.register import register_ready

    report = log_progress(context, "watched folders")
    n_total, n_done, n_new = files.counts()["ready"], 0, 0
    for batch in register_ready(files, mpp=mpp):
        for path, error in batch.failures:
            context.log.warning("quarantine: %s (%s): %s", path, error.kind, error)
        for path, away in batch.away:
            context.log.warning("%s is judged again later: %s", path, away)
        n_new += len(add_slides(context.instance, names, batch.slide_keys))
        n_later = len(batch.away) + batch.n_unsettled
        n_done += len(batch.slide_keys) + len(batch.failures) + n_later
        report(Progress("registering", n_done, max(n_total, n_done), "files"))
    return n_new


def _verdict(bad: Sequence[QuarantinedFile], problems: Sequence[str]) -> dg.AssetCheckResult:
    """Files that cannot even be listed, by their name or their folder, are not usable either."""
    kinds = Counter(file.kind for file in bad)
    kinds.update({"not looked at": len(problems)} if problems else {})
    return dg.AssetCheckResult(
        check_name=NO_QUARANTINE,
        passed=not bad and not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "none",
        metadata={"quarantine": _table(bad)} if bad else {},
    )


def _remarks_table(remarks: Sequence[FileRemark]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "file": Path(remark.path).name,
                    "what": remark.kind,
                    "slide": remark.slide_key,
                    "what_to_do": _WHAT_TO_DO[remark.kind],
                    "folder": str(Path(remark.path).parent),
                }
            )
            for remark in remarks[:_MAX_ROWS]
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in _REMARK_COLUMNS]),
    )


def _table(bad: Sequence[QuarantinedFile]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "file": Path(file.path).name,
                    "why": file.message,
                    "what_to_do": file.remedy,
                    "kind": file.kind,
                    "since": file.since.isoformat(timespec="seconds"),
                    "folder": str(Path(file.path).parent),
                }
            )
            for file in bad[:_MAX_ROWS]
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in _QUARANTINE_COLUMNS]),
    )
