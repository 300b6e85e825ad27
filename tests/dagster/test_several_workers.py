"""Runs of several machines on one folder and one catalogue: each slide is computed once."""

import os
import subprocess
import sys

import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.transfer import count_rows
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.conftest import REPOSITORY

N_SLIDES = 4

WORKER = """
import pathlib, sys
import dagster as dg
from hoverfast_platform.assets.definitions import build_definitions
from tests.dagster.parts import nuclei, slide, stain, tissue_mask
from tests.scaling.fake_predictor import FakeDevice

folder, catalogue, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
resources = dict(build_definitions(folder / "artefacts", catalogue=catalogue).resources)
# A device of its own, as another machine has: nothing but slides and catalogue is shared.
resources["compute"] = FakeDevice(
    lease_dir=str(folder / name), called=str(folder / "predicted.txt")
)
keys = [resources["store"].register(path) for path in sorted(folder.glob("*.tiff"))]
print("ready", flush=True)
sys.stdin.readline()
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("slides", keys)
    for asset in (slide, stain, tissue_mask, nuclei):
        result = dg.materialize([asset], instance=instance, resources=resources, tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        })
        assert result.success
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("catalogue_location", ["postgresql"], indirect=True)
def test_a_slide_is_segmented_once_however_many_runs_ask(tmp_path, catalogue_location):
    for i in range(N_SLIDES):
        write_synthetic_slide(tmp_path / f"s{i}.tiff", width_px=320, height_px=256, seed=i)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, tmp_path, str(catalogue_location), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
            text=True,
        )
        for name in ("machine-a", "machine-b")
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n", worker.stderr.read()
    said = [worker.communicate("go\n")[1] for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0], "".join(said)[-3000:]
    assert (tmp_path / "predicted.txt").read_text().split() == ["1"] * N_SLIDES
    assert count_rows(catalogue_location)["segmentations"] == N_SLIDES
    with Catalogue.open(catalogue_location) as catalogue:
        assert catalogue.results.failures() == ()
