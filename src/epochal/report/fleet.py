"""Fleets in reports: their figures, and the log's table of what their members came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.evidence.groups import Group, groups
from epochal.journal import members as roster
from epochal.report import study
from epochal.report.markdown import code, plain, table
from epochal.report.study import Variant
from epochal.settings import flatten
from epochal.settings.check import shown

if TYPE_CHECKING:
    from pathlib import Path

    from epochal.evidence.comparison import Summary
    from epochal.journal import Run
    from epochal.report.section import Say, Teller
    from epochal.training.task import Member, Recipe

_MOST_DEFINITIONS = 10
_LARGEST_TABLE = 60
"""Rows of groups that the log prints; a grid of more is looked at with `epochal show`."""


def title(run: Run) -> str:
    """Recipe, version and name, number of networks, seeds and data of a fleet, as its figures carry it."""
    of = f"{run.members:,} networks, seeds {roster.seeds_text(run)}"
    return f"{run.recipe} {run.title}, {of}, {study.data_title(run)}"


def draw(recipe: Recipe, run: Run, members: Sequence[Member]) -> list[Path]:
    """Draws the recipe's figures of a fleet into its `figures/`; returns their paths.

    Raises:
        EpochalError: the disk refuses.
    """
    from epochal.report import figures

    if recipe.fleet_figures is None or not members:
        return []
    return [
        figures.draw(value, run.figures_dir / f"{stem}.png", subtitle=title(run))
        for stem, value in recipe.fleet_figures(members).items()
    ]


def compared(variant: Variant) -> list[Variant]:
    """What the log compares: of a fleet its members, each set of settings by itself; any other variant as it is."""
    try:
        runs = roster.of(variant.shown) if variant.shown.members else []
    except EpochalError:  # which `tell` says
        runs = []
    found: dict[str, list[Run]] = {}
    for one in runs:
        found.setdefault(roster.patch_text(one.line["patch"]), []).append(one)
    if len(found) < 2:
        return [Variant(variant.title, runs or variant.runs)]
    return [
        Variant(f"{variant.title} ({patch})" if patch else variant.title, of)
        for patch, of in list(found.items())[:_LARGEST_TABLE]
    ]


def tell(teller: Teller, run: Run) -> list[str]:
    """The log's part about a fleet: a row a group of equal settings, over its seeds; then what was measured."""
    say = teller.say
    lines = [f"### {say('networks')}", ""]
    try:
        found = groups(roster.of(run))
    except EpochalError as problem:  # a spoilt table must not keep the rest of the log from being written
        return [*lines, plain(problem.what)]
    lines += [say("networks how", n=f"{run.members:,}", seeds=roster.seeds_text(run)), ""]
    missed = study.missed_steps(run)
    if missed:
        lines += [f"{say('steps of', **missed)}.", ""]
    shown_groups = found[:_LARGEST_TABLE]
    lines += _table(say, run, shown_groups)
    if len(found) > len(shown_groups):
        lines += ["", say("more groups", n=len(found) - len(shown_groups), run=code(run.id))]
    wanted = flatten(run.settings).get("stop.loss")
    if wanted is not None:
        lines += ["", say("censored", loss=f"{wanted:g}")]
    lines += _definitions(say, found)
    for split in dict.fromkeys(split for group in shown_groups for split in group.evaluation):
        lines += ["", f"### {say('metrics')} {say('split', split=plain(split))}", ""]
        lines += _measured(teller, shown_groups, split)
    return lines


def grid_words(run: Run) -> list[str]:
    """The options of `epochal run` that make a fleet's members again from its settings."""
    words = ["--seeds", str(max(len(run.meta["seeds_of"]), 1))]
    for key, values in roster.varied(_lines(run)).items():
        words += ["--grid", f"{key}={','.join(map(_typed, values))}"]
    return words


def varied(run: Run, say: Say) -> dict[str, str]:
    """The settings that a fleet's members change, by dotted key, with their values in words; none of other runs."""
    found = roster.varied(_lines(run)) if run.members else {}
    return {
        key: roster.varied_text(values, say("varied", values="{values}")) for key, values in found.items()
    }


def splits(run: Run) -> list[str]:
    """The splits that members were evaluated on."""
    return list(dict.fromkeys(split for line in _lines(run) for split in line.get("evaluation", {})))


def _lines(run: Run) -> list[dict[str, Any]]:
    """The table of members; empty where it is spoilt, which `tell` says."""
    try:
        return roster.read(run)
    except EpochalError:
        return []


def _table(say: Say, run: Run, found: Sequence[Group]) -> list[str]:
    keys = list(dict.fromkeys(key for group in found for key in group.patch))
    stops = flatten(run.settings).get("stop.loss") is not None
    names = list(dict.fromkeys(name for group in found for name in group.final))
    head = [*map(code, keys), say("n"), say("finished"), say("failed")]
    head += [say("reached"), say("median steps")] if stops else []
    rows = []
    for group in found:
        cells = [code(shown(group.patch.get(key))) for key in keys]
        cells += [f"{group.members:,}", f"{group.finished:,}", f"{group.failed:,}"]
        cells += [_share(group), _steps(group)] if stops else []
        rows.append([*cells, *(_number(group.final, name) for name in names)])
    head += map(plain, names)
    return table(head, rows, right=range(len(keys), len(head)))


def _definitions(say: Say, found: Sequence[Group]) -> list[str]:
    """The formulas of the loss, where the groups have several."""
    formulas = list(dict.fromkeys(study.formula(group.loss_definition) for group in found))
    if len(formulas) < 2:
        return []
    lines = [f"- {code(formula)}" for formula in formulas[:_MOST_DEFINITIONS]]
    return ["", say("several definitions"), "", *lines, *(["- …"] if len(formulas) > len(lines) else [])]


def _measured(teller: Teller, found: Sequence[Group], split: str) -> list[str]:
    keys = list(dict.fromkeys(key for group in found for key in group.patch))
    measured = [group.evaluation.get(split, {}) for group in found]
    names = teller.metric_names({name for numbers in measured for name in numbers})
    rows = [
        [*(code(shown(group.patch.get(key))) for key in keys), *(_number(numbers, name) for name in names)]
        for group, numbers in zip(found, measured, strict=True)
    ]
    head = [*map(code, keys), *map(teller.metric_title, names)]
    return table(head, rows, right=range(len(keys), len(head)))


def _share(group: Group) -> str:
    if group.reached is None or not group.sound:
        return "–"
    return f"{group.reached:,} ({100 * group.reached / group.sound:.1f} %)"


def _steps(group: Group) -> str:
    return "–" if group.median_steps is None else f"{group.median_steps:,.0f}"


def _number(numbers: Mapping[str, Summary], name: str) -> str:
    return str(numbers[name]) if name in numbers else "–"


def _typed(value: Any) -> str:
    """A value as it is typed in a grid."""
    return repr(value) if isinstance(value, float) else shown(value)
