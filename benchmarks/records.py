"""docs/results/records/: the run behind every number of a page, without weights and the paths of its machine."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from epochal.journal import Run
from epochal.journal import members as roster

_OF_THAT_MACHINE = ("command", "process", "recipe_file")


def keep(runs: Iterable[Run], folder: Path) -> None:
    """Keeps run.json and the epoch lines of every run, of a fleet the table of its members.

    A record of the same experiment, of an earlier training, goes: the page no longer speaks of it.
    """
    runs = list(runs)
    kept = {run.id for run in runs}
    replaced = {_experiment(run.meta) for run in runs}
    for old in folder.glob("*/run.json"):
        if old.parent.name not in kept and _experiment(json.loads(old.read_text())) in replaced:
            shutil.rmtree(old.parent)
    for run in runs:
        _keep(run, folder / run.id)


def _experiment(meta: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(meta.get(key) for key in ("recipe", "version", "name", "seed"))


def _keep(run: Run, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    run.reload()  # what was measured of it since it was opened belongs to it
    meta = {key: value for key, value in run.meta.items() if key not in _OF_THAT_MACHINE}
    meta["data"] = {key: value for key, value in meta["data"].items() if key != "source"}
    meta["settings"] = {**meta["settings"], "data": {**meta["settings"]["data"], "dir": None}}
    meta["patch"] = {key: change for key, change in meta["patch"].items() if key != "data.dir"}
    (kept / "run.json").write_text(json.dumps(meta, indent=1) + "\n")
    if run.members:
        _keep_members(run, kept / "members.csv")
        return
    lines = [line for line in run.metrics() if line["scope"] == "epoch"]
    (kept / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _keep_members(run: Run, path: Path) -> None:
    lines = roster.read(run)
    patched, measured = ([*dict.fromkeys(k for line in lines for k in line[of])] for of in ("patch", "final"))
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["seed", *patched, "status", "steps", "reached", *measured])
        table.writerows(_row(line, patched, measured) for line in lines)


def _row(line: Mapping[str, Any], patched: Sequence[str], measured: Sequence[str]) -> list[Any]:
    numbers = (line["final"].get(key) for key in measured)
    return [
        line["seed"],
        *(line["patch"].get(key) for key in patched),
        line["status"],
        line["steps"],
        line["reached"],
        *(f"{number:.6g}" if isinstance(number, float) else number for number in numbers),
    ]
