"""Telling a living process from a dead one and from another with its number."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from epochal.journal import process

SLEEPER = """
import json, time
from epochal.journal import process
print(json.dumps(process.identity()), flush=True)
time.sleep(60)
"""


def test_this_process_is_alive() -> None:
    """Its identity is stable and holds no host name."""
    who = process.identity()
    assert who == process.identity() and process.is_alive(who) is True
    assert platform.node() not in str(who)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no zombies")
def test_a_killed_process_is_dead_even_as_a_zombie() -> None:
    """The parent may not have waited for it yet; it trains nothing any more."""
    child = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    try:
        assert child.stdout
        who = json.loads(child.stdout.readline())
        assert process.is_alive(who) is True
        child.kill()
        assert child.stdout.read() == b""  # end of file: it has ended, but nobody has waited for it
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_alive(who) is False
    finally:
        child.kill()
        child.communicate()
    assert process.is_alive(who) is False


def test_a_reused_number_is_not_the_same_process() -> None:
    """Numbers come again after a reboot; the start time tells."""
    assert process.is_alive({**process.identity(), "started": "long ago"}) is False


def test_another_machine_is_not_judged() -> None:
    """Its process numbers mean nothing here."""
    assert process.is_alive({**process.identity(), "host": "0" * 16}) is None


@pytest.mark.parametrize("who", [None, {}, [], {"pid": "1"}, {"pid": True}, {"pid": -1}, {"pid": 2**70}])
def test_a_spoilt_identity_is_dead(who: object) -> None:
    """A malformed run.json must not stop a listing, nor signal a process group."""
    assert process.is_alive(who) is False
