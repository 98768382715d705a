"""Which device a run uses, and what a device needs before it runs fast."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

import torch

from epochal.errors import UsageError


def resolve(name: str) -> torch.device:
    """The device that `name` means: `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: unknown, or not present on this machine; says what is.
    """
    present = available()
    if name == "auto":
        return torch.device(present[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name!r}.", hint=f"Present here: {', '.join(present)} (or auto).")
    count = torch.cuda.device_count()
    missing = device.type not in present or (device.type == "cuda" and (device.index or 0) >= count)
    if missing:
        raise UsageError(
            f"device {name!r} is not present on this machine.",
            hint=f"Present: {', '.join(present)} (or auto).",
        )
    return device


def available() -> list[str]:
    """Device types present, fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def describe(device: torch.device) -> str:
    """The device's own name ("NVIDIA H200", "AMD EPYC …"), part of the key under which choices are cached."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@cache
def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of giving it back to the system after every step.

    A large gradient given back and asked for again pays its page faults in every step; only done on Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc (musl has no mallopt)
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 1 << 25)  # the largest that glibc accepts
    mallopt(trim_threshold, 2**31 - 1)
