"""Devices: `auto` finds one, and what is not there is refused with what is."""

from __future__ import annotations

import pytest
import torch

from epochal.errors import UsageError
from epochal.training import devices


def test_auto_takes_the_fastest_present() -> None:
    """The first of `available`, whose last is always the CPU."""
    assert devices.available()[-1] == "cpu"
    assert devices.resolve("auto").type == devices.available()[0]
    assert devices.resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "tpu", "meta", "cuda:-2"])
def test_an_unknown_device_is_wrong_usage(name: str) -> None:
    """The message quotes it and lists what is present."""
    with pytest.raises(UsageError, match=f"(?s)unknown device '{name}'.*cpu"):
        devices.resolve(name)


def test_a_device_that_is_not_here_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda on a machine without it, and a card beyond the last one."""
    monkeypatch.setattr(devices, "available", lambda: ["cpu"])
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(UsageError, match=f"(?s)'{name}' is not present.*Present: cpu"):
            devices.resolve(name)
    monkeypatch.setattr(devices, "available", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.resolve("cuda:1") == torch.device("cuda:1")
    assert devices.resolve("auto") == torch.device("cuda")
    with pytest.raises(UsageError, match="'cuda:2' is not present"):
        devices.resolve("cuda:2")


def test_a_device_has_a_name_of_its_own() -> None:
    """Choices are cached under it: it says the processor's kind and vector instructions."""
    assert devices.describe(torch.device("cpu")).startswith("cpu ")
    assert torch.backends.cpu.get_cpu_capability() in devices.describe(torch.device("cpu"))


def test_keeping_memory_is_harmless_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without glibc (musl, macOS, Windows) nothing happens, and nothing fails."""

    def no_library(name: object) -> object:
        raise OSError("no libc")

    devices.keep_memory.cache_clear()
    monkeypatch.setattr(devices.ctypes, "CDLL", no_library)
    devices.keep_memory()
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    devices.keep_memory.cache_clear()
    devices.keep_memory()
    devices.keep_memory.cache_clear()


def test_synchronise_is_free_on_the_cpu() -> None:
    """There is nothing to wait for."""
    devices.synchronise(torch.device("cpu"))
