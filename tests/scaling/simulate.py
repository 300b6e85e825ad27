"""Many slides through the real assets on PostgreSQL, with prediction that costs nothing.

    python -m tests.scaling.simulate --slides 10000 --folder simulation

Slides are real TIFF files, but tiny, so what is left is the platform: intake, partitions,
Dagster's events, masks, post-processing of a few nuclei, publishing, the catalogue. A
simulation that was ended goes on where it was when it is started again on its folder; what it
found is in ``figures.json`` there, and printed as the tables of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib
import json
import logging
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import tifffile
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import (
    AutomationTickEvaluationContext,
)

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.partitions import add_slides
from hoverfast_platform.assets.sensors import new_slides
from hoverfast_platform.catalogue.database import upgrade_database
from hoverfast_platform.ingest.register import register_ready
from hoverfast_platform.ingest.watch import look
from tests.conftest import REPOSITORY
from tests.dagster.parts import nuclei, slide, stain, tissue_mask
from tests.postgres_server import PASSWORD, PostgresServer, find_programs, free_port
from tests.scaling.fake_predictor import FakeDevice
from tests.scaling.meter import Meter
from tests.scaling.tables import tables

_SIDE_PX = 256
_STAGES = (slide, stain, tissue_mask, nuclei)
_DATABASES = ("dagster", "hoverfast")
_N_SINGLE = 5
"""Runs of one slide per stage, from which the cost of a run is told."""


def main() -> None:
    """Simulate, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True, help="kept; start again to go on")
    parser.add_argument("--no-pictures", action="store_true", help="none in Dagster's events")
    arguments = parser.parse_args()
    programs = find_programs()
    assert programs is not None, "no PostgreSQL programs: make setup"
    if arguments.no_pictures:
        for module in ("slides", "tissue_masks", "nuclei_metadata"):
            pictures = importlib.import_module(f"hoverfast_platform.assets.{module}")
            pictures.inline_picture = lambda rgb, title: dg.MarkdownMetadataValue(title)
    folder = arguments.folder.absolute()
    server = PostgresServer(folder / "postgres" / "server", programs)
    if server.data.exists():
        server.port = free_port()
        server.start()
    else:
        server.create()
    try:
        with _instance(folder, server) as instance:
            figures = Simulation(folder, server, instance, arguments.slides).run()
    finally:
        server.stop()
    print(tables(figures))  # noqa: T201 - a command's output


