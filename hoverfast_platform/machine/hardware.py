"""Processor, memory and GPU."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import psutil

from hoverfast_platform.cores import available_cores, cpu_features, has_bfloat16, int8_arithmetic
from hoverfast_platform.machine.remark import Remark

_SHOWN = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_NEEDED_GIB = 2.0
"""A run on two cores takes 1 GiB; opening a large slide and the system take the rest."""


def processor() -> Remark:
    """Instruction sets, and the arithmetic that follows from them."""
    features = cpu_features()
    known = ", ".join(name for name in _SHOWN if name in features) or "no vector extensions known"
    arithmetic = "int8" if int8_arithmetic() else "bf16" if has_bfloat16() else "fp32"
    text = (
        f"{_processor_name()}, {available_cores()} cores for this process: {known}; "
        f"predicts in {arithmetic}"
    )
    if "avx2" not in features and platform.machine() in ("x86_64", "AMD64"):
        return Remark("note", text, "Without AVX2 a slide takes several times as long.")
    return Remark("ok", text)


def _processor_name() -> str:
    lines = Path("/proc/cpuinfo")
    if lines.is_file():
        for line in lines.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> Remark:
    """What is left of the memory."""
    found = psutil.virtual_memory()
    free, total = found.available / 2**30, found.total / 2**30
    text = f"{free:.1f} of {total:.1f} GiB free"
    if free < _NEEDED_GIB:
        return Remark(
            "note",
            text,
            f"Two cores need about {_NEEDED_GIB:.0f} GiB. End other programs, or use --workers 1.",
        )
    return Remark("ok", text)


def gpu() -> Remark:
    """GPUs that torch can use, and those it cannot."""
    import torch

    if torch.cuda.is_available():
        names = []
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            names.append(f"{name} ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)")
        return Remark("ok", f"{'; '.join(names)}; torch {torch.__version__}")
    if torch.backends.mps.is_available():
        return Remark("ok", "MPS; it is taken with --device mps")
    if Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        built = torch.version.cuda
        return Remark(
            "wrong",
            f"there is an NVIDIA driver, but torch {torch.__version__} sees no GPU",
            "CUDA_VISIBLE_DEVICES may hide it, or the driver is older than torch's CUDA "
            f"{built}; update the driver."
            if built
            else "This torch is built without CUDA. Install the build for CUDA from "
            "https://pytorch.org/get-started/locally.",
        )
    return Remark("ok", "none; the processor predicts")
