"""Parts of a GPU check: whether the device finds what the CPU finds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from hoverfast_platform.arrays import InstanceMap, PredictedMaps
from hoverfast_platform.benchmark.gpu_context import CheckContext, exact_fp32
from hoverfast_platform.benchmark.gpu_record import Figure
from hoverfast_platform.config import Compute, InstanceDecoding
from hoverfast_platform.evaluation.metrics import score
from hoverfast_platform.hv.decode import split_foreground
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.teachers.hovernet.network import GEOMETRY, HoverNet

_PART = "equality"
_SIDE_PX = 512
_SAME_IOU = 0.9
_PRECISIONS = ("fp32", "fp16", "bf16")


def check_equality(context: CheckContext) -> Iterator[Figure]:
    """The student on the device against the student on the CPU, on real tiles."""
    n_tiles = min(16 if context.is_cuda else 2, len(context.tiles()))
    regions = context.regions(n_tiles, _SIDE_PX)
    on_cpu = TorchPredictor(context.model(), Compute(precision="fp32"), ("cpu",))
    expected = _one_by_one(on_cpu, regions)
    true = [_instances(maps) for maps in expected]
    n_nuclei = sum(int(instances.max(initial=0)) for instances in true)
    yield Figure(_PART, "nuclei on the CPU, fp32", n_nuclei, "", f"{n_tiles} tiles of {_SIDE_PX}")
    for name, precision, context_of in (
        ("fp32 without TF32", "fp32", exact_fp32),
        ("fp32 as torch has it", "fp32", contextlib.nullcontext),
        ("fp16", "fp16", contextlib.nullcontext),
        ("bf16", "bf16", contextlib.nullcontext),
    ):
        if precision == "fp16" and not context.is_cuda:
            continue
        with context_of():
            predictor = context.predictor(Compute(precision=precision))
            found = _one_by_one(predictor, regions)
        yield from _compared(name, expected, true, found)


def check_same_bytes(context: CheckContext) -> Iterator[Figure]:
    """Whether maps depend on the lane, the batch, the neighbours in it, or the day."""
    part = "same bytes"
    regions = context.regions(8, _SIDE_PX if context.is_cuda else 128)
    for precision in _PRECISIONS if context.is_cuda else ("fp32",):
        predictor = context.predictor(Compute(precision=precision))
        alone = _one_by_one(predictor, regions)
        for name, found in (
            ("again", _one_by_one(predictor, regions)),
            ("in a batch of 8", predictor.predict(regions)),
            ("in batches of 3", np.concatenate(
                [predictor.predict(regions[i : i + 3]) for i in range(0, len(regions), 3)]
            )),
            ("from 4 threads at once", _from_threads(predictor, regions)),
        ):  # fmt: skip
            different = np.abs(found.astype(np.float32) - alone.astype(np.float32))
            yield Figure(
                part, f"{precision}, {name}: values that differ",
                float(np.count_nonzero(different)), f"of {different.size}",
                f"at most by {different.max():.2g}",
            )  # fmt: skip
    for height, width in ((64, 64), (68, 332), (516, 100), (1216, 1216)):
        region = context.regions(1, max(height, width))[:, :height, :width]
        region = np.ascontiguousarray(region)
        expected = TorchPredictor(context.model(), Compute(precision="fp32"), ("cpu",))
        with exact_fp32():
            found = context.predictor(Compute(precision="fp32")).predict(region)
        gap = np.abs(found.astype(np.float32) - expected.predict(region).astype(np.float32)).max()
        yield Figure(part, f"{height} x {width} px, fp32: largest gap to the CPU", float(gap))
        if context.left_s < 3:
            return


def check_statistics(context: CheckContext) -> Iterator[Figure]:
    """A slide's batch-norm statistics taken on the device against those of the CPU."""
    part = "slide statistics"
    samples = list(context.regions(8, 256))
    network = context.model().network
    on_cpu = adapted_to(network, samples, 0.5, "cpu").state_dict()
    on_device = adapted_to(network, samples, 0.5, context.device).state_dict()
    gaps = [
        float(((on_device[name] - value).abs() / (value.abs() + 1e-3)).max())
        for name, value in on_cpu.items()
        if "running" in name
    ]
    yield Figure(
        part, "largest relative gap to the CPU", max(gaps), "", f"median {np.median(gaps):.2g}"
    )
    seconds = context.seconds_of(lambda: adapted_to(network, samples, 0.5, context.device))
    yield Figure(part, "taking them", seconds * 1e3, "ms")