class Simulation:
    """All stages, each run of each stage measured and noted the moment it is done."""

    def __init__(
        self, folder: Path, server: PostgresServer, instance: dg.DagsterInstance, n: int
    ) -> None:
        self.folder, self.server, self.instance, self.n = folder, server, instance, n
        self.meter = Meter(server.pid)
        self.notes_path = folder / "runs.json"
        self.notes: dict[str, Any] = (
            json.loads(self.notes_path.read_text())
            if self.notes_path.exists()
            else {"once": {}, "runs": {}}
        )
        self.defs = build_definitions(
            folder / "artefacts",
            catalogue=server.url("hoverfast"),
            slide_folders=[folder / "slides"],
            settle_s=0,
        )
        compute = FakeDevice(lease_dir=str(folder))
        self.resources = {**(self.defs.resources or {}), "compute": compute}

    def run(self) -> dict[str, Any]:
        """Do what is left to do; the figures of all of it."""
        self._give_back_pool_slots()
        if "empty_bytes" not in self.notes:
            self.notes["empty_bytes"] = {name: self._bytes(name) for name in _DATABASES}
        self._once("slides_written", self._write_slides, per=self.n)
        self._once("intake", self._take_in, per=self.n)
        keys = list(self.instance.get_dynamic_partitions("slides"))
        assert len(keys) == self.n, f"the folder holds a simulation of {len(keys)} slides"
        self._once("sensor_tick_idle", self._tick, per=1)
        for asset in _STAGES:
            for part in _parts(keys, asset):
                self._run(asset, part)
        self._once("automation_tick_first", lambda: self._evaluate(None), per=1)
        self._once("automation_tick_idle", lambda: self._evaluate(self.cursor), per=1)
        done = self.instance.get_materialized_partitions(dg.AssetKey("nuclei"))
        assert len(done) == self.n, f"{len(done)} of {self.n} slides were segmented"
        figures = self._figures()
        (self.folder / "figures.json").write_text(json.dumps(figures, indent=2))
        return figures

    def _give_back_pool_slots(self) -> None:
        """Those of a simulation that was ended; a deployment's daemon does it (run monitoring)."""
        storage = self.instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            for run_id in storage.get_concurrency_info(pool).active_run_ids:
                storage.free_concurrency_slots_for_run(run_id)

    def _once(self, name: str, work: Any, *, per: int) -> None:
        if name in self.notes["once"] and not name.startswith("automation"):
            return
        before = self.meter.read()
        work()
        self._note("once", name, (self.meter.read() - before).per(per))

    def _run(self, asset: dg.AssetsDefinition, keys: Sequence[str]) -> None:
        name = f"{asset.key.to_user_string()} {keys[0]}"
        if name in self.notes["runs"]:
            return
        before = self.meter.read()
        result = dg.materialize(
            [asset],
            instance=self.instance,
            resources=self.resources,
            tags={
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success
        note = {
            "stage": asset.key.to_user_string(),
            "n": len(keys),
            **dataclasses.asdict(self.meter.read() - before),
            "load": os.getloadavg()[0],
            **{f"{database}_bytes": self._bytes(database) for database in _DATABASES},
        }
        self._note("runs", name, note)

    def _note(self, kind: str, name: str, note: dict[str, Any]) -> None:
        self.notes[kind][name] = note
        part = self.notes_path.with_suffix(".part")
        part.write_text(json.dumps(self.notes, indent=1))
        part.replace(self.notes_path)

    def _write_slides(self) -> None:
        folder = self.folder / "slides"
        folder.mkdir(exist_ok=True)
        noise = np.random.default_rng(0)
        for i in range(self.n):
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

    def _take_in(self) -> None:
        """Two looks, digests, registration, partitions: what the sensor does in its ticks."""
        folder = self.folder / "slides"
        now = datetime.datetime.now(datetime.UTC)
        with self.resources["store"].open_catalogue() as catalogue:
            files = catalogue.files
            for seconds in (0, 60):
                look(files, [folder], settle_s=0, now=now + datetime.timedelta(seconds=seconds))
            for batch in register_ready(files):
                add_slides(self.instance, Names(), batch.slide_keys)

    def _tick(self) -> None:
        context = dg.build_sensor_context(instance=self.instance)
        new_slides(context, self.resources["store"], self.resources["slide_folders"])

    def _evaluate(self, cursor: AssetDaemonCursor | None) -> None:
        """What the daemon does at every tick of automation."""
        graph = self.defs.resolve_asset_graph()
        _, self.cursor, _ = AutomationTickEvaluationContext(
            evaluation_id=1,
            instance=self.instance,
            asset_graph=graph,
            cursor=cursor or AssetDaemonCursor.empty(),
            materialize_run_tags={},
            observe_run_tags={},
            auto_observe_asset_keys=set(),
            asset_selection=dg.AssetSelection.all(),
            logger=logging.getLogger("simulation"),
            emit_backfills=False,
        ).evaluate()

    def _figures(self) -> dict[str, Any]:
        stages = {asset.key.to_user_string(): self._stage(asset) for asset in _STAGES}
        files = [path for path in (self.folder / "artefacts").rglob("*") if path.is_file()]
        kinds = self.server.sql(
            "SELECT coalesce(dagster_event_type, 'log line'), count(*), sum(length(event)) "
            "FROM event_logs GROUP BY 1 ORDER BY 3 DESC LIMIT 8",
            "dagster",
        )
        return {
            "slides": self.n,
            "runs": len(self.notes["runs"]),
            "once": self.notes["once"],
            "stages": stages,
            "bytes_per_slide": {
                "artefacts": sum(path.stat().st_size for path in files) / self.n,
                "files": len(files) / self.n,
                "dagster": self._grown_bytes("dagster") / self.n,
                "catalogue": self._grown_bytes("hoverfast") / self.n,
            },
            "events_per_slide": {
                str(kind): {"rows": int(str(n)) / self.n, "bytes": int(str(size)) / self.n}
                for kind, n, size in kinds
            },
        }

    def _stage(self, asset: dg.AssetsDefinition) -> dict[str, Any]:
        """What a slide and a run cost, and whether it grew from the first runs to the last."""
        name = asset.key.to_user_string()
        runs = [run for run in self.notes["runs"].values() if run["stage"] == name]
        single = [run for run in runs if run["n"] == 1][:_N_SINGLE]
        batches = [run for run in runs if run["n"] > 1]
        n_fifth = max(1, len(batches) // 5)
        return {
            "slides_per_run": max(run["n"] for run in runs),
            "runs": len(runs),
            "per_slide": _per_slide(batches or single),
            "per_slide_first_fifth": _per_slide((batches or single)[:n_fifth]),
            "per_slide_last_fifth": _per_slide((batches or single)[-n_fifth:]),
            # The first loads the code and the model's library.
            "run_of_one": {
                key: statistics.median(run[key] for run in single[1:] or runs)
                for key in ("clock_s", "cpu_s", "server_cpu_s")
            },
            "load_average": statistics.mean(run["load"] for run in runs),
        }

    def _grown_bytes(self, database: str) -> int:
        empty: int = self.notes["empty_bytes"][database]
        return self._bytes(database) - empty

    def _bytes(self, database: str) -> int:
        ((size,),) = self.server.sql(f"SELECT pg_database_size('{database}')")
        return int(str(size))


def _parts(keys: Sequence[str], asset: dg.AssetsDefinition) -> Iterator[Sequence[str]]:
    """A few runs of one slide, then as many per run as the platform puts into one."""
    policy = asset.backfill_policy
    assert policy is not None
    assert policy.max_partitions_per_run is not None
    n_single = min(_N_SINGLE, len(keys))
    for i in range(n_single):
        yield keys[i : i + 1]
    for i in range(n_single, len(keys), policy.max_partitions_per_run):
        yield keys[i : i + policy.max_partitions_per_run]


def _per_slide(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    n = sum(run["n"] for run in runs)
    return {
        key: round(sum(run[key] for run in runs) / n, 4)
        for key in ("clock_s", "cpu_s", "server_cpu_s")
    }


@contextlib.contextmanager
def _instance(folder: Path, server: PostgresServer) -> Iterator[dg.DagsterInstance]:
    """With the settings of deploy/server; databases are made if need be."""
    if not server.sql("SELECT 1 FROM pg_database WHERE datname = 'dagster'"):
        server.sql("CREATE DATABASE dagster")
        upgrade_database(server.make_database("hoverfast"))
    home = folder / "home"
    home.mkdir(exist_ok=True)
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


if __name__ == "__main__":
    main()
