"""Making the int8 form of a model: calibrate, compare with the weights, and only then publish.

Post-training quantisation by NNCF (github.com/openvinotoolkit/nncf), symmetric weights and
asymmetric activations, with its fast bias correction. The two output layers stay in floating
point: they cost nothing and carry the borders between nuclei.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.child_processes import starting_children
from hoverfast_platform.config import Appearance
from hoverfast_platform.cores import Int8Arithmetic, cpu_features, int8_arithmetic
from hoverfast_platform.errors import CheckpointError, SettingsError, TrainingError
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledSet
from hoverfast_platform.evaluation.results import Evaluation
from hoverfast_platform.files import written_atomically
from hoverfast_platform.inference.backends.graph_statistics import with_statistics
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
    stored_graph,
)
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.evaluate_model import evaluate_model
from hoverfast_platform.model.checkpoint import LoadedModel, load_model, weights_of
from hoverfast_platform.model.quantised import (
    AgreementCheck,
    Int8Card,
    graph_digest,
    int8_paths,
)
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.signal_stack import use_ordinary_stack_for_signals
from hoverfast_platform.stain import normalised_alone

_CALIBRATION_PX = 512
_MAX_CALIBRATION_IMAGES = 64


def quantise(
    model: LoadedModel,
    calibration: LabelledSet,
    checked_on: LabelledSet,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Int8Card:
    """Put an int8 form beside a model's weights, if it agrees with them.

    Args:
        model: In our own format.
        calibration: Images that show what values to expect; its labels are not looked at.
        checked_on: Other patients' images, with labels.
        on_progress: Told after every image of the check.

    Raises:
        TrainingError: If both sets have a patient or slide in common.
        CheckpointError: If it differs too much from the weights; nothing is published then.
        SettingsError: If NNCF is not installed, or the model is in the published format.
        StorageError: If the files cannot be written.
    """
    if model.path.suffix != ".safetensors":
        raise SettingsError(
            f"{model.path.name} is in the published format; int8 forms belong to .safetensors.",
            "Train it further with --parent, or save it with save_model.",
        )
    shared = {name for item in calibration.items for name in (item.group, item.source)} & {
        name for item in checked_on.items for name in (item.group, item.source)
    }
    if shared:
        raise TrainingError(
            f"{len(shared)} patients or slides are in the set to calibrate on and in the set to "
            f"check on: {sorted(shared)[:5]}.",
            "The check would say nothing; take the training and the validation side of a set.",
        )
    graph, made_with = _calibrated(model, calibration)
    graph_path, card_path = int8_paths(model.path)
    with tempfile.TemporaryDirectory(prefix="hoverfast-int8-") as folder:
        draft = Path(folder) / graph_path.name
        _save(graph, draft)
        card = Int8Card(
            weights_digest=model.digest,
            graph_digest=graph_digest(draft),
            calibration=calibration.name,
            calibration_digest=calibration.digest,
            n_calibration_images=min(len(calibration), _MAX_CALIBRATION_IMAGES),
            checks=_checks(model, draft, checked_on, on_progress),
            made_with=made_with,
        )
        failures = next(iter(card.checks.values())).failures()
        if failures:
            raise CheckpointError(
                f"The int8 form of {model.card.name} does not pass: {'; '.join(failures)}.",
                "Calibrate on more images like those of the check; until then the model runs "
                "in floating point.",
            )
        card_path.unlink(missing_ok=True)  # an old card must not vouch for a new graph
        for suffix in (".xml", ".bin"):
            with written_atomically(graph_path.with_suffix(suffix)) as part:
                shutil.copyfile(draft.with_suffix(suffix), part)
        with written_atomically(card_path) as part:
            part.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def _calibrated(model: LoadedModel, calibration: LabelledSet) -> tuple[Any, str]:
    """The int8 graph, and the versions that made it."""
    try:
        import nncf
    except ImportError as error:
        raise SettingsError(
            "Making an int8 form needs NNCF, which is not installed.",
            "pip install 'hoverfast-platform[quantise]'",
        ) from error
    import openvino as ov

    images = list(
        _calibration_images(calibration, model.card.appearance, model.card.architecture.multiple_px)
    )
    # Values inside the network are those of slides it was adapted to, where it will be.
    shown = [image[0] for image in images]
    adapted = weights_of(adapted_to(model.network, shown, model.card.statistics_share))
    graph = nncf.quantize(
        openvino_graph(replace(model, weights=adapted)),
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=_MAX_CALIBRATION_IMAGES,
        # Weights of seven bits: sums of two products fit 16 bits, where a processor keeps these.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE
        ),
        ignored_scope=nncf.IgnoredScope(patterns=[".*network.last.*"], validate=False),
    )
    use_ordinary_stack_for_signals()  # NNCF computes with OpenVINO
    graph = with_statistics(graph, adapted, model.weights)
    return graph, f"nncf {nncf.__version__}, openvino {ov.__version__}"


def _calibration_images(
    calibration: LabelledSet, appearance: Appearance, multiple_px: int
) -> Iterator[np.ndarray[Any, Any]]:
    """``(1, H, W, 3)`` uint8, evenly spread over the set; sides fit the network."""
    n = min(len(calibration), _MAX_CALIBRATION_IMAGES)
    for i in np.linspace(0, len(calibration) - 1, n).round().astype(int):
        whole = normalised_alone(calibration.read(int(i)).image, appearance)
        image = whole[:_CALIBRATION_PX, :_CALIBRATION_PX]
        height, width = (side - side % multiple_px for side in image.shape[:2])
        yield np.ascontiguousarray(image[None, :height, :width])


def _save(graph: Any, path: Path) -> None:
    import openvino as ov

    ov.save_model(graph, path, compress_to_fp16=False)


def _checks(
    model: LoadedModel, graph_path: Path, dataset: LabelledSet, on_progress: OnProgress
) -> dict[Int8Arithmetic, AgreementCheck]:
    """As this processor adds, and then, where it has VNNI, as one with AVX2 alone does."""
    own = int8_arithmetic() or "vnni"  # others add exactly too
    checks = {own: _check(model, graph_path, dataset, on_progress)}
    if own == "vnni" and "avx2" in cpu_features():
        with ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_allow_avx2_alone
        ) as one_process:
            with starting_children():
                task = one_process.submit(
                    _check_by_avx2, str(model.path), graph_path, dataset.in_memory()
                )
            if (found := task.result()) is not None:
                checks["avx2"] = found
    return checks


def _allow_avx2_alone() -> None:
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # read when OpenVINO first computes


def _check_by_avx2(model: str, graph_path: Path, dataset: LabelledSet) -> AgreementCheck | None:
    """The check in a process that was limited; None where OpenVINO does not heed the limit."""
    import openvino as ov

    graph = stored_graph(graph_path)
    graph.reshape([1, 64, 64, 3])
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    nodes = compiled.get_runtime_model().get_ops()
    kinds = " ".join(str(node.get_rt_info()["primitiveType"]) for node in nodes)
    if any(name in kinds for name in ("avx512", "vnni", "amx")):
        return None
    return _check(load_model(model), graph_path, dataset, ignore_progress)


def _check(
    model: LoadedModel, graph_path: Path, dataset: LabelledSet, on_progress: OnProgress
) -> AgreementCheck:
    """Both forms on the same images, through the same path as any other image."""
    graph = stored_graph(graph_path)
    fp32, fp32_maps = _evaluated(
        OpenVinoPredictor(openvino_graph(model), model, "fp32"), model, dataset, on_progress
    )
    int8, int8_maps = _evaluated(
        OpenVinoPredictor(graph, model, "int8"), model, dataset, on_progress
    )
    mean = {"fp32": fp32.overall(), "int8": int8.overall()}
    return AgreementCheck(
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        n_images=len(dataset),
        n_nuclei=fp32.n_true,
        dice_between=float(
            np.mean([_dice(a > 0, b > 0) for a, b in zip(fp32_maps, int8_maps, strict=True)])
        ),
        dice_fp32=mean["fp32"].dice.mean,
        dice_int8=mean["int8"].dice.mean,
        aji_fp32=mean["fp32"].aji.mean,
        aji_int8=mean["int8"].aji.mean,
        pq_fp32=mean["fp32"].pq.mean,
        pq_int8=mean["int8"].pq.mean,
    )


def _evaluated(
    predictor: OpenVinoPredictor,
    model: LoadedModel,
    dataset: LabelledSet,
    on_progress: OnProgress,
) -> tuple[Evaluation, list[InstanceMap]]:
    maps: list[InstanceMap] = []

    def keep(_number: int, _labelled: LabelledImage, predicted: InstanceMap) -> None:
        maps.append(predicted)

    with SegmentationEngine(model, predictor, n_workers=1) as engine:
        evaluation = evaluate_model(engine, dataset, on_scored=keep, on_progress=on_progress)
    return evaluation, maps


def _dice(a: np.ndarray[Any, np.dtype[np.bool_]], b: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    """1 where both are empty."""
    total = int(a.sum() + b.sum())
    return 2.0 * float((a & b).sum()) / total if total else 1.0