def check_hovernet(context: CheckContext) -> Iterator[Figure]:
    """The teacher in both modes, random weights: the device against the CPU, and how fast."""
    part = "HoVer-Net"
    for mode in ("fast", "original"):
        torch.manual_seed(0)
        network = HoverNet(mode).eval()
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        side = GEOMETRY[mode].input_px
        pixels = torch.from_numpy(context.regions(2, side)).permute(0, 3, 1, 2).float()
        with torch.inference_mode(), exact_fp32():
            expected = network(pixels)
            network = network.to(context.device)
            found = network(pixels.to(context.device)).cpu()
        gap = float((found - expected).norm() / expected.norm())
        yield Figure(part, f"{mode}: relative gap of the maps to the CPU", gap)
        n = 32 if context.is_cuda else 1
        many = pixels[:1].repeat(n, 1, 1, 1).to(context.device)
        area_mm2 = n * (GEOMETRY[mode].output_px * 0.25e-3) ** 2
        for half in (False, True) if context.is_cuda else (False,):
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
                seconds = context.seconds_of(lambda many=many, network=network: network(many), 2)
            precision = "fp16" if half else "fp32"
            yield Figure(part, f"{mode}, {precision}: network", seconds / area_mm2, "s/mm2")


def _one_by_one(predictor: TorchPredictor, regions: npt.NDArray[np.uint8]) -> PredictedMaps:
    return np.concatenate([predictor.predict(regions[i : i + 1]) for i in range(len(regions))])


def _from_threads(predictor: TorchPredictor, regions: npt.NDArray[np.uint8]) -> PredictedMaps:
    with ThreadPoolExecutor(4) as threads:
        return np.concatenate(
            list(threads.map(predictor.predict, [regions[i : i + 1] for i in range(len(regions))]))
        )


def _instances(maps: PredictedMaps) -> InstanceMap:
    return split_foreground(maps[0], maps[1], InstanceDecoding())


def _compared(
    name: str, expected: PredictedMaps, true: list[InstanceMap], found: PredictedMaps
) -> Iterator[Figure]:
    gap = np.abs(found.astype(np.float32) - expected.astype(np.float32))
    yield Figure(
        _PART, f"{name}: largest gap of the maps", float(gap.max()), "", f"mean {gap.mean():.2g}"
    )
    instances = [_instances(maps) for maps in found]
    n_same = sum(n_matched(a, b) for a, b in zip(true, instances, strict=True))
    n_true = sum(int(a.max(initial=0)) for a in true)
    n_found = sum(int(b.max(initial=0)) for b in instances)
    yield Figure(
        _PART, f"{name}: nuclei matched at IoU > {_SAME_IOU}", 100 * n_same / max(1, n_true), "%",
        f"{n_found} found",
    )  # fmt: skip
    dice = [score(a, b, mpp=0.25).dice for a, b in zip(true, instances, strict=True)]
    yield Figure(_PART, f"{name}: Dice, mean", float(np.mean(dice)), "", f"least {min(dice):.5f}")


def n_matched(true: InstanceMap, found: InstanceMap) -> int:
    """Nuclei of one map that one of the other covers, at IoU above 0.9."""
    area_true = np.bincount(true.ravel())
    area_found = np.bincount(found.ravel())
    both = (true > 0) & (found > 0)
    pairs, n_px = np.unique(
        true[both].astype(np.int64) * len(area_found) + found[both], return_counts=True
    )
    a, b = pairs // len(area_found), pairs % len(area_found)
    iou = n_px / (area_true[a] + area_found[b] - n_px)
    return int(np.count_nonzero(iou > _SAME_IOU))
