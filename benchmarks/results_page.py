"""What the pages in docs/results/ are made with: runs trained where they are missing, numbers with n, tables.

A page's program can be killed and started again: runs that a lab already holds are not trained anew, interrupted
ones are resumed, and what is evaluated stays evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import epochal
from epochal.journal import Lab, Run
from epochal.settings import flatten, to_dict
from epochal.systems import recipes

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


class Page:
    """The Markdown being written, and what fell short of its target."""

    def __init__(self, title: str, command: str) -> None:
        self.lines: list[str] = []
        self.misses: list[str] = []
        self.say(f"# {title}", "", f"Written by `{command}`.", "")

    def say(self, *lines: str) -> None:
        """Adds lines."""
        self.lines += lines

    def section(self, title: str) -> None:
        """Begins a section."""
        self.say(*([""] if self.lines[-1] else []), f"## {title}", "")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Adds a table."""
        self.say("| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |")
        self.say(*("| " + " | ".join(row) + " |" for row in rows))

    def target(self, what: str, met: bool) -> str:
        """Notes whether a target is met; returns "yes" or "no"."""
        if not met:
            self.misses.append(what)
        return "yes" if met else "no"

    def nothing(self, path: Path, lab: Lab) -> int:
        """Says that the lab holds none of the page's runs; the page stays as it is. Returns the exit code."""
        print(
            f"{lab.path} holds none of the runs of {path.name}, which stays as it is; train them first: --help"
        )
        return 1

    def write(self, path: Path) -> int:
        """Writes the page; says what fell short. Returns the exit code: 1 when something did."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        print(path)
        for miss in self.misses:
            print(f"not met: {miss}")
        return 1 if self.misses else 0


def trained(
    lab: Lab, recipe: str, version: str, seeds: Sequence[int], *, only_found: bool = False, **how: Any
) -> list[Run]:
    """The finished run of each seed: as found in the lab, resumed where it was interrupted, else trained now.

    Args:
        lab: folder that holds the runs.
        recipe: its name.
        version: its version, with the version's own settings.
        seeds: one run each.
        only_found: train nothing; leave out what is missing.
        how: further arguments of `epochal.run` (`precision`, `threads`, …); with `name`, runs of that name are meant.
    """
    patch = how.get("patch") or {}
    own = _own(recipe, version, patch)
    if how.get("name"):  # a trial: what it changes is part of what it is
        own |= {key: value for key, value in patch.items() if not key.startswith("data.")}
    found = {seed: _found(lab, recipe, version, how.get("name"), seed, own) for seed in seeds}
    runs = []
    for seed, run in found.items():
        if run is None and not only_found:
            (run,) = epochal.run(recipe, version, seed=seed, lab=lab, **how)
        elif run is not None and run.status != "finished" and not only_found:
            run = epochal.resume(run.id, lab=lab)
        if run is not None and run.status == "finished":
            runs.append(run)
    return runs


def _own(recipe: str, version: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The version's settings as they are now, but for data, length and what a page changes on purpose."""
    settings = flatten(to_dict(recipes.settings_of(recipes.find(recipe), version)))
    free = {"epochs", "steps", *patch}
    return {key: value for key, value in settings.items() if key not in free and not key.startswith("data.")}


def _found(
    lab: Lab, recipe: str, version: str, name: str | None, seed: int, own: Mapping[str, Any]
) -> Run | None:
    """The newest run of a version's own settings, finished ones first."""
    fitting = [
        run
        for run in lab.runs()
        if (run.recipe, run.version, run.name, run.seed) == (recipe, version, name, seed)
        and run.parent is None
        and not run.alive()
        and not _outdated(run, own)
    ]
    return next((run for run in fitting if run.status == "finished"), next(iter(fitting), None))


def _outdated(run: Run, own: Mapping[str, Any]) -> bool:
    """Whether the version has changed since the run: its numbers are then no longer the version's."""
    # What could not be set when it was made, was as it is by default.
    was = {**flatten(to_dict(recipes.find(run.recipe).settings())), **flatten(run.settings)}
    changed = [key for key, value in own.items() if was.get(key) != value]
    if changed:
        print(f"left out: {run.id} was made when {run.version} had another {', '.join(changed)}")
    return bool(changed)


def evaluated(run: Run, lab: Lab, split: str = "test") -> dict[str, float]:
    """The run's quality metrics on a split, measured now where they are not yet."""
    known = run.reload().meta["evaluation"]
    return known[split] if split in known else epochal.evaluate(run.id, split=split, lab=lab)


def spread(values: Sequence[float], write: Callable[[float], str] = "{:.4f}".format) -> str:
    """`mean ± standard deviation (n = k)` of the values."""
    if not values:
        return "–"
    deviation = f" ± {write(stdev(values))}" if len(values) > 1 else ""
    return f"{write(mean(values))}{deviation} (n = {len(values)})"


def seconds(run: Run) -> float:
    """Training time of a run, validation and pictures included, from its log's last line."""
    return float(run.metrics()[-1]["time"])


def origin(runs: Sequence[Run]) -> list[str]:
    """Machine, versions, choices, data and commits of the runs, as list items."""

    def all_of(read: Callable[[Mapping[str, Any]], str]) -> str:
        return "; ".join(sorted({read(run.meta) for run in runs}))

    return [
        f"- machine: {all_of(_machine)}",
        f"- arithmetic: {all_of(_choices)}",
        f"- data: {all_of(lambda meta: str(meta['data'].get('name')))}",
        f"- code: {all_of(commit)}",
    ]


def commit(meta: Mapping[str, Any]) -> str:
    """The commit that a run was made with, and whether the checkout held changes beside it."""
    git = meta["git"] or {}
    changed = " and changes not committed" if git.get("dirty") else ""
    return f"commit {str(git.get('commit', 'not known'))[:12]}{changed}"


def _machine(meta: Mapping[str, Any]) -> str:
    about = meta["environment"]
    torch = about["packages"]["torch"]
    return f"{about.get('cpu')}, {about.get('cores')} core(s) a run, torch {torch}, {meta['device']}"


def _choices(meta: Mapping[str, Any]) -> str:
    c = meta["choices"]
    many = "s" * (c["threads"] > 1)
    return f"{c['precision']}, {c['layout']}, {c['layers']} layers, {c['threads']} thread{many} a run"
