"""Reading energy: from counters in files, from programs that print watts, and saying why when there is nothing."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.bench import _energy

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' files")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without counters and without NVIDIA's programs."""
    monkeypatch.setattr(_energy, "POWERCAP", tmp_path / "powercap")
    monkeypatch.setattr(_energy, "HWMON", tmp_path / "hwmon")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def no_driver() -> None:
        raise OSError("no driver")

    monkeypatch.setattr(_energy, "nvml_library", no_driver)


def zone(folder: Path, name: str, microjoules: int, largest: int = 10**12) -> Path:
    """A RAPL zone as the kernel shows it; returns its counter."""
    (folder / "powercap" / name).mkdir(parents=True)
    (folder / "powercap" / name / "max_energy_range_uj").write_text(f"{largest}\n")
    counter = folder / "powercap" / name / "energy_uj"
    counter.write_text(f"{microjoules}\n")
    return counter


@linux
def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    """Two packages count; the cores inside of a package are already in it."""
    first = zone(tmp_path, "intel-rapl:0", 5_000_000)
    second = zone(tmp_path, "intel-rapl:1", 7_000_000)
    zone(tmp_path, "intel-rapl:0:0", 1)
    source = _energy.source_of("cpu")
    assert isinstance(source, _energy.Counters) and "RAPL" in source.what
    assert source.read() == 0
    first.write_text("6000000")
    second.write_text("7500000")
    assert source.read() == pytest.approx(1.5)


@linux
def test_a_counter_that_starts_again_loses_nothing(tmp_path: Path) -> None:
    """After its largest value it is 0 again: the energy in between counts, over several turns."""
    counter = zone(tmp_path, "intel-rapl:0", 900, largest=999)
    source = _energy.source_of("cpu")
    assert isinstance(source, _energy.Counters)
    for value, total in ((100, 200e-6), (999, 1099e-6), (0, 1100e-6)):
        counter.write_text(str(value))
        assert source.read() == pytest.approx(total)


@linux
def test_amd_sockets_are_read_where_there_is_no_rapl(tmp_path: Path) -> None:
    """The module amd_energy labels cores and sockets; only sockets count."""
    folder = tmp_path / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    for number, label in ((1, "Ecore000"), (2, "Esocket0")):
        (folder / f"energy{number}_label").write_text(f"{label}\n")
        (folder / f"energy{number}_input").write_text("1000000\n")
    source = _energy.source_of("cpu")
    assert isinstance(source, _energy.Counters) and "amd_energy" in source.what
    (folder / "energy1_input").write_text("9000000")
    (folder / "energy2_input").write_text("3000000")
    assert source.read() == pytest.approx(2.0)


def test_without_a_counter_it_says_why() -> None:
    """Each kind of device has its own reason."""
    for kind in ("cpu", "cuda", "mps"):
        found = _energy.source_of(kind)
        assert isinstance(found, _energy.Unreadable) and found.why
    gpu = _energy.source_of("cuda")
    assert isinstance(gpu, _energy.Unreadable) and "nvidia-smi" in gpu.why


@linux
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator reads everything"
)
def test_a_counter_for_the_administrator_alone(tmp_path: Path) -> None:
    """RAPL is readable by root only on most systems: that is said."""
    zone(tmp_path, "intel-rapl:0", 1).chmod(0)
    found = _energy.source_of("cpu")
    assert isinstance(found, _energy.Unreadable) and "administrator" in found.why


def write_program(folder: Path, name: str, body: str) -> None:
    """A Python program of that name on the PATH."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / name
    program.write_text(f"#!{sys.executable}\n{body}")
    program.chmod(0o755)


NVIDIA_SMI = """
import sys, time
print("200.0", flush=True)
while "-lms" in sys.argv:
    time.sleep(0.02)
    print("200.0", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a program without a suffix")
def test_watts_of_nvidia_smi_become_joules(tmp_path: Path) -> None:
    """200 W over a stretch inside the samples are 200 J a second, whatever the pauses between lines."""
    write_program(tmp_path, "nvidia-smi", NVIDIA_SMI)
    source = _energy.source_of("cuda")
    assert isinstance(source, _energy.PowerStream)
    with _energy.Meter(source) as meter:
        time.sleep(0.6)
    first, last = meter.samples[0][0], meter.samples[-1][0]
    assert len(meter.samples) >= 3
    joules = meter.joules(first + 0.05, last - 0.05)
    assert joules == pytest.approx(200 * (last - first - 0.1), rel=0.05)
    assert meter.joules(first, last + 10) is None  # nothing is known of after


@pytest.mark.skipif(sys.platform == "win32", reason="needs a program without a suffix")
def test_a_gpu_that_tells_no_power(tmp_path: Path) -> None:
    """ "[N/A]", as parts of a divided GPU answer, is a reason and no number."""
    write_program(tmp_path, "nvidia-smi", "print('[N/A]')\n")
    found = _energy.source_of("cuda")
    assert isinstance(found, _energy.Unreadable) and "no power" in found.why


class Driver:
    """NVML as its C functions behave: a status code back, values through pointers."""

    def __init__(self, millijoules: int, status: int = 0) -> None:
        self.millijoules, self.status, self.asked = millijoules, status, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append((name, *(getattr(a, "value", a) for a in arguments[:1])))
            if name == "nvmlDeviceGetTotalEnergyConsumption":
                arguments[1]._obj.value = self.millijoules
                return self.status
            return 0

        return call


def test_the_gpus_own_counter_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millijoules become joules; the GPU is found by index or UUID, and the library let go at the end."""
    driver = Driver(5_000)
    monkeypatch.setattr(_energy, "nvml_library", lambda: driver)
    for gpu, asked in (
        ("1", ("nvmlDeviceGetHandleByIndex_v2", 1)),
        ("GPU-ab", ("nvmlDeviceGetHandleByUUID", b"GPU-ab")),
    ):
        source = _energy.source_of("cuda", gpu)
        assert isinstance(source, _energy.Nvml) and asked in driver.asked
        driver.millijoules += 2_500
        assert source.read() == driver.millijoules / 1e3
        source.close()
        assert driver.asked[-1][0] == "nvmlShutdown"


@pytest.mark.parametrize(("gpu", "status"), [("0", 3), ("MIG-1", 0)])
def test_a_gpu_without_the_counter(monkeypatch: pytest.MonkeyPatch, gpu: str, status: int) -> None:
    """An old board, or a part of a divided one, has no counter of its own; without nvidia-smi that is said."""
    monkeypatch.setattr(_energy, "nvml_library", lambda: Driver(0, status))
    found = _energy.source_of("cuda", gpu)
    assert isinstance(found, _energy.Unreadable) and "no energy counter" in found.why


class Fixed:
    """A source that is never read."""

    what = "fixed"

    def read(self) -> float | None:
        """Nothing."""
        return None

    def close(self) -> None:
        """Nothing."""


@given(st.floats(0, 500), st.floats(0.01, 0.9), st.floats(0.1, 3), st.integers(5, 60), st.floats(1e3, 2e9))
def test_between_samples_energy_is_on_a_straight_line(
    watts: float, start: float, length: float, samples: int, began: float
) -> None:
    """With constant power any stretch inside the samples gives power times time."""
    meter = _energy.Meter(Fixed())
    meter.samples = [
        (began + 5 * i / (samples - 1), 77 + watts * 5 * i / (samples - 1)) for i in range(samples)
    ]
    joules = meter.joules(began + start, began + start + length)
    assert joules == pytest.approx(watts * length, rel=1e-3, abs=1e-3)
