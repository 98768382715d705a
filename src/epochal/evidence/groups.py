"""A fleet's members by what differs between them: numbers over the seeds of each group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from statistics import median
from typing import Any

from epochal import settings
from epochal.evidence.comparison import Summary
from epochal.journal import Run, members
from epochal.journal.members import MemberRun


@dataclass(frozen=True)
class Group:
    """Members of one fleet with the same settings; they differ in their seeds.

    Attributes:
        patch: what they change of the fleet's settings, by dotted key.
        members: how many.
        finished: how many ended as they should; `failed` is the number of those that did not. The others are
            still in training, or were when it was stopped.
        reached: how many got below `stop.loss`; None where the fleet had no such stop.
        median_steps: the steps in which half of the members that did not fail got below it. Those that did not,
            or not yet, are censored: they count as needing more steps than any that did. None where half did not.
        final: last values over the finished members, by name.
        evaluation: what was measured of them, by split and name.
        loss_definition: the formula of their loss, by phase; losses of groups that differ in it do not compare.
    """

    patch: Mapping[str, Any]
    members: int
    finished: int
    failed: int
    reached: int | None
    median_steps: float | None
    final: Mapping[str, Summary]
    evaluation: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)
    loss_definition: Mapping[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> int:
        """How many did not fail: of so many, `reached` did."""
        return self.members - self.failed

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with stable keys."""
        return {
            "patch": dict(self.patch),
            "members": self.members,
            "finished": self.finished,
            "failed": self.failed,
            "reached": self.reached,
            "median_steps": self.median_steps,
            "final": _plain(self.final),
            "evaluation": {split: _plain(numbers) for split, numbers in self.evaluation.items()},
            "loss_definition": dict(self.loss_definition),
        }


def groups(runs: Sequence[MemberRun]) -> list[Group]:
    """The groups of a fleet, in the order of their first members."""
    found: dict[str, list[MemberRun]] = {}
    for one in runs:
        found.setdefault(json.dumps(one.line["patch"], sort_keys=True), []).append(one)
    return [_group(group) for group in found.values()]


def median_loss(fleet: Run) -> tuple[float | None, int]:
    """The median of the last training losses of a fleet's finished members, and of how many formulas they are.

    Losses of several formulas do not compare: then there is no median, as where no member is finished.

    Raises:
        EpochalError: see `members.read`.
    """
    ended = [line for line in members.read(fleet) if line["status"] == "finished"]
    formulas = {json.dumps(line.get("loss_definition"), sort_keys=True) for line in ended}
    losses = [line["final"]["loss"] for line in ended if line["final"].get("loss") is not None]
    return (median(losses) if losses and len(formulas) == 1 else None), len(formulas)


def _group(runs: Sequence[MemberRun]) -> Group:
    finished = [run for run in runs if run.status == "finished"]
    wanted = settings.flatten(runs[0].settings).get("stop.loss")
    # What the fleet itself came to, disk full or Ctrl-C, says nothing about a member that was in training.
    ends = [run.line for run in runs if run.line["status"] != "failed"]
    steps = [line["steps"] if line["reached"] else inf for line in ends]
    half = median(steps) if steps else inf
    splits = dict.fromkeys(split for run in finished for split in run.meta["evaluation"])
    return Group(
        patch=runs[0].line["patch"],
        members=len(runs),
        finished=len(finished),
        failed=len(runs) - len(ends),
        reached=None if wanted is None else sum(step < inf for step in steps),
        median_steps=float(half) if isfinite(half) else None,
        final=summaries([run.meta["final"] for run in finished]),
        evaluation={
            split: summaries([run.meta["evaluation"].get(split, {}) for run in finished]) for split in splits
        },
        loss_definition=runs[0].meta["loss_definition"],
    )


def summaries(records: Sequence[Mapping[str, Any]]) -> dict[str, Summary]:
    """Mean and standard deviation of every number that records hold, by dotted name."""
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in settings.flatten(record).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                values.setdefault(name, []).append(float(value))
    found = {name: Summary.of(numbers) for name, numbers in values.items()}
    return {name: summary for name, summary in found.items() if summary is not None}


def _plain(numbers: Mapping[str, Summary]) -> dict[str, Any]:
    return {name: summary.to_dict() for name, summary in numbers.items()}
