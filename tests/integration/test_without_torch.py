"""On a CPU the commands that labs run start without torch, which takes seconds to import."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

_REFUSE_TORCH = """
import sys
class _Refused:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise AssertionError("torch was imported")
sys.meta_path.insert(0, _Refused())
"""
_COMMAND = """
from hoverfast_platform.cli.main import main
main()
"""
_ASSETS = """
from pathlib import Path
import dagster as dg
from hoverfast_platform.assets.definitions import build_definitions
from tests.dagster.parts import nuclei, slide, stain, tissue_mask
resources = dict(build_definitions(Path(sys.argv[2])).resources)
key = resources["store"].register(Path(sys.argv[1]))
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("slides", [key])
    assets = [slide, stain, tissue_mask, nuclei]
    result = dg.materialize(assets, partition_key=key, instance=instance, resources=resources)
(made,) = result.asset_materializations_for_node("nuclei")
print(made.metadata["n_nuclei"].value)
"""


def run(*arguments, program=_COMMAND):
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE_TORCH + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def results(slide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("without torch")
    run("infer_wsi", slide, "-o", folder / "out", "--device", "cpu", "-n", 1)
    return folder / "out"


def test_a_slide_is_segmented_and_its_results_are_read(results, tmp_path):
    table = next(results.rglob("*.parquet"))

    run("convert", table, tmp_path / "nuclei.csv")
    run("report", results)

    assert (tmp_path / "nuclei.csv").stat().st_size > 0
    assert (results / "report.html").is_file()


def test_a_slide_is_masked(slide, tmp_path):
    run("mask", slide, "-o", tmp_path / "masks")

    assert list((tmp_path / "masks").rglob("*.png"))


def test_an_image_is_segmented(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal((200, 160, 215), 5, (96, 160, 3))
    y, x = np.mgrid[:96, :160]
    image[(y - 40) ** 2 + (x - 60) ** 2 < 110] = (150, 70, 110)
    cv2.imwrite(str(tmp_path / "roi.png"), image.clip(0, 255).astype(np.uint8))

    run("infer_roi", tmp_path / "roi.png", "-o", tmp_path / "out", "--device", "cpu")

    assert list((tmp_path / "out").rglob("*.json*"))


def test_dagsters_steps_mask_and_segment_a_slide(slide, tmp_path):
    n_nuclei = run(slide, tmp_path / "artefacts", program=_ASSETS)

    assert int(n_nuclei) > 10
