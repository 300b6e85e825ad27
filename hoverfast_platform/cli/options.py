"""Options that ``infer_wsi`` and ``infer_roi`` share, named as the published tool names them.

Older spellings of an option are kept beside: both ``--batch_gpu`` and ``--batch-size`` work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hoverfast_platform.config import (
    Compute,
    InstanceDecoding,
    Outlines,
    Scale,
    SegmentationSettings,
    Staining,
    Tiling,
)

_OPTIONS = (
    click.option(
        "-o",
        "--outdir",
        default=Path("output"),
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder for results.",
    ),
    click.option(
        "-m",
        "--model_path",
        "--model",
        "model",
        help="Built-in name (`hoverfast models`) or file. "
        "[default: cross-organ; cross-organ-20x from 0.35 to 0.7 um per pixel]",
    ),
    click.option(
        "-p",
        "--poly_simplify",
        type=float,
        default=Outlines().simplification_permille,
        show_default=True,
        help="How far polygons may leave the outline, in thousandths of its length.",
    ),
    click.option(
        "-s",
        "--size_threshold",
        type=float,
        default=InstanceDecoding().min_nucleus_area_um2,
        show_default=True,
        help="Smallest nucleus, square micrometres.",
    ),
    click.option(
        "-st",
        "--stain",
        type=click.Choice(["he", "ihc_dab"]),
        default="he",
        show_default=True,
        help="H&E, or hematoxylin with a nuclear antibody in DAB.",
    ),
    click.option(
        "--dab-thresholds",
        nargs=3,
        type=float,
        default=(Staining().dab_weak_od, Staining().dab_moderate_od, Staining().dab_strong_od),
        show_default=True,
        help="Mean DAB density from which a nucleus is 1+, 2+, 3+.",
    ),
    click.option(
        "-r",
        "--batch_mem",
        type=int,
        help="Accepted and not needed: memory does not grow with the slide.",
    ),
    click.option(
        "-g",
        "--batch_gpu",
        "--batch-size",
        "batch_size",
        type=int,
        default=0,
        help="Regions predicted together; 0: as many as keep the device busy.",
    ),
    click.option(
        "-n",
        "--n_process",
        "--workers",
        "n_workers",
        type=int,
        default=0,
        help="Post-processing processes; 0: as many as the available cores allow.",
    ),
    click.option(
        "--precision",
        default="auto",
        show_default=True,
        help="Numbers the network computes with: auto, fp32, bf16, fp16 (GPU), int8 (CPU). "
        "Part of a result's identity.",
    ),
    click.option(
        "--compile",
        "compile_network",
        is_flag=True,
        help="Let torch compile the network: minutes at the start, for long runs on a GPU.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda, cuda:1, mps; cuda:0,cuda:1 or cuda:all for several.",
    ),
)


def inference_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the shared options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(
    options: dict[str, Any], *, scale: Scale = Scale(), tiling: Tiling = Tiling()
) -> SegmentationSettings:
    """Settings from the shared options.

    Raises:
        ValidationError: Naming what cannot be.
    """
    weak, moderate, strong = options["dab_thresholds"]
    return SegmentationSettings(
        scale=scale,
        tiling=tiling,
        decoding=InstanceDecoding(min_nucleus_area_um2=options["size_threshold"]),
        outlines=Outlines(simplification_permille=options["poly_simplify"]),
        staining=Staining(
            stain=options["stain"],
            dab_weak_od=weak,
            dab_moderate_od=moderate,
            dab_strong_od=strong,
        ),
    )


def compute_of(options: dict[str, Any]) -> Compute:
    """Where to compute, from the shared options."""
    return Compute(
        device=options["device"],
        precision=options["precision"],
        n_workers=options["n_workers"],
        batch_size=options["batch_size"],
        compile=options["compile_network"],
    )
