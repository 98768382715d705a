"""Two runs, or two groups of runs, side by side: what differs in the settings and in the numbers.

Losses of different definition are not comparable, however alike their names: such a row is refused with its
reason, and the numbers that compare instead are shown. (Verdicts need statistics over paired seeds.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan, nan, sqrt
from statistics import median
from typing import Any

from epochal import settings
from epochal.errors import UsageError
from epochal.journal import Run
from epochal.journal.members import MemberRun

STEPS = ("steps", "median steps")
"""Rows of what runs needed to get below `stop.loss`."""
_SPLITS = ("train", "validation", "test")
_NAMED = 5  # runs that a warning names
_NOISE = 1e-12  # a spread of so small a share of the mean is that of rounding in float64


@dataclass(frozen=True)
class Side:
    """One side of a comparison: runs of the same settings that differ only in their seed.

    Attributes:
        label: as the user named it.
        runs: at least one.
        left_out: what was not taken into the group and why, in words.
    """

    label: str
    runs: Sequence[Run]
    left_out: Sequence[str] = ()

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs, in order."""
        return sorted(run.seed for run in self.runs)


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (NaN where there is none) of a number over n runs."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary | None:
        """The summary of some values; None of none."""
        if not values:
            return None
        mean = sum(values) / len(values)
        if len(values) == 1:
            return cls(mean, nan, 1)
        if min(values) == max(values):  # a mean of equal numbers is rounded, and would seem to spread
            return cls(values[0], 0.0, len(values))
        return cls(mean, sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)), len(values))

    def __str__(self) -> str:
        if self._alone:
            return f"{self.mean:.6g}"
        spreads = self.sd > _NOISE * abs(self.mean) or not isfinite(self.sd)
        return f"{self.mean:.6g} ± {self.sd if spreads else 0:.2g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `sd` is None where there is none."""
        return {"mean": self.mean, "sd": None if self._alone else self.sd, "n": self.n}

    @property
    def _alone(self) -> bool:
        """Whether it has no spread: of one run, or a median. (That of infinite values is not a number.)"""
        return self.n == 1 or (isnan(self.sd) and isfinite(self.mean))


@dataclass(frozen=True)
class Row:
    """One number on both sides; `better` is "lower", "higher" or "" when nobody said."""

    metric: str
    better: str
    a: Summary | None
    b: Summary | None

    @property
    def difference(self) -> float | None:
        """Mean of b minus mean of a."""
        return None if self.a is None or self.b is None else self.b.mean - self.a.mean

    @property
    def title(self) -> str:
        """The metric with its split in words where its name has none: `accuracy` of an epoch is the training's."""
        told = self.metric in STEPS or self.metric.replace("/", ".").partition(".")[0] in _SPLITS
        return self.metric if told else f"training {self.metric}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        settings: what differs, from a to b.
        metrics: numbers that compare.
        refused: losses, and steps to a loss, that do not compare because a and b define the loss differently.
        definitions: the differing formulas, phase → (a's, b's); "loss" where each side has one phase, of another name.
        otherwise: metrics that do not compare because they were measured by different means, each with the reason.
        warnings: what else differs and may explain a difference.
    """

    a: Side
    b: Side
    settings: settings.Diff
    metrics: Sequence[Row]
    refused: Sequence[str] = ()
    definitions: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    otherwise: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with stable keys."""
        rows = [
            {
                "metric": row.metric,
                "better": row.better or None,
                "a": row.a and row.a.to_dict(),
                "b": row.b and row.b.to_dict(),
                "difference": row.difference,
            }
            for row in self.metrics
        ]
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "settings": {key: list(pair) for key, pair in self.settings.items()},
            "metrics": rows,
            "refused": list(self.refused),
            "measured_otherwise": dict(self.otherwise),
            "definitions": {phase: list(pair) for phase, pair in self.definitions.items()},
            "warnings": list(self.warnings),
        }


