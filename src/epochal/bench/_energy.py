"""Energy that a device took over a stretch of time, where its driver lets a program read it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import IO, Any, Protocol

EVERY_S = 0.1  # between two samples of a counter
POWERCAP = Path("/sys/class/powercap")  # Linux: Intel's RAPL, and AMD's under the same name
HWMON = Path("/sys/class/hwmon")  # Linux: the module amd_energy
_STREAM_MS = 100


class Source(Protocol):
    """Something that can be read again and again while a device works."""

    what: str
    """What it covers, and who says so."""

    def read(self) -> float | None:
        """Joules since some moment, rising; None when there is no more to read."""

    def close(self) -> None:
        """Ends what reading needs."""


@dataclass(frozen=True)
class Unreadable:
    """Why there is no reading."""

    why: str


class Meter:
    """Samples a source in a thread, from entering to leaving the `with` block."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.samples: list[tuple[float, float]] = []  # seconds since the epoch, joules
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Meter:
        """Begins to sample."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the sampling."""
        self._over.set()
        self.source.close()
        self._thread.join(timeout=5)

    def joules(self, start: float, end: float) -> float | None:
        """Energy between two moments (`time.time()`), between samples on a straight line.

        None when the samples do not reach over the whole stretch by half a second.
        """
        import numpy as np

        if len(self.samples) < 2 or self.samples[0][0] > start + 0.5 or self.samples[-1][0] < end - 0.5:
            return None
        moments, joules = np.array(self.samples).T
        first, last = np.interp([start, end], moments, joules)
        return float(last - first)

    def _sample(self) -> None:
        while not self._over.is_set():
            value = self.source.read()
            if value is None:
                return
            self.samples.append((time(), value))
            self._over.wait(EVERY_S)


class Counters:
    """Counters of microjoules in files, summed; each starts again at 0 above its range."""

    def __init__(self, what: str, files: list[Path], ranges: list[int | None]) -> None:
        self.what = what
        self._files, self._ranges = files, ranges
        self._last = [int(file.read_text()) for file in files]
        self._total = 0.0

    def read(self) -> float | None:
        """Joules since the source was made."""
        for number, file in enumerate(self._files):
            now, before = int(file.read_text()), self._last[number]
            wrap = self._ranges[number]
            step = now - before if now >= before or wrap is None else now + wrap + 1 - before
            self._total += step / 1e6
            self._last[number] = now
        return self._total

    def close(self) -> None:
        """Nothing to end."""


class PowerStream:
    """A program that prints watts, one number a line: their integral over time (trapezia)."""

    def __init__(self, what: str, call: list[str]) -> None:
        self.what = what
        self._process = subprocess.Popen(
            call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._total = 0.0
        self._before: tuple[float, float] | None = None

    def read(self) -> float | None:
        """Joules since the first line; waits for the next one."""
        lines: IO[str] | None = self._process.stdout
        try:
            watts = float(lines.readline()) if lines is not None else None
        except ValueError:  # the end, or "[N/A]"
            return None
        if watts is None:
            return None
        now = time()
        if self._before is not None:
            self._total += (now - self._before[0]) * (watts + self._before[1]) / 2
        self._before = now, watts
        return self._total

    def close(self) -> None:
        """Ends the program."""
        self._process.kill()
        self._process.wait()


class Nvml:
    """NVIDIA's counter of the whole board (millijoules since the driver was loaded; Volta and later)."""

    what = "GPU board, NVML's energy counter"

    def __init__(self, gpu: str) -> None:
        """Finds the GPU, by index or UUID.

        Raises:
            OSError: no driver, no such GPU, or one without the counter.
        """
        self._library: Any = nvml_library()
        self._call("nvmlInit_v2")
        self._gpu = ctypes.c_void_p()
        if gpu.startswith("GPU-"):
            self._call("nvmlDeviceGetHandleByUUID", gpu.encode(), ctypes.byref(self._gpu))
        elif gpu.isdecimal():
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(gpu)), ctypes.byref(self._gpu))
        else:
            raise OSError(f"{gpu} is no whole GPU")
        self.read()

    def read(self) -> float | None:
        """Joules since the driver was loaded."""
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._gpu, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def close(self) -> None:
        """Lets NVML go."""
        self._call("nvmlShutdown")

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise OSError(f"{name} answered {code}")


def nvml_library() -> Any:
    """NVIDIA's management library, which comes with the driver.

    Raises:
        OSError: there is no driver.
    """
    return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")


def source_of(kind: str, gpu: str = "0") -> Source | Unreadable:
    """What the energy of a device can be read from, or why it cannot.

    Args:
        kind: "cpu", "cuda" or "mps".
        gpu: which one, by index or UUID ("GPU-…"), for "cuda".
    """
    if kind == "cuda":
        return _nvidia(gpu)
    if kind == "cpu" and sys.platform.startswith("linux"):
        return _linux_cpu()
    return Unreadable(f"no counter that an ordinary program may read on {sys.platform} ({kind})")


def _nvidia(gpu: str) -> Source | Unreadable:
    """The board's energy counter, else the power that nvidia-smi prints."""
    try:
        return Nvml(gpu)
    except OSError as problem:
        if shutil.which("nvidia-smi") is None:
            return Unreadable(f"no energy counter ({problem}) and no nvidia-smi")
    query = ["nvidia-smi", "-i", gpu, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        once = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        float(once)
    except (OSError, subprocess.SubprocessError, ValueError):
        return Unreadable("nvidia-smi reads no power on this GPU")
    return PowerStream(f"GPU board, power.draw every {_STREAM_MS} ms", [*query, "-lms", str(_STREAM_MS)])


def _linux_cpu() -> Source | Unreadable:
    """The packages' counters: RAPL, else amd_energy."""
    zones = [zone for zone in sorted(POWERCAP.glob("*-rapl:*")) if zone.name.count(":") == 1]
    packages = [zone / "energy_uj" for zone in zones if (zone / "energy_uj").is_file()]
    labels = sorted(HWMON.glob("*/energy*_label"))
    sockets = [
        label.with_name(label.name.replace("_label", "_input"))
        for label in labels
        if _text(label).startswith("Esocket")
    ]
    for what, files in (("CPU packages, RAPL", packages), ("CPU sockets, amd_energy", sockets)):
        if not files:
            continue
        try:
            ranges = [_whole(file.with_name("max_energy_range_uj")) for file in files]
            return Counters(what, files, ranges)
        except PermissionError:
            return Unreadable(f"{what}: only the administrator may read {files[0]}")
        except (OSError, ValueError) as problem:
            return Unreadable(f"{what}: {problem}")
    return Unreadable("this machine shows no energy counter of its processor (a virtual machine seldom does)")


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _whole(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None
