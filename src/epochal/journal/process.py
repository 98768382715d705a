"""Which process trains a run, told apart from a later one that got the same number."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """What identifies this process: `pid`, `started` (opaque text), `host` (a hash, no name).

    The host hash covers the process number space too, so that two containers of one machine differ.
    """
    pid = os.getpid()
    return {"pid": pid, "started": _started(pid), "host": _host()}


def is_alive(who: Any) -> bool | None:
    """Whether the process that `identity` described still runs; None when it ran on another machine."""
    pid = who.get("pid") if isinstance(who, dict) else None
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31:
        return False
    if who.get("host") != _host():
        return None
    if not _exists(pid):
        return False
    started = _started(pid)
    return started is None or who.get("started") in (None, started)


def _host() -> str:
    import hashlib
    import platform

    parts = [platform.node()]
    for source in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            parts.append(Path(source).read_text().strip())
            break
        except OSError:
            continue
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(["epochal host", *parts]).encode()).hexdigest()[:16]


if sys.platform == "win32":
    import ctypes

    _QUERY_LIMITED_INFORMATION = 0x1000
    _STILL_ACTIVE = 259

    def _exists(pid: int) -> bool:
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return False
        try:
            code = ctypes.c_ulong()
            return not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value == _STILL_ACTIVE
        finally:
            kernel.CloseHandle(handle)

    def _started(pid: int) -> str | None:
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return None
        try:
            times = [ctypes.c_ulonglong() for _ in range(4)]
            if not kernel.GetProcessTimes(handle, *map(ctypes.byref, times)):
                return None
            return str(times[0].value)
        finally:
            kernel.CloseHandle(handle)

else:

    def _exists(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        stat = _proc_stat(pid)
        return stat is None or stat[0] not in ("Z", "X")  # a zombie has ended

    def _started(pid: int) -> str | None:
        stat = _proc_stat(pid)
        if stat is not None:
            try:
                boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            except OSError:
                boot = ""
            return f"{boot}:{stat[19]}"
        return _started_by_ps(pid)

    def _proc_stat(pid: int) -> list[str] | None:
        """Fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()
        return fields if len(fields) > 19 else None

    def _started_by_ps(pid: int) -> str | None:
        if sys.platform.startswith("linux"):
            return None
        import subprocess

        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, text=True, timeout=5, env=environment
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() or None
