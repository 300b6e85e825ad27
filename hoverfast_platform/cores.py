"""How many processor cores this process may use: affinity, cgroup and SLURM limits respected."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal, TypeAlias

Int8Arithmetic: TypeAlias = Literal["vnni", "avx2"]
"""How a processor adds products of bytes: ``vnni`` exactly; ``avx2`` in pairs of which each sum is
kept in 16 bits, so that a large one is cut off."""

_CPUINFO = Path("/proc/cpuinfo")
_LATER_THAN_AVX2 = ("avx512", "avx_vnni", "avx10", "amx")
_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_cores() -> int:
    """Cores this process may keep busy, at least 1.

    The smallest of: the affinity mask (``taskset``, SLURM task binding), the cgroup quota
    (containers, Kubernetes limits) and ``SLURM_CPUS_PER_TASK``. ``os.cpu_count()`` would
    count the machine's cores, of which a job may own a few.
    """
    limits: list[float] = [_affinity()]
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdigit() and int(slurm) > 0:
        limits.append(int(slurm))
    return max(1, math.floor(min(limits)))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_quota() -> float | None:
    """Cores granted by the cgroup, or None where there is no limit."""
    if _CGROUP_V2.is_file():
        quota, period = _CGROUP_V2.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if _CGROUP_V1_QUOTA.is_file() and _CGROUP_V1_PERIOD.is_file():
        quota_us = int(_CGROUP_V1_QUOTA.read_text())
        return None if quota_us <= 0 else quota_us / int(_CGROUP_V1_PERIOD.read_text())
    return None


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 by itself; where not, it is emulated slowly."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_features())


def has_vnni() -> bool:
    """Whether the processor multiplies bytes by itself, which int8 forms are made for."""
    return bool({"avx512_vnni", "avx_vnni"} & cpu_features())


def int8_arithmetic() -> Int8Arithmetic | None:
    """How this processor computes int8 forms; None where that is not known to be worth it."""
    if has_vnni():
        return "vnni"
    return "avx2" if "avx2" in cpu_features() else None


def cpu_features() -> frozenset[str]:
    """Instruction sets of the processor that may be used, by the names that Linux and torch give.

    Elsewhere than on Linux torch is asked. Older versions of it do not tell, so that none is known
    and fp32 is taken. Where ``ONEDNN_MAX_CPU_ISA`` keeps OpenVINO to AVX2, later sets are left out.
    """
    found = _features_of_linux() if _CPUINFO.is_file() else _features_that_torch_knows()
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() == "AVX2":
        return frozenset(name for name in found if not name.startswith(_LATER_THAN_AVX2))
    return found


def _features_of_linux() -> frozenset[str]:
    lines = _CPUINFO.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def _features_that_torch_knows() -> frozenset[str]:
    import torch  # not at the top: it takes seconds to start

    asked = getattr(torch.cpu, "get_capabilities", None)
    if asked is None:
        return frozenset()
    return frozenset(name for name, has in asked().items() if has is True)
