"""Where and how a run was made: versions, machine, git state, command. No host or user name is kept."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("epochal", "torch", "numpy", "scipy", "scikit-learn", "safetensors")
_GIT_TIMEOUT_S = 5.0


def fields(folder: str | os.PathLike[str] = ".") -> dict[str, Any]:
    """The fields `environment`, `git` and `command` of a run made now, for `Lab.create_run(**fields)`.

    Args:
        folder: the working folder, whose repository is asked for its state; where it lies in none, the one that
            Epochal's own source lies in.
    """
    state = git_state(folder) or git_state(Path(__file__).parent)
    return {"environment": describe(), "git": state, "command": command()}


def describe() -> dict[str, Any]:
    """Versions and machine, by importing nothing heavy.

    Returns:
        `python`, `packages` (name → version, None when not installed), `platform`, `cpu`, `cores` (that this
        process may use), `memory_bytes` (None when unknown).
    """
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": _cores(),
        "memory_bytes": _memory(),
    }


def git_state(folder: str | os.PathLike[str] = ".") -> dict[str, Any] | None:
    """State of the git repository that `folder` lies in.

    Returns:
        `commit` (None before the first one), `branch` (None when detached), `dirty` (tracked files differ
        from the commit); None when there is no repository, no git, or no answer in five seconds.
    """
    # A repository's own settings must not run programs (fsmonitor), nor asking take its lock.
    call = [
        "git",
        "-c",
        "core.fsmonitor=false",
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=no",
    ]
    try:
        done = subprocess.run(
            call,
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    state: dict[str, Any] = {"commit": None, "branch": None, "dirty": False}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("# branch.oid "):
            commit = line.split(" ", 2)[2]
            state["commit"] = None if commit == "(initial)" else commit
        elif line.startswith("# branch.head "):
            branch = line.split(" ", 2)[2]
            state["branch"] = None if branch == "(detached)" else branch
        elif not line.startswith("#"):
            state["dirty"] = True
    return state


def command() -> list[str]:
    """The command line of this process as it can be typed again: the program without its folder."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    if program == "__main__.py":  # started by `python -m package`
        program = Path(sys.argv[0]).parent.name
    return [program, *sys.argv[1:]]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    if sys.platform.startswith("linux"):
        try:
            for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
        except OSError:
            pass
    elif sys.platform == "darwin":
        try:
            call = ["sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(call, capture_output=True, check=True, text=True, timeout=5)
            return done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if sys.platform == "win32":
    import ctypes

    class _MemoryStatus(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "pt", "pf", "vt", "vf", "ve")),
        ]

    def _memory() -> int | None:
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        found = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total) if found else None

else:

    def _memory() -> int | None:
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError):
            return None
