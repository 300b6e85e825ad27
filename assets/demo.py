"""``make demo``: one slide through the local Dagster instance, and where to find the result."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import dagster as dg

from hoverfast_platform.assets.definitions import defs
from hoverfast_platform.assets.names import Names
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder

_QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
"""A dozen lines in the terminal; the run's log in the UI has all of it."""


@click.command()
@click.argument("slide_path", required=False, type=click.Path(path_type=Path))
def main(slide_path: Path | None) -> None:
    """Register SLIDE_PATH (default: a sample slide), find its nuclei, say where they are."""
    location = defs()
    resources = dict(location.resources or {})
    store = resources["store"]
    assert isinstance(store, ArtefactFolder)
    try:
        key = store.register(slide_path or _sample(Path(store.root).parent))
    except HoverFastError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(Names().word("slides"), [key])
        for job in ("record_settings", "nightly_look"):
            location.resolve_job_def(job).execute_in_process(_QUIET, instance=instance)
        click.echo("Looking for nuclei.")
        result = location.resolve_job_def("find_nuclei").execute_in_process(
            _QUIET, instance=instance, partition_key=key, raise_on_error=False
        )
    if not result.success:
        click.echo("The run failed; why is above, its whole log in the UI.", err=True)
        sys.exit(1)
    (event,) = result.asset_materializations_for_node("nuclei")
    shown = {name: value.value for name, value in event.metadata.items()}
    click.echo(f"\n{shown['n_nuclei']} nuclei on {shown['tissue_area_mm2']:.3f} mm2 of tissue")
    if "seconds_per_mm2" in shown:
        click.echo(f"{shown['seconds_per_mm2']:.1f} s/mm2 on {shown['device']}")
    for name in ("qupath_file", "preview", "table"):
        click.echo(f"{name:12} {shown[name]}")
    click.echo("\n`make ui` opens the Dagster UI on it: http://127.0.0.1:3000/assets/nuclei")


def _sample(folder: Path) -> Path:
    from hoverfast_platform.sample_slide import sample_slide

    made = sample_slide(folder)
    click.echo(f"The slide is {made.text}.")
    return made.path


if __name__ == "__main__":
    main()
