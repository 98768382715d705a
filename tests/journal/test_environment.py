"""What a run says of its machine and its code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.journal import environment


def git(folder: Path, *arguments: str) -> None:
    """Runs git with an author, without the user's settings."""
    who = {"NAME": "A", "EMAIL": "a@example.org"}
    extra = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    call = ["git", "-C", str(folder), *arguments]
    subprocess.run(call, check=True, capture_output=True, env={**os.environ, **extra})


def test_versions_and_machine_are_named_and_the_host_is_not() -> None:
    """Numbers depend on versions and hardware; who ran it is nobody's business."""
    found = environment.describe()
    import torch

    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["epochal"] and found["python"] == platform.python_version()
    assert found["cores"] >= 1 and found["memory_bytes"] > 2**28 and found["cpu"]
    assert platform.node() not in str(found)


def test_describing_imports_nothing_heavy() -> None:
    """Versions come from the package metadata."""
    code = """
import sys
from epochal.journal import environment
environment.fields()
print(*{"torch", "numpy", "scipy"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_git_state_follows_the_repository(tmp_path: Path) -> None:
    """No repository, none yet committed, clean, changed, detached."""
    assert environment.git_state(tmp_path) is None
    git(tmp_path, "init", "-b", "main")
    assert environment.git_state(tmp_path) == {"commit": None, "branch": "main", "dirty": False}
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "x")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "run.json").touch()
    state = environment.git_state(tmp_path / "lab")
    assert state is not None and len(state["commit"]) == 40 and not state["dirty"]
    (tmp_path / "a.py").write_text("2")
    git(tmp_path, "checkout", "--detach")
    assert environment.git_state(tmp_path) == {"commit": state["commit"], "branch": None, "dirty": True}


def test_git_that_is_missing_or_hangs_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training must not wait for a sleeping network drive, nor need git."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(tmp_path) is None
    if os.name != "nt":
        (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
        (tmp_path / "git").chmod(0o755)
        monkeypatch.setattr(environment, "_GIT_TIMEOUT_S", 0.1)
        assert environment.git_state(tmp_path) is None


def test_a_repository_runs_no_program_of_its_own(tmp_path: Path) -> None:
    """A downloaded repository may name a file monitor in its settings."""
    git(tmp_path, "init", "-b", "main")
    (tmp_path / "monitor").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tmp_path / "monitor").chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "monitor"))
    assert environment.git_state(tmp_path) is not None
    assert not (tmp_path / "executed").exists()


def test_the_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program by its name, also when started as a module."""
    monkeypatch.setattr(sys, "argv", ["/opt/env/bin/epochal", "run", "cvae-digits", "--epochs", "4"])
    assert environment.command() == ["epochal", "run", "cvae-digits", "--epochs", "4"]
    monkeypatch.setattr(sys, "argv", ["/src/epochal/cli/__main__.py", "list"])
    assert environment.command() == ["cli", "list"]
