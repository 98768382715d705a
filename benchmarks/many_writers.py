"""Many processes write runs into one lab while others read, rebuild, damage and delete its index: is anything lost?

    python benchmarks/many_writers.py [--writers 16] [--runs 12] [--out docs/results/many-writers.md]

Every writer makes runs, trains them as far as the journal is concerned (locks, metrics in several appends, run.json
rewritten every epoch, a note, a checkpoint's worth of bytes, a log cut back as after a resume) and writes down in
a ledger of its own what it did. Meanwhile a gardener rebuilds the index, a vandal deletes it or writes rubbish
into it, and a reader lists the lab over and over: it must never miss a run that it saw before. In the end
every entry of every ledger is looked for in the lab. Exits 1 when one is missing, changed, or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from epochal.journal import Lab, Run, atomic

EPOCHS = 8
LINES = 5  # metric lines an epoch
STOP = "stop"  # a file of this name beside the lab ends gardener, vandal and reader


def write_runs(lab: Lab, number: int, runs: int, ledger: Path) -> None:
    """A writer: makes so many runs, and notes each one's id and what is in it when it is done."""
    chance = random.Random(number)
    with ledger.open("a", encoding="utf-8") as file:
        for seed in range(runs):
            run = lab.create_run(recipe="writers", version=f"w{number}", seed=seed, status="running")
            losses = [chance.random() for _ in range(EPOCHS * LINES)]
            with run.lock():
                for epoch in range(1, EPOCHS + 1):
                    first = (epoch - 1) * LINES
                    run.append(
                        "metrics",
                        [_line(step, epoch, losses) for step in range(first + 1, first + LINES + 1)],
                    )
                    if chance.random() < 0.3:  # as a resumed run does
                        run.truncate("metrics", after_step=first)
                        run.append("metrics", [_line(first + i + 1, epoch, losses) for i in range(LINES)])
                    atomic.write_bytes(
                        run.checkpoints_dir / "last.safetensors", os.urandom(chance.randrange(1 << 16))
                    )
                    run.update(epochs_done=epoch, final={"loss": losses[epoch * LINES - 1]})
                run.note(f"writer {number}, run {seed}")
                run.update(status="finished")
            assert lab.find(run.id) == run and lab.find(f"writers:w{number}@{seed}") == run
            file.write(json.dumps({"id": run.id, "losses": losses}) + "\n")


def _line(step: int, epoch: int, losses: Sequence[float]) -> dict[str, Any]:
    values = {"loss": losses[step - 1]}
    return {
        "time": 0.1 * step,
        "step": step,
        "epoch": epoch,
        "scope": "step",
        "split": "train",
        "values": values,
    }


def garden(lab: Lab, number: int) -> None:
    """Rebuilds the index from the run folders."""
    (lab.path / "index.sqlite").unlink(missing_ok=True)
    lab.index()


def vandalise(lab: Lab, number: int) -> None:
    """Deletes the index, cuts it short, or overwrites it with rubbish."""
    chance, index = random.Random(), lab.path / "index.sqlite"
    deed = chance.randrange(3)
    if deed == 0:
        index.unlink(missing_ok=True)
    elif deed == 1 and index.exists():
        os.truncate(index, chance.randrange(4096))
    elif deed == 2:
        index.write_bytes(b"rubbish" * 1000)
    time.sleep(0.02)


def read(lab: Lab, number: int, seen: set[str]) -> None:
    """Lists the lab; every run that was there before must be there still, and none may be half-made."""
    found = {row["run"] for row in lab.summaries()}
    assert not lab.broken(), f"half-made runs: {lab.broken()}"
    assert seen <= found, f"no longer listed: {sorted(seen - found)[:5]}"
    seen |= found


def loop(role: str, folder: Path, number: int) -> None:
    """Repeats a role's deed until told to stop; prints how often."""
    lab, seen, count = Lab(folder / "lab"), set[str](), 0
    deeds: dict[str, Callable[[], None]] = {
        "gardener": lambda: garden(lab, number),
        "vandal": lambda: vandalise(lab, number),
        "reader": lambda: read(lab, number, seen),
    }
    while not (folder / STOP).exists():
        deeds[role]()
        count += 1
    print(count)


@dataclass
class Result:
    """What was written, what was found, and how often the index was attacked meanwhile."""

    writers: int
    runs: int
    lines: int
    lost_runs: int
    lost_lines: int
    faults: list[str]
    deeds: dict[str, int]
    seconds: float


