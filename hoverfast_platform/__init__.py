"""Find every cell nucleus in H&E whole slide images, fast, and keep the model that does it good.

This is the Python API; the command line and Dagster call the same functions. Importing it is
cheap: each name is imported when it is first used. docs/python.md is a short tutorial.

Segment::

    segment_slide, segment_image      one slide or one image, nothing recorded
    segment_slides, segment_images    many, one outcome each: a failed one stops no other
    make_masks                        tissue masks of slides, one outcome each
    SegmentationEngine                a model on a device, shared by many slides
    ShippedEngines                    the models that ship, each slide's by its scale
    SegmentationSettings, Compute     what decides the nuclei; device, precision, workers
    Scale, Staining, Tiling, InstanceDecoding, Outlines, MaskSettings, ResultOptions

Read::

    read_nuclei_table                 the nuclei of a result, as polygons and measurements
    iter_nuclei_table                 likewise, some thousand at a time
    open_slide                        pixels of a slide
    open_labelled_set                 labelled images, for measuring a model
    convert                           from one file format of nuclei to another
    expand_cells                      cells around nuclei, with their compartments
    measure_neighbours                how nuclei lie among each other
    summarise                         counts and densities per slide, region and class
    write_run_report                  one HTML page about a folder of results

Learn and measure::

    label, train                      a training set from a teacher; a student from it
    evaluate_models, compare_models   scores of models on one labelled set
    average_models, adapt_model, quantise_model      new models from old ones
    register_model, promote_model, roll_back, retire_model      what a scope uses
    available_models, load_model      the models that ship; any model

Machines::

    run_benchmark, check_gpu          how fast a machine is; whether its GPU is right

What was made from what lies in a :class:`Catalogue` (``Catalogue.open(path)``). Every error that
is raised on purpose is a :class:`HoverFastError` with a message and a remedy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hoverfast_platform.version import __version__

# OpenVINO and NNCF report every import and conversion to their makers, in a process of its own. A
# hospital's machine tells nobody anything; both work without the package that would do it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

if TYPE_CHECKING:
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.config import (
        Compute,
        InstanceDecoding,
        MaskSettings,
        Outlines,
        Scale,
        SegmentationSettings,
        Staining,
        Tiling,
    )
    from hoverfast_platform.errors import (
        AbsentSlideError,
        ArrayContractError,
        CatalogueError,
        CatalogueUnavailableError,
        ChangedSlideError,
        CheckpointError,
        ComputeError,
        HoverFastError,
        IncompleteSlideError,
        Interrupted,
        LabelError,
        MaskError,
        MissingMppError,
        RegionError,
        ReviewConflictError,
        SettingsError,
        SharedStoreUnavailableError,
        ShareUnavailableError,
        SlideError,
        StorageError,
        TrainingError,
        UnreadableSlideError,
        UnsupportedScaleError,
    )
    from hoverfast_platform.evaluation.labelled_set import open_labelled_set
    from hoverfast_platform.evaluation.promotion import Judgement
    from hoverfast_platform.geometry import Box, Mpp
    from hoverfast_platform.inference.engine import SegmentationEngine
    from hoverfast_platform.inference.segment_image import SegmentedImage, segment_image
    from hoverfast_platform.inference.segment_slide import SegmentedSlide, segment_slide
    from hoverfast_platform.model.checkpoint import load_model
    from hoverfast_platform.model.registry import available_models
    from hoverfast_platform.nuclei.nucleus import Nuclei
    from hoverfast_platform.progress import Progress
    from hoverfast_platform.reports.run_report import write_run_report
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.storage.nuclei_table import iter_nuclei_table, read_nuclei_table
    from hoverfast_platform.storage.patch_table import PatchTable
    from hoverfast_platform.teachers.sampling import Sampling
    from hoverfast_platform.use_cases.benchmark import BenchmarkRequest, run_benchmark
    from hoverfast_platform.use_cases.convert import Converted, convert
    from hoverfast_platform.use_cases.engines import ShippedEngines
    from hoverfast_platform.use_cases.evaluate import (
        Comparison,
        EvaluatedModel,
        compare_models,
        evaluate_models,
    )
    from hoverfast_platform.use_cases.expand_cells import ExpandedCells, expand_cells
    from hoverfast_platform.use_cases.gpu_check import GpuCheckRequest, check_gpu
    from hoverfast_platform.use_cases.label import LabellingRequest, label
    from hoverfast_platform.use_cases.make_masks import make_masks
    from hoverfast_platform.use_cases.model_making import (
        adapt_model,
        average_models,
        quantise_model,
    )
    from hoverfast_platform.use_cases.model_stages import (
        find_registered,
        promote_model,
        register_model,
        retire_model,
        roll_back,
    )
    from hoverfast_platform.use_cases.neighbours import MeasuredNeighbours, measure_neighbours
    from hoverfast_platform.use_cases.outcome import Outcome
    from hoverfast_platform.use_cases.segment_images import PublishedImage, segment_images
    from hoverfast_platform.use_cases.segment_slides import ResultOptions, segment_slides
    from hoverfast_platform.use_cases.summarise import SummarisedSlide, summarise
    from hoverfast_platform.use_cases.train import TrainingRequest, prepare_training, train
    from hoverfast_platform.verdict import PromotionPolicy

__all__ = [
    "AbsentSlideError",
    "ArrayContractError",
    "BenchmarkRequest",
    "Box",
    "Catalogue",
    "CatalogueError",
    "CatalogueUnavailableError",
    "ChangedSlideError",
    "CheckpointError",
    "Comparison",
    "Compute",
    "ComputeError",
    "Converted",
    "EvaluatedModel",
    "ExpandedCells",
    "GpuCheckRequest",
    "HoverFastError",
    "IncompleteSlideError",
    "InstanceDecoding",
    "Interrupted",
    "Judgement",
    "LabelError",
    "LabellingRequest",
    "MaskError",
    "MaskSettings",
    "MeasuredNeighbours",
    "MissingMppError",
    "Mpp",
    "Nuclei",
    "Outcome",
    "Outlines",
    "PatchTable",
    "Progress",
    "PromotionPolicy",
    "PublishedImage",
    "RegionError",
    "ResultOptions",
    "ReviewConflictError",
    "Sampling",
    "Scale",
    "SegmentationEngine",
    "SegmentationSettings",
    "SegmentedImage",
    "SegmentedSlide",
    "SettingsError",
    "ShareUnavailableError",
    "SharedStoreUnavailableError",
    "ShippedEngines",
    "SlideError",
    "Staining",
    "StorageError",
    "SummarisedSlide",
    "Tiling",
    "TrainingError",
    "TrainingRequest",
    "UnreadableSlideError",
    "UnsupportedScaleError",
    "__version__",
    "adapt_model",
    "available_models",
    "average_models",
    "check_gpu",
    "compare_models",
    "convert",
    "evaluate_models",
    "expand_cells",
    "find_registered",
    "iter_nuclei_table",
    "label",
    "load_model",
    "make_masks",
    "measure_neighbours",
    "open_labelled_set",
    "open_slide",
    "prepare_training",
    "promote_model",
    "quantise_model",
    "read_nuclei_table",
    "register_model",
    "retire_model",
    "roll_back",
    "run_benchmark",
    "segment_image",
    "segment_images",
    "segment_slide",
    "segment_slides",
    "summarise",
    "train",
    "write_run_report",
]

_HOMES = {
    "catalogue": "Catalogue",
    "config": (
        "Compute InstanceDecoding MaskSettings Outlines Scale SegmentationSettings Staining Tiling "
    ),
    "errors": (
        "AbsentSlideError "
        "ArrayContractError "
        "CatalogueError "
        "CatalogueUnavailableError "
        "ChangedSlideError "
        "CheckpointError "
        "ComputeError "
        "HoverFastError "
        "IncompleteSlideError "
        "Interrupted "
        "LabelError "
        "MaskError "
        "MissingMppError "
        "RegionError "
        "ReviewConflictError "
        "SettingsError "
        "SlideError "
        "SharedStoreUnavailableError "
        "ShareUnavailableError "
        "StorageError "
        "TrainingError "
        "UnreadableSlideError "
        "UnsupportedScaleError "
    ),
    "evaluation.labelled_set": "open_labelled_set",
    "evaluation.promotion": "Judgement",
    "geometry": "Box Mpp",
    "inference.engine": "SegmentationEngine",
    "inference.segment_image": "SegmentedImage segment_image",
    "inference.segment_slide": "SegmentedSlide segment_slide",
    "model.checkpoint": "load_model",
    "model.registry": "available_models",
    "nuclei.nucleus": "Nuclei",
    "progress": "Progress",
    "reports.run_report": "write_run_report",
    "slide": "open_slide",
    "storage.nuclei_table": "iter_nuclei_table read_nuclei_table",
    "storage.patch_table": "PatchTable",
    "teachers.sampling": "Sampling",
    "use_cases.benchmark": "BenchmarkRequest run_benchmark",
    "use_cases.convert": "Converted convert",
    "use_cases.engines": "ShippedEngines",
    "use_cases.evaluate": "Comparison EvaluatedModel compare_models evaluate_models",
    "use_cases.expand_cells": "ExpandedCells expand_cells",
    "use_cases.gpu_check": "GpuCheckRequest check_gpu",
    "use_cases.label": "LabellingRequest label",
    "use_cases.make_masks": "make_masks",
    "use_cases.model_making": "adapt_model average_models quantise_model",
    "use_cases.model_stages": (
        "find_registered promote_model register_model retire_model roll_back"
    ),
    "use_cases.neighbours": "MeasuredNeighbours measure_neighbours",
    "use_cases.outcome": "Outcome",
    "use_cases.segment_images": "PublishedImage segment_images",
    "use_cases.segment_slides": "ResultOptions segment_slides",
    "use_cases.summarise": "SummarisedSlide summarise",
    "use_cases.train": "TrainingRequest prepare_training train",
    "verdict": "PromotionPolicy",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


_COMPONENTS = ("SlideFolder", "Segmentation", "Cohort", "Alerts")
"""Dagster's components: YAML calls them `hoverfast_platform.SlideFolder`. They are not part of the
Python API, and are found only where Dagster is installed."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in _COMPONENTS:
        return getattr(import_module(f"{__name__}.assets.components"), name)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what is public, so that a notebook completes it before it is imported."""
    return sorted(__all__)
