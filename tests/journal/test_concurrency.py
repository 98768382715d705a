"""Kills at any instant and many processes on one lab: nothing is lost, nothing is half-written."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from epochal.journal import Lab, Run, jsonl

WRITER = """
import itertools, sys
from epochal.journal import Lab
run = Lab(sys.argv[1]).create_run(recipe="r", version="v", seed=int(sys.argv[2]))
print(run.path, flush=True)
with run.lock():
    run.update(status="running")
    for n in itertools.count(1):
        # Written before it is announced: what was announced must be found after the kill.
        run.append("metrics", [{"step": 2 * n + i, "epoch": n, "values": {"loss": 1 / n}} for i in range(2)])
        run.update(epochs_done=n, final={"loss": 1 / n, "filler": "x" * (n * 997 % 9000)})
        if n % 3 == 0:
            run.truncate("metrics", after_step=2 * n + 1)
        print(n, flush=True)
"""


def test_a_kill_at_any_instant_leaves_a_valid_run(tmp_path: Path) -> None:
    """After SIGKILL: run.json is whole and no older than announced, and every announced line is there."""
    chance = random.Random(7)
    lab = Lab(tmp_path)
    for seed in range(20):
        with (tmp_path / "announced").open("wb") as announced:
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), str(seed)], stdout=announced
            )
            while (tmp_path / "announced").stat().st_size == 0 and writer.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.06))
            writer.kill()
            writer.wait()
        folder, *numbers = (tmp_path / "announced").read_text().split("\n")
        done = max((int(number) for number in numbers if number), default=0)
        run = Run(folder)
        assert done <= run.meta["epochs_done"] <= done + 1
        log = jsonl.read(run.path / "metrics.jsonl")
        assert not log.garbage
        assert [record["step"] for record in log.records][: 2 * done] == list(range(2, 2 * done + 2))
        assert not run.alive()
        with run.lock():
            run.append("metrics", [{"step": -1}])
            run.update(status="stopped")
        assert run.metrics()[-1] == {"step": -1} and not run.problems()
    assert len(lab.runs()) == 20 and lab.broken() == {}


MEMBER = """
import sys
from epochal.journal import Lab
lab, number = Lab(sys.argv[1]), int(sys.argv[2])
for n in range(3):
    run = lab.create_run(recipe="r", version=f"w{number}", seed=n, status="running")
    with run.lock():
        for epoch in range(1, 11):
            run.append("metrics", [{"step": epoch, "epoch": epoch, "values": {"loss": number + n}}])
            run.update(epochs_done=epoch)
        run.update(status="finished", final={"loss": number + n})
    assert lab.find(run.id) == run and lab.find(f"r:w{number}@{n}") == run
"""

VANDAL = """
import os, random, sys
from epochal.journal import Lab
lab, chance, seen = Lab(sys.argv[1]), random.Random(int(sys.argv[2])), 0
path = lab.path / "index.sqlite"
while not (lab.path / "stop").exists():
    try:
        deed = chance.randrange(4)
        if deed == 0:
            path.unlink()
        elif deed == 1:
            os.truncate(path, chance.randrange(4096))
        elif deed == 2:
            path.write_bytes(b"rubbish" * 1000)
    except OSError:
        pass
    rows = lab.summaries()
    assert len(rows) >= seen and not lab.broken(), (len(rows), seen, lab.broken())
    seen = len(rows)
"""


def test_sixteen_processes_write_while_the_index_is_read_rebuilt_and_deleted(tmp_path: Path) -> None:
    """Every run and every line of every process is there, and no reader ever misses a run it had seen."""
    lab = Lab(tmp_path / "lab")
    lab.path.mkdir()

    def start(code: str, number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(lab.path), str(number)], stderr=subprocess.PIPE
        )

    vandals = [start(VANDAL, number) for number in range(2)]
    members = [start(MEMBER, number) for number in range(16)]
    errors = [member.communicate(timeout=120)[1] for member in members]
    (lab.path / "stop").touch()
    errors += [vandal.communicate(timeout=120)[1] for vandal in vandals]
    assert not any(errors), b"\n".join(errors).decode()
    rows = lab.summaries()
    assert sorted((row["version"], row["seed"]) for row in rows) == sorted(
        (f"w{number}", n) for number in range(16) for n in range(3)
    )
    for run in lab.runs():
        expected = int((run.version or "")[1:]) + run.seed
        assert run.status == "finished" and run.meta["final"] == {"loss": expected}
        assert [record["step"] for record in run.metrics()] == list(range(1, 11)) and not run.problems()
        assert json.loads((run.path / "run.json").read_text())["process"] is None
    assert not list(lab.path.glob(".*"))
