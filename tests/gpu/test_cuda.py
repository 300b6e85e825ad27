"""The GPU against the CPU, and against itself; `pytest -m gpu` on a machine that has one.

``hoverfast gpu-check`` measures the same and more on real tissue; these say yes or no.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hoverfast_platform.benchmark.gpu_context import exact_fp32
from hoverfast_platform.config import Compute, InstanceDecoding, SegmentationSettings, Tiling
from hoverfast_platform.hv.decode import split_foreground
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_slide import segment_slide
from hoverfast_platform.model.checkpoint import load_model
from tests.integration.test_segment_slide import drawn_tissue, write_slide

DEVICE = "cuda:0"
HALVES = ("fp16", "bf16")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


@pytest.fixture(scope="module")
def model():
    return load_model("cross-organ")


@pytest.fixture(scope="module")
def regions():
    rgb, _ = drawn_tissue(512, 1024)
    return np.stack([rgb[y : y + 256, x : x + 256] for y in (0, 256) for x in range(0, 1024, 256)])


@pytest.fixture(scope="module")
def on_cpu(model, regions):
    return TorchPredictor(model, Compute(precision="fp32"), ("cpu",)).predict(regions)


def predictor_of(model, precision, batch_size=0):
    return TorchPredictor(model, Compute(precision=precision, batch_size=batch_size), (DEVICE,))


def foreground(maps):
    return maps[:, 0] > 0.5


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_single_precision_finds_the_nuclei_that_the_cpu_finds(model, regions, on_cpu):
    with exact_fp32():
        found = predictor_of(model, "fp32").predict(regions)

    assert np.abs(found.astype(np.float32) - on_cpu.astype(np.float32)).max() < 2e-3
    for here, there in zip(found, on_cpu, strict=True):
        n_here, n_there = (
            split_foreground(maps[0].astype(np.float32), maps[1], InstanceDecoding()).max()
            for maps in (here, there)
        )
        assert n_here == n_there > 0


@pytest.mark.parametrize("precision", HALVES)
def test_half_precision_finds_the_same_foreground(model, regions, on_cpu, precision):
    found = predictor_of(model, precision).predict(regions)

    assert dice(foreground(found), foreground(on_cpu)) > 0.99


@pytest.mark.parametrize("precision", ["fp32", *HALVES])
def test_maps_depend_neither_on_the_batch_nor_on_the_lane(model, regions, precision):
    predictor = predictor_of(model, precision)
    alone = np.concatenate([predictor.predict(regions[i : i + 1]) for i in range(len(regions))])

    together = predictor.predict(regions)
    by_three = np.concatenate([predictor.predict(regions[i : i + 3]) for i in (0, 3, 6)])
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(predictor.predict, [regions] * 4))

    for found in (together, by_three, *at_once):
        assert found.tobytes() == alone.tobytes()


def test_lanes_that_do_not_fit_side_by_side_take_turns(model, regions):
    predictor = predictor_of(model, "fp32")
    torch.cuda.reset_peak_memory_stats(DEVICE)
    expected = predictor.predict(regions)
    peak = torch.cuda.max_memory_allocated(DEVICE)
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(DEVICE)[0]
    ballast = torch.empty(max(0, free - int(1.4 * peak)), dtype=torch.uint8, device=DEVICE)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(predictor.predict, [regions] * 4))

    del ballast
    assert all(maps.tobytes() == expected.tobytes() for maps in found)


def test_batch_size_changes_no_byte_of_a_result(model, tmp_path):
    slide = write_slide(tmp_path / "drawn.tiff", drawn_tissue(700, 900)[0])
    settings = SegmentationSettings(tiling=Tiling(tile_size_px=256))
    files = []
    for batch_size in (1, 5):
        compute = Compute(device=DEVICE, batch_size=batch_size, n_workers=2)
        with SegmentationEngine.of(model, compute, for_slides=True) as engine:
            out_dir = tmp_path / f"batches-of-{batch_size}"
            done = segment_slide(slide, out_dir=out_dir, engine=engine, settings=settings)
        assert done.summary.n_nuclei > 0
        files.append([path.read_bytes() for path in (done.qupath_path, done.table_path)])

    assert files[0] == files[1]
