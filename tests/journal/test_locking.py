"""Locks: one holder, released by any death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from epochal.errors import EpochalError
from epochal.journal import locking

HOLDER = """
import sys, time
from epochal.journal import locking
with locking.hold(sys.argv[1], wait=True):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    """kill -9 leaves no stale lock behind."""
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(locking.Busy), locking.hold(path, wait=False):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with locking.hold(path, wait=False) as held:
        assert held


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    """Two trainings of one run in one program are refused as well."""
    path = tmp_path / "lock"
    with locking.hold(path, wait=False), pytest.raises(locking.Busy), locking.hold(path, wait=False):
        pass


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """The user sees what is missing."""
    path = tmp_path / "gone" / "lock"
    with pytest.raises(EpochalError, match="its folder does not exist"), locking.hold(path, wait=False):
        pass