def check(lab: Lab, ledgers: Sequence[Path]) -> tuple[int, int, int, int, list[str]]:
    """(runs written, lines written, runs lost, lines lost, other faults)."""
    entries = [json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines()]
    runs, faults = {run.id: run for run in lab.runs()}, []
    lost_runs = lost_lines = 0
    for entry in entries:
        run = runs.pop(entry["id"], None)
        if run is None:
            lost_runs, lost_lines = lost_runs + 1, lost_lines + len(entry["losses"])
            continue
        found = {(line["step"], line["values"]["loss"]) for line in run.metrics()}
        written = set(enumerate(entry["losses"], start=1))
        lost_lines += len(written - found)
        faults += _faults(run, len(found - written) + len(run.metrics()) - len(found))
    faults += [f"{one}: in no ledger" for one in runs] + [
        f"{path}: {why}" for path, why in lab.broken().items()
    ]
    faults += [f"{path.name}: left behind" for path in lab.path.rglob("*.tmp")]
    return len(entries), sum(len(entry["losses"]) for entry in entries), lost_runs, lost_lines, faults


def _faults(run: Run, strange: int) -> list[str]:
    found = [*run.problems(), *([f"{strange} lines that nobody wrote, or twice"] if strange else [])]
    if (run.status, run.meta["epochs_done"], run.meta["process"]) != ("finished", EPOCHS, None):
        found.append(f"is {run.status} after {run.meta['epochs_done']} epochs")
    if run.notes().count("writer ") != 1 or not (run.checkpoints_dir / "last.safetensors").exists():
        found.append("has not its one note and one checkpoint")
    return [f"{run.id}: {fault}" for fault in found]


def contend(writers: int, runs: int, folder: Path) -> Result:
    """Lets all of them loose on one lab, and looks what is left."""
    lab = Lab(folder / "lab")
    lab.path.mkdir()

    def start(role: str, number: int) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, "--role", role, "--number", str(number), "--runs", str(runs)]
        return subprocess.Popen(
            [*command, "--folder", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    started = time.perf_counter()
    around = {role: start(role, 0) for role in ("gardener", "vandal", "reader")}
    team = [start("writer", number) for number in range(writers)]
    ended = [(process, process.communicate()) for process in team]
    seconds = time.perf_counter() - started
    (folder / STOP).touch()
    said = {role: process.communicate() for role, process in around.items()}
    faults = [text.strip().splitlines()[-1] for process, (_, text) in ended if process.returncode]
    faults += [
        f"{role}: {text.strip().splitlines()[-1]}"
        for role, (_, text) in said.items()
        if around[role].returncode
    ]
    deeds = {role: int(out or 0) for role, (out, _) in said.items()}
    written, lines, lost_runs, lost_lines, more = check(lab, [folder / f"ledger-{n}" for n in range(writers)])
    if written != writers * runs:
        faults.append(f"{writers * runs - written} runs were never made")
    return Result(writers, written, lines, lost_runs, lost_lines, faults + more, deeds, seconds)


def table(result: Result) -> str:
    """Markdown."""
    rows = (
        ("processes writing", result.writers),
        ("runs written", result.runs),
        ("**runs lost**", result.lost_runs),
        ("metric lines written", result.lines),
        ("**metric lines lost**", result.lost_lines),
        ("**other faults**", len(result.faults)),
        ("index rebuilt from nothing", result.deeds["gardener"]),
        ("index deleted, cut short or overwritten", result.deeds["vandal"]),
        ("complete listings of the lab", result.deeds["reader"]),
        ("seconds", round(result.seconds, 1)),
    )
    return "| | |\n|---|---:|\n" + "\n".join(f"| {name} | {value:,} |" for name, value in rows)


def page(result: Result, runs: int) -> str:
    """The results with the command that made them."""
    import epochal

    return f"""# Many writers, one lab

`python benchmarks/many_writers.py --writers {result.writers} --runs {runs}`, {date.today()},
Epochal {epochal.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()},
{os.cpu_count()} cores.

All writers write at once; meanwhile one process rebuilds the index, one damages or deletes it, and one lists the lab
and checks that no run it has seen ever goes missing. Each writer kept a ledger, which is compared with the lab.

{table(result)}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays the role that was asked for, by default that of the director; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--runs", type=int, default=12, help="of each writer")
    parser.add_argument("--out", type=Path, help="write the page of results there")
    for hidden in ("--role", "--number", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    typed: Any = parser.parse_args(arguments)
    if typed.role:
        folder, number = Path(typed.folder), int(typed.number)
        if typed.role == "writer":
            write_runs(Lab(folder / "lab"), number, typed.runs, folder / f"ledger-{number}")
        else:
            loop(typed.role, folder, number)
        return 0
    with tempfile.TemporaryDirectory(prefix="many-writers-") as folder_name:
        result = contend(typed.writers, typed.runs, Path(folder_name))
    print(table(result))
    for fault in result.faults[:20]:
        print(f"  {fault}")
    if typed.out:
        typed.out.parent.mkdir(parents=True, exist_ok=True)
        typed.out.write_text(page(result, typed.runs), encoding="utf-8")
    return int(bool(result.lost_runs or result.lost_lines or result.faults))


if __name__ == "__main__":
    sys.exit(main())
