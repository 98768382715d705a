"""A run.json that somebody spoilt is told about and spoils nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, atomic

SPOILT: list[dict[str, Any]] = [
    {"seed": 10**30},
    {"epochs_done": -(10**30)},
    {"name": "\ud800"},
    {"final": {"loss": "high"}},
    {"final": {"loss": [1]}},
    {"final": {"loss": 10**400}},
    {"members": -3},
    {"evaluation": {"test": 5}},
    {"evaluation": {"test": {"accuracy": {"of": 1}}}},
    {"loss_definition": {"a": 5}},
    {"command": [1]},
]


@pytest.mark.parametrize("change", SPOILT, ids=str)
def test_a_spoilt_run_leaves_the_others_listed(tmp_path: Path, change: dict[str, Any]) -> None:
    """The index is still written, the good run found, the bad one named with its reason."""
    lab = Lab(tmp_path)
    good, bad = lab.create_run(recipe="r", final={"loss": 1.0}), lab.create_run(recipe="r")
    path = bad.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert [run.id for run in lab.runs()] == [good.id]
    assert list(lab.broken()) == [bad.path] and lab.index().path.is_file()
    with pytest.raises(EpochalError, match=r"cannot be read: its run\.json has"):
        Lab(tmp_path).find(str(bad.path))


def test_numbers_that_are_not_finite_are_numbers(tmp_path: Path) -> None:
    """A diverged run holds them as texts."""
    lab = Lab(tmp_path)
    lab.create_run(recipe="r", final={"loss": float("nan"), "mse": float("-inf")})
    assert lab.runs()[0].meta["final"]["mse"] == float("-inf") and not lab.broken()


def test_texts_that_sqlite_does_not_take_do_not_stop_the_listing(tmp_path: Path) -> None:
    """Half a character inside a number's name: listed, only slower."""
    lab = Lab(tmp_path)
    path = lab.create_run(recipe="r").path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "final": {"\ud800": 1.0}}))
    assert len(lab.runs()) == 1
    atomic.write_text(tmp_path / "log.md", "\ud800 \udc80")
    assert (tmp_path / "log.md").read_bytes() == b"? ?"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_no_file_is_put_in_the_place_of_a_pipe_or_folder(tmp_path: Path) -> None:
    """Renaming would replace /dev/null, when root writes there, by a plain file."""
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("pipe", "no plain file"), (".", "a folder")):
        with pytest.raises(EpochalError, match=what):
            atomic.write_text(tmp_path / name, "x")
    assert not (tmp_path / "pipe").is_file()


def test_a_failed_start_removes_its_own_run(tmp_path: Path) -> None:
    """The run names this process as its trainer: only who says so may delete it."""
    run = Lab(tmp_path).create_run(recipe="r", status="running")
    with pytest.raises(EpochalError, match="being trained"):
        run.delete()
    run.delete(own=True)
    assert not run.path.exists()


def test_an_empty_name_is_no_lab() -> None:
    """`--lab "$UNSET"` must not make the present folder a lab."""
    with pytest.raises(UsageError, match="empty name"):
        Lab("")
