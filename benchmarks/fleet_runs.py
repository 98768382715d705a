"""What the pages of networks trained many at once share: a named experiment's run, and its members."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results_page import commit

import epochal
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun


class Missing(Exception):
    """An experiment that the lab does not hold, where nothing is to be trained."""


class Experiments:
    """The runs behind a page, each by the name it was given: found, resumed, or trained now."""

    def __init__(self, lab: Lab, recipe: str, *, only_found: bool) -> None:
        self.lab, self.recipe, self.only_found = lab, recipe, only_found
        self.runs: list[Run] = []

    def run(self, name: str, version: str, **how: Any) -> Run:
        """The one run, or fleet, that `epochal.run(recipe, version, name=name, …)` trains.

        Raises:
            Missing: it is not finished, and nothing is to be trained.
        """
        found = next((run for run in self.lab.runs() if (run.recipe, run.name) == (self.recipe, name)), None)
        if found is None and not self.only_found:
            (found,) = epochal.run(self.recipe, version, name=name, lab=self.lab, **how)
        elif found is not None and found.status != "finished" and not self.only_found:
            found = epochal.resume(found.id, lab=self.lab)
        if found is None or found.status != "finished":
            raise Missing(f"{self.recipe} {name}")
        self.runs.append(found)
        return found

    def evaluated(self, run: Run, split: str) -> list[Mapping[str, float]]:
        """Quality metrics of each member on a split, measured now where they are not yet."""
        if not all(split in member.meta["evaluation"] for member in roster.of(run)):
            epochal.evaluate(run.id, split=split, lab=self.lab)
        return [member.meta["evaluation"][split] for member in roster.of(run.reload())]


def made_with(runs: Sequence[Run]) -> list[str]:
    """Machine, versions, data and commits of runs of NumPy networks, as list items."""

    def all_of(read: Callable[[Mapping[str, Any]], str]) -> str:
        return "; ".join(sorted({read(run.meta) for run in runs}))

    return [
        f"- machine: {all_of(_machine)}",
        f"- data: {all_of(lambda meta: str(meta['data'].get('name')))}",
        f"- code: {all_of(commit)}",
    ]


def _machine(meta: Mapping[str, Any]) -> str:
    about = meta["environment"]
    return f"{about.get('cpu')}, {about.get('cores')} core(s), NumPy {about['packages']['numpy']}, one thread"


def cells(run: Run, *keys: str) -> dict[tuple[Any, ...], list[MemberRun]]:
    """A fleet's members by what they patch, in ascending order."""
    groups: dict[tuple[Any, ...], list[MemberRun]] = {}
    for member in roster.of(run):
        groups.setdefault(tuple(member.line["patch"][key] for key in keys), []).append(member)
    return dict(sorted(groups.items()))


def picture(run: Run, stem: str, page: Path, name: str) -> str:
    """Copies a run's figure beside the page as PAGE-NAME.png; returns the file's name."""
    target = page.parent / f"{page.stem}-{name}.png"
    shutil.copyfile(run.figures_dir / f"{stem}.png", target)
    return target.name
