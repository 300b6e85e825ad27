"""Which devices a setting stands for on this machine.

Torch, which knows, is asked only where there may be an accelerator: it takes seconds to start.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hoverfast_platform.errors import SettingsError

_ACCELERATORS = tuple(
    Path(device) for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
)
"""What Linux has of NVIDIA's driver, of a GPU under Windows' Linux, and of AMD's driver."""


def resolve_devices(names: str) -> tuple[str, ...]:
    """The devices a setting stands for: one, several with commas between, or ``cuda:all``.

    Raises:
        SettingsError: If the machine does not have one, or one is named twice.
    """
    if names == "cuda:all":
        import torch

        names = ",".join(f"cuda:{i}" for i in range(torch.cuda.device_count())) or "cuda"
    devices = tuple(resolve_device(name.strip()) for name in names.split(","))
    if len(set(devices)) < len(devices) or (len(devices) > 1 and not _are_all_cuda(devices)):
        raise SettingsError(
            f"Devices {names!r} were asked for; several must be different CUDA devices.",
            "Use cuda:all, or for instance cuda:0,cuda:1.",
        )
    return devices


def _are_all_cuda(devices: tuple[str, ...]) -> bool:
    return all(device.startswith("cuda") for device in devices)


def resolve_device(name: str) -> str:
    """The device a setting stands for: ``cpu``, ``cuda:0``, ``mps``.

    Raises:
        SettingsError: If the machine does not have it.
    """
    if name.partition(":")[0] == "cpu" or (name == "auto" and not _may_have_accelerator()):
        return "cpu"
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and torch.cuda.is_available() and (number or "0").isdigit():
        index = int(number or 0)
        if index < torch.cuda.device_count():
            return f"cuda:{index}"
    if kind == "mps" and torch.backends.mps.is_available():
        return name
    raise SettingsError(
        f"Device {name!r} was asked for, but this machine has "
        f"{torch.cuda.device_count()} CUDA devices"
        f"{' and MPS' if torch.backends.mps.is_available() else ''}.",
        "Use auto or cpu, or check the driver and CUDA_VISIBLE_DEVICES.",
    )


def _may_have_accelerator() -> bool:
    return sys.platform != "linux" or any(device.exists() for device in _ACCELERATORS)
