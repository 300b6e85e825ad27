"""Which devices a setting stands for on this machine."""

from __future__ import annotations

import torch

from hoverfast_platform.errors import SettingsError


def resolve_devices(names: str) -> tuple[str, ...]:
    """The devices a setting stands for: one, several with commas between, or ``cuda:all``.

    Raises:
        SettingsError: If the machine does not have one, or one is named twice.
    """
    if names == "cuda:all":
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
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return "cpu"
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
