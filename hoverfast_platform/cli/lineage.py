"""``hoverfast lineage``: where a result came from, read from the result itself."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("lineage")
@click.argument("result", type=click.Path(path_type=Path))
def command(result: Path) -> None:
    """Where RESULT (.json.gz, .parquet or .summary.json) came from.

    Slide bytes, mask, model, labels, settings and code version, from the file's own record.
    """
    import json

    from hoverfast_platform.storage.provenance import read_provenance

    click.echo(json.dumps(read_provenance(result), indent=2, ensure_ascii=False))
