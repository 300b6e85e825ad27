"""Optional assets: how nuclei lie among each other, and slides and cohorts side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from hoverfast_platform.assets.automation import when_inputs_change
from hoverfast_platform.assets.batch import SlideEvents, SlideProduct, process_slides
from hoverfast_platform.assets.names import Names
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings
from hoverfast_platform.regions.region_table import SlideFigures, as_table, write_region_table
from hoverfast_platform.reports.cohort_comparison import (
    CohortsOfSlides,
    Comparison,
    compare_cohorts,
)
from hoverfast_platform.reports.slides_page import COMPARED, find_outliers, write_slides_page
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.storage.summary import Distribution

FOLDER = "statistics"
"""Folder of the tables and the page, in the artefact folder."""

_HOURLY = "30 * * * *"
_Condition = dg.AutomationCondition


def build_neighbourhood(names: Names, settings: NeighbourhoodSettings) -> dg.AssetsDefinition:
    """The asset `neighbourhood` of a pipeline.

    Args:
        names: Name of the pipeline.
        settings: What counts as a neighbour.
    """

    @dg.asset(
        key=names.key("neighbourhood"),
        partitions_def=names.slides,
        deps=[names.key("nuclei")],
        required_resource_keys=names.needs("store"),
        backfill_policy=dg.BackfillPolicy.multi_run(64),
        group_name=names.word("statistics"),
        kinds={"scipy", "parquet"},
        owners=["team:platform"],
        output_required=False,
        code_version=text_sha256(settings.model_dump_json())[:12],
        automation_condition=when_inputs_change(),
    )
    def neighbourhood(context: dg.AssetExecutionContext) -> SlideEvents:
        """How near the neighbours of every nucleus are, how many, and how dense it is around it.

        **Where it is.** `nuclei/<slide>/<name>.neighbours.parquet`, a row for each nucleus in the
        order of its table.

        **When it fails.** The slide has no result, or the mask beside it is another one.
        """
        from hoverfast_platform.use_cases.neighbours import measure_neighbours

        store = names.store(context)

        def measure(key: str) -> SlideProduct:
            (outcome,) = measure_neighbours([_result_of(store, key)], settings=settings)
            if outcome.error is not None:
                raise outcome.error
            assert outcome.product is not None, "an outcome without an error has a product"
            return _measured(outcome.product.path, outcome.product.n_nuclei)

        yield from process_slides(context, store, measure)

    return neighbourhood


def _measured(path: Path, n_nuclei: int) -> SlideProduct:
    table = pq.read_table(path)
    medians = {
        f"{name}_median": found.p50
        for name in table.column_names
        if name != "id" and (found := Distribution.of(table[name].to_numpy())) is not None
    }
    version = text_sha256(str(table.schema.metadata) + str(sorted(medians.items())))
    metadata = {"n_nuclei": n_nuclei, **medians, "path": dg.MetadataValue.path(str(path))}
    return SlideProduct(metadata, version, made=path.parent)


def build_slide_statistics(names: Names) -> dg.AssetsDefinition:
    """The asset `slide_statistics` of a pipeline."""

    @dg.asset(
        key=names.key("slide_statistics"),
        deps=[names.key("neighbourhood")],
        required_resource_keys=names.needs("store"),
        group_name=names.word("statistics"),
        kinds={"parquet", "html"},
        owners=["team:platform"],
        code_version="1",
        automation_condition=_Condition.any_deps_updated().since_last_handled()
        & _Condition.cron_tick_passed(_HOURLY)
        & ~_Condition.in_progress(),
    )
    def slide_statistics(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """One row for each segmented slide, slides unlike the others, and cohorts side by side.

        **Where it is.** `statistics/` in the artefact folder: `slides.parquet`, `slides.csv`, and
        `slides.html` with distributions and density maps.

        **Which cohorts.** The newest version of every cohort that was recorded.

        **When.** By itself at most once an hour, after a neighbourhood was measured.

        **When it fails.** No slide could be counted. A slide that cannot be is left out, and named
        in `left_out`.
        """
        store = names.store(context)
        counted = _count(store)
        folder = Path(store.root) / FOLDER
        folder.mkdir(exist_ok=True)
        for ending in (".parquet", ".csv"):
            write_region_table(folder / f"slides{ending}", counted.figures)
        rows = as_table(counted.figures).to_pylist()
        page = write_slides_page(folder / "slides.html", rows, counted.tables, counted.cohorts)
        compared = compare_cohorts(rows, COMPARED, counted.cohorts)
        published = store.publish(folder)
        return dg.MaterializeResult(metadata=_metadata(rows, compared, counted, page) | published)

    return slide_statistics


@dataclass(frozen=True)
class _Counted:
    """All slides that could be counted.

    Attributes:
        figures: One row each, named by key.
        tables: Their tables of nuclei.
        cohorts: The cohorts that they are in.
        left_out: Why others could not be, by key.
    """

    figures: Sequence[SlideFigures]
    tables: dict[str, Path]
    cohorts: CohortsOfSlides
    left_out: dict[str, str]


def _count(store: ArtefactFolder) -> _Counted:
    """Count what every slide has now.

    Raises:
        StorageError: If no slide could be counted.
    """
    from hoverfast_platform.use_cases.summarise import summarise

    figures, tables, left_out = [], {}, {}
    with store.open_catalogue() as catalogue:
        keys = [result.slide.key for result in catalogue.results.current()]
        cohorts = _cohorts(catalogue)
    for key in dict.fromkeys(keys):
        try:
            table = _result_of(store, key)
        except SettingsError as error:
            left_out[key] = str(error)
            continue
        (outcome,) = summarise([table], with_neighbours=True)
        if outcome.product is None:
            left_out[key] = outcome.failure_text
            continue
        figures.append(replace(outcome.product.figures, slide=key))
        tables[key] = table
    if not figures:
        raise StorageError(
            f"None of {len(left_out)} slides could be counted: {left_out}",
            "Materialize nuclei and neighbourhood first.",
        )
    return _Counted(figures, tables, cohorts, left_out)


def _cohorts(catalogue: Catalogue) -> CohortsOfSlides:
    """The cohorts of each slide, by key."""
    found: dict[str, tuple[str, ...]] = {}
    for cohort in catalogue.cohorts.newest():
        for member in cohort.members:
            found[member.slide.key] = (*found.get(member.slide.key, ()), cohort.name)
    return found


def _result_of(store: ArtefactFolder, key: str) -> Path:
    """The table of a slide's nuclei.

    Raises:
        SettingsError: If there is none.
    """
    from hoverfast_platform.use_cases.summarise import results_in

    return results_in([store.slide(key).nuclei_dir])[0]


def _metadata(
    rows: Sequence[dict[str, Any]], compared: Sequence[Comparison], counted: _Counted, page: Path
) -> dict[str, Any]:
    figures = [one for one in COMPARED if any(row.get(one) is not None for row in rows)]
    outliers = find_outliers(rows)
    metadata: dict[str, Any] = {
        "n_slides": len(rows),
        "slides": _table(
            ("slide", "n_nuclei", *figures),
            [(row["slide"], row["n_nuclei"], *(row.get(one) for one in figures)) for row in rows],
        ),
        "n_outliers": len(outliers),
        "page": dg.MetadataValue.path(str(page)),
        "folder": dg.MetadataValue.path(str(page.parent)),
    }
    if outliers:
        metadata["outliers"] = _table(
            ("slide", "figure", "value", "median", "robust_deviations"),
            [(one.slide, one.figure, one.value, one.median, one.score) for one in outliers],
        )
    if compared:
        metadata["cohorts"] = _table(
            ("figure", "cohort", "n_slides", "median", "first_quartile", "third_quartile", "p"),
            [
                (one.figure, of.cohort, of.n_slides, of.median, *of.quartiles, one.p_value)
                for one in compared
                for of in one.cohorts
            ],
        )
    if counted.left_out:
        metadata["left_out"] = dg.MetadataValue.json(counted.left_out)
    return metadata


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    """A table whose cells are texts and rounded numbers; what is not known is empty."""
    records = [
        dg.TableRecord({name: _cell(value) for name, value in zip(head, row, strict=True)})
        for row in rows
    ]
    columns = [dg.TableColumn(name) for name in head]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
