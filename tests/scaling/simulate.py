"""Many slides through the real assets on PostgreSQL, with prediction that costs nothing.

    python -m tests.scaling.simulate --slides 1000 --out simulation.json

Slides are real TIFF files, but tiny, so what is left is the platform: intake, partitions,
Dagster's events, masks, post-processing of a few nuclei, publishing, the catalogue. Seconds
are of the process's CPU and of the clock; a busy machine shows in the second only.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psutil
import tifffile

from assets.definitions import build_definitions
from assets.partitions import add_slides
from assets.segmentation import nuclei
from assets.sensors import new_slides
from assets.slides import slide
from assets.tissue_masks import tissue_mask
from hoverfast_platform.catalogue.database import upgrade_database
from hoverfast_platform.ingest.register import register_ready
from hoverfast_platform.ingest.watch import look
from tests.conftest import REPOSITORY
from tests.postgres_server import PASSWORD, PostgresServer, find_programs
from tests.scaling.fake_predictor import use_fake_predictor

_SIDE_PX = 256
_STAGES = {"slide": (slide, 256), "tissue_mask": (tissue_mask, 64), "nuclei": (nuclei, 32)}


def main() -> None:
    """Write figures as JSON, to a file and to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("simulation.json"))
    arguments = parser.parse_args()
    use_fake_predictor()
    programs = find_programs()
    assert programs is not None, "no PostgreSQL programs: make setup"
    with tempfile.TemporaryDirectory(prefix="hoverfast-simulation-") as folder:
        server = PostgresServer(Path(folder) / "postgres" / "server", programs)
        server.create()
        try:
            figures = _simulate(Path(folder), server, arguments.slides, arguments.out)
        finally:
            server.stop()
    arguments.out.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))  # noqa: T201 - a command's output


def _simulate(folder: Path, server: PostgresServer, n: int, out: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {"slides": n, "load_average_at_start": os.getloadavg()[0]}
    upgrade_database(server.make_database("hoverfast"))
    server.sql("CREATE DATABASE dagster")
    slides_dir, artefacts = folder / "slides", folder / "artefacts"
    _write_slides(slides_dir, n)
    defs = build_definitions(
        artefacts, catalogue=server.url("hoverfast"), slide_folders=[slides_dir], settle_s=0
    )
    resources = dict(defs.resources or {})
    with _instance(folder, server) as instance:
        keys: list[str] = []
        with _timed(figures, "intake", n), resources["store"].open_catalogue() as catalogue:
            files = catalogue.watched_files()
            now = datetime.datetime.now(datetime.UTC)
            for seconds in (0, 60):
                look(files, [slides_dir], settle_s=0, now=now + datetime.timedelta(seconds=seconds))
            for batch in register_ready(files):
                keys += batch.slide_keys
        with _timed(figures, "partitions", n):
            add_slides(instance, keys)
        with _timed(figures, "sensor_tick", 1):
            new_slides(
                dg.build_sensor_context(instance=instance),
                resources["store"],
                resources["slide_folders"],
            )
        for name, (asset, per_run) in _STAGES.items():
            with _timed(figures, name, n):
                for i in range(0, n, per_run):
                    _run(asset, keys[i : i + per_run], instance, resources)
            figures[name]["runs"] = -(-n // per_run)
            out.write_text(json.dumps(figures, indent=2))  # a simulation may be cut short
        _measure_storage(figures, server, artefacts, n)
        out.write_text(json.dumps(figures, indent=2))
        with _timed(figures, "automation_evaluation_idle", 1):
            cursor = dg.evaluate_automation_conditions(defs, instance).cursor
            started = time.monotonic()
            dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        figures["automation_evaluation_idle"]["second_one_s"] = time.monotonic() - started
        done = instance.get_materialized_partitions(dg.AssetKey("nuclei"))
    assert len(done) == n, f"{len(done)} of {n} slides were segmented"
    return figures


def _measure_storage(
    figures: dict[str, Any], server: PostgresServer, artefacts: Path, n: int
) -> None:
    figures["bytes_per_slide"] = {
        "artefacts": _bytes(artefacts) / n,
        "files": sum(1 for path in artefacts.rglob("*") if path.is_file()) / n,
        "catalogue": _database_bytes(server, "hoverfast") / n,
        "dagster": _database_bytes(server, "dagster") / n,
    }
    figures["dagster_events_per_slide"] = {
        str(kind): int(str(count)) / n
        for kind, count in server.sql(
            "SELECT coalesce(dagster_event_type, 'log line'), count(*) FROM event_logs "
            "GROUP BY 1 ORDER BY 2 DESC LIMIT 8",
            "dagster",
        )
    }


def _write_slides(folder: Path, n: int) -> None:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for i in range(n):
        pixels = noise.integers(150, 190, (_SIDE_PX, _SIDE_PX, 3), dtype=np.uint8)
        pixels[..., 1] //= 2  # stained, so that it counts as tissue
        tifffile.imwrite(
            folder / f"slide-{i:06d}.tiff",
            pixels,
            photometric="rgb",
            tile=(128, 128),
            compression="jpeg",
            resolution=(1e4 / 0.25, 1e4 / 0.25),
            resolutionunit=3,
        )


def _run(asset: Any, keys: list[str], instance: dg.DagsterInstance, resources: Any) -> None:
    result = dg.materialize(
        [asset],
        instance=instance,
        resources=resources,
        tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        },
    )
    assert result.success


@contextlib.contextmanager
def _instance(folder: Path, server: PostgresServer) -> Iterator[dg.DagsterInstance]:
    """With the settings of deploy/server."""
    home = folder / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "deploy/server/dagster.yaml", home)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(server.port),
        "DAGSTER_PG_USERNAME": "hoverfast",
        "DAGSTER_PG_PASSWORD": PASSWORD,
        "DAGSTER_PG_DB": "dagster",
    }
    with dg.DagsterInstance.get() as instance:
        yield instance


@contextlib.contextmanager
def _timed(figures: dict[str, Any], name: str, n: int) -> Iterator[None]:
    """Seconds per item, of the clock and of this process and its children."""
    started, cpu = time.monotonic(), _cpu_s()
    yield
    wall_s, cpu_s = time.monotonic() - started, _cpu_s() - cpu
    figures[name] = {"s_each": wall_s / n, "cpu_s_each": cpu_s / n}


def _cpu_s() -> float:
    """Of this process; workers that live on are counted by the next stage."""
    me = psutil.Process().cpu_times()
    return float(me.user + me.system + me.children_user + me.children_system)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _database_bytes(server: PostgresServer, name: str) -> int:
    ((size,),) = server.sql(f"SELECT pg_database_size('{name}')")
    ((empty,),) = server.sql("SELECT pg_database_size('template1')")
    return int(str(size)) - int(str(empty))


if __name__ == "__main__":
    main()