def group(label: str, runs: Sequence[Run]) -> Side:
    """The runs of a version that may be averaged: finished, with the same settings, one a seed (the newest).

    Args:
        label: as the user named it.
        runs: candidates, newest first. Where settings differ, the largest group of equal ones is taken, the
            newest of equally large ones.

    Raises:
        UsageError: none of them is finished.
    """
    finished = [run for run in runs if run.status == "finished"]
    if not finished:
        raise UsageError(
            f"No run of {label} is finished.",
            hint="`epochal resume RUN` continues one; name a run to compare it.",
        )
    alike: dict[str, dict[int, Run]] = {}  # by settings, then by seed; a fleet has thousands
    for run in finished:
        kind = json.dumps(run.settings, sort_keys=True, default=str)
        alike.setdefault(kind, {}).setdefault(run.seed, run)
    chosen = list(max(alike.values(), key=len).values())
    left_out = []
    if len(finished) < len(runs):
        left_out.append(f"{label}: {len(runs) - len(finished)} unfinished left out")
    taken = set(chosen)
    others = [run for mates in alike.values() for run in mates.values() if run not in taken]
    if others:
        shown = ", ".join(run.id for run in others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
        left_out.append(f"{label}: {len(others)} with other settings left out ({shown})")
    return Side(label, chosen, left_out)


def compare(
    a: Side,
    b: Side,
    directions: Mapping[str, str] | None = None,
    by: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Settings diff and numbers of two sides.

    Args:
        a: what is compared against.
        b: what is compared.
        directions: "lower" or "higher" is better, by metric, as the recipe says.
        by: the texts of an evaluation that a metric depends on, by metric ("fd": ("extractor",)).
    """
    known = directions or {}
    numbers_a, numbers_b = [_numbers(run) for run in a.runs], [_numbers(run) for run in b.runs]
    names = list(dict.fromkeys(name for numbers in (*numbers_a, *numbers_b) for name in numbers))
    definitions = _definitions(a.runs[0].meta["loss_definition"], b.runs[0].meta["loss_definition"])
    refused = [name for name in names if is_loss(name)] if definitions else []
    otherwise = _measured_otherwise(a, b, names, by or {}, known)
    rows = [
        Row(name, _direction(name, known), _over(numbers_a, name), _over(numbers_b, name))
        for name in names
        if name not in refused and name not in otherwise
    ]
    changed = settings.diff(a.runs[0].settings, b.runs[0].settings)
    steps = _steps_rows(a, b)
    if definitions:  # steps to another loss do not compare either
        refused += [row.metric for row in steps]
    else:
        rows += steps
    warnings = [*_warnings(a, b), *_censored(a), *_censored(b)]
    return Comparison(a, b, changed, rows, refused, definitions, warnings, otherwise)


def _measured_otherwise(
    a: Side, b: Side, names: Sequence[str], by: Mapping[str, Sequence[str]], known: Container[str]
) -> dict[str, str]:
    """Metrics whose numbers were measured by different means (two extractors of features), each with the reason.

    A number that the recipe does not declare (fd_floor, kid_se) may depend on all that any metric depends on.
    """
    anything = sorted({on for texts in by.values() for on in texts})
    found = {}
    for name in names:
        split, _, metric = name.partition(".")
        for on in by.get(metric, () if metric in known or not metric else anything):
            told = {str(run.meta["measured_with"].get(split, {}).get(on)) for run in (*a.runs, *b.runs)}
            if len(told) > 1:
                found[name] = f"{on.replace('_', ' ')} on {split}: {' against '.join(sorted(told))}"
                break
    return found


def is_loss(name: str) -> bool:
    """Whether a value is a total loss (`loss`, `validation/loss`), not one of its parts."""
    return _last(name) == "loss"


def steps_needed(run: Run) -> float | None:
    """The steps in which a run got below its `stop.loss`; infinite where it did not, None without such a stop."""
    wanted = settings.flatten(run.settings).get("stop.loss")
    if wanted is None:
        return None
    # A run that stopped there ends with the loss of that step; the mean of an epoch is not below all its steps.
    loss = run.meta["final"].get("loss")
    reached = run.line["reached"] if isinstance(run, MemberRun) else loss is not None and loss < wanted
    return float(run.meta["steps_done"]) if reached else inf


def _steps_rows(a: Side, b: Side) -> list[Row]:
    """What the sides needed to get below their loss: the median, and the mean where no run is censored."""
    sides = [[steps for run in side.runs if (steps := steps_needed(run)) is not None] for side in (a, b)]
    means = [Summary.of(steps) if inf not in steps else None for steps in sides]
    medians = [Summary(half, nan, len(of)) if of and isfinite(half := median(of)) else None for of in sides]
    rows = [Row("steps", "lower", *means), Row("median steps", "lower", *medians)]
    return [row for row in rows if row.a or row.b]


def _censored(side: Side) -> list[str]:
    """Says how many runs of a side did not get below their loss."""
    steps = [steps_needed(run) for run in side.runs]
    missed = steps.count(inf)
    if not missed:
        return []
    wanted = settings.flatten(side.runs[0].settings)["stop.loss"]
    return [
        f"{side.label}: {missed:,} of {len(steps):,} did not get below the loss of {wanted:g} and are censored: "
        "the median counts them as needing more steps than any that did, a mean cannot"
    ]


def _definitions(a: Mapping[str, str], b: Mapping[str, str]) -> settings.Diff:
    """The formulas that differ, by phase; those of one phase each are compared whatever the phases are called."""
    if len(a) == len(b) == 1 and a.keys() != b.keys():
        ((left,), (right,)) = a.values(), b.values()
        return {} if left == right else {"loss": (left, right)}
    return settings.diff(a, b)


def _numbers(run: Run) -> dict[str, float]:
    """The last epoch's values and the evaluation, by dotted name."""
    values = {**settings.flatten(run.meta["final"]), **settings.flatten(run.meta["evaluation"])}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _over(numbers: Sequence[Mapping[str, float]], name: str) -> Summary | None:
    return Summary.of([values[name] for values in numbers if name in values])


def _direction(name: str, known: Mapping[str, str]) -> str:
    return known.get(name) or known.get(_last(name)) or ("lower" if is_loss(name) else "")


def _last(name: str) -> str:
    return name.replace("/", ".").rpartition(".")[2]


def _warnings(a: Side, b: Side) -> list[str]:
    warnings = [*a.left_out, *b.left_out]
    looked_at: tuple[tuple[str, Callable[[Run], Any]], ...] = (
        ("recipes", lambda run: run.recipe),
        ("data", lambda run: run.meta["data"].get("name")),
        ("devices", lambda run: run.meta["device"]),
    )
    for what, value in looked_at:
        left, right = value(a.runs[0]), value(b.runs[0])
        if left != right:
            warnings.append(f"{what} differ: {left} against {right}")
    choices = settings.diff(a.runs[0].meta["choices"], b.runs[0].meta["choices"])
    choices.pop("how", None)  # how they were found does not matter
    if choices:
        warnings.append(f"measured choices differ: {', '.join(settings.describe(choices))}")
    warnings += [
        f"{run.id} is {run.status} after {run.meta['epochs_done']} epochs"
        for run in (*a.runs, *b.runs)
        if run.status != "finished"
    ]
    wanted = [settings.flatten(side.runs[0].settings).get("stop.loss") for side in (a, b)]
    if None not in wanted and wanted[0] != wanted[1]:
        warnings.append(f"steps are to different losses: {wanted[0]:g} against {wanted[1]:g}")
    if a.seeds != b.seeds:
        warnings.append(f"seeds differ: {_listed(a.seeds)} against {_listed(b.seeds)}")
    if min(len(a.runs), len(b.runs)) == 1:
        warnings.append("one run a side proves nothing: two seeds of one version already differ")
    for side in (a, b):
        drawn = {run.meta["data"].get("name") for run in side.runs if run.meta["data"].get("drawn")}
        if drawn:
            warnings.append(f"{side.label} was trained on drawn data ({', '.join(map(str, drawn))})")
    return warnings


def _listed(seeds: Sequence[int]) -> str:
    """Seeds for people: `0 to 9` for consecutive ones."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _side(side: Side) -> dict[str, Any]:
    return {"label": side.label, "runs": [run.id for run in side.runs], "seeds": side.seeds}
