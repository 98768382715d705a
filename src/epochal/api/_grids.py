"""What one command trains: its plan, and the jobs that a grid makes of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal import settings as settings_room
from epochal.api._checks import LONGEST_NAME
from epochal.errors import UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.training.task import Recipe, Version


@dataclass(frozen=True)
class Plan:
    """All that the runs of one command share."""

    recipe: Recipe
    file: Path | None
    settings: Any
    fields: Mapping[str, Any]
    note: str | None
    device: str
    precision: str
    threads: int | None = None
    warm_start: Run | None = None

    def record(
        self,
        lab: Lab,
        seed: int,
        seeds: Sequence[int],
        status: str = "running",
        members: Sequence[Mapping[str, Any]] = (),
    ) -> Run:
        """Makes the run folder; of a fleet, with the lines of its `members`."""
        from epochal.journal import environment

        if self.file is not None:
            registry.remember(self.file)
        made = lab.create_run(
            recipe=self.recipe.name,
            recipe_file=None if self.file is None else str(self.file),
            settings=settings_room.to_dict(self.settings),
            seed=seed,
            seeds_of=list(seeds),
            device=self.device,
            precision=self.precision,
            status=status,
            roster=members,
            **environment.fields(),
            **self.fields,
        )
        if self.file is not None:
            made.save_source(self.file.name, self.file.read_text(encoding="utf-8"))
        if self.note:
            made.note(self.note)
        return made


@dataclass(frozen=True)
class Job:
    """What one command trains with one set of settings: a run a seed, or all of them as one fleet.

    Attributes:
        members: of a fleet, the lines of its members.
    """

    plan: Plan
    seeds: Sequence[int]
    members: Sequence[Mapping[str, Any]] = ()

    @property
    def label(self) -> str:
        """What to call it among the jobs of a grid."""
        return str(self.plan.fields.get("name") or self.plan.fields.get("version"))


def grid_values(settings: Any, grid: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """The values of a grid by full dotted key, each as its setting stores it.

    Raises:
        UsageError: an unknown setting, a value that it does not take, no values, or one that stands twice.
    """
    found: dict[str, list[Any]] = {}
    for typed, values in grid.items():
        given = values.tolist() if hasattr(values, "tolist") else values  # NumPy's
        single = isinstance(given, (str, bytes, Mapping, Set)) or not isinstance(given, Iterable)
        listed = [] if single else list(given)
        if not listed:
            raise UsageError(
                f"The grid has no values for {typed}: {given!r}.",
                hint=f'Give a list of them: {{"{typed}": [A, B]}}, or --grid {typed}=A,B',
            )
        for value in listed:
            ((key, kept),) = settings_room.checked(type(settings), {typed: value}).items()
            if kept in found.setdefault(key, []):
                raise UsageError(f"{key} = {kept} stands twice in the grid.", hint="Name each value once.")
            found[key].append(kept)
            settings_room.apply(settings, {key: kept})
    return found


def _points(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations, the last key changing fastest; one empty patch where there are no keys."""
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def jobs_of(
    plan: Plan,
    version: Version,
    values: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    name: str | None,
    *,
    stacks: bool,
) -> list[Job]:
    """The runs of a grid: a fleet for what the recipe can stack, a job for every point of all else."""
    stackable = plan.recipe.stackable if stacks else ()
    inner = _points({key: of for key, of in values.items() if key in stackable})
    outer = _points({key: of for key, of in values.items() if key not in stackable})
    own = registry.settings_of(plan.recipe, version.name)
    parent = registry.settings_of(plan.recipe, version.parent) if version.parent else own
    jobs = []
    for point in outer:
        settings = settings_room.apply(plan.settings, point)
        fields = {
            "version": version.name,
            "name": "-".join(filter(None, (name, _name_of_point(point)))) or None,
            # A point of a grid comes from the version itself, as a fork does.
            "parent_version": version.name if point else version.parent,
            "patch": settings_room.diff(own if point else parent, settings),
        }
        one = replace(plan, settings=settings, fields=fields)
        if stacks and len(inner) * len(seeds) > 1:
            members = roster.lines_for((seed, patch) for seed in seeds for patch in _apart(settings, inner))
            jobs.append(Job(one, seeds, members))
        else:
            jobs.append(Job(one, seeds))
    return jobs


def check_jobs(jobs: Sequence[Job]) -> None:
    """Lets the recipe refuse what it cannot train before the first of several trainings begins.

    The first one's own start is soon enough for it. What else goes wrong (a damaged file) is its training's to tell.

    Raises:
        UsageError: the recipe's own code refuses the settings of a later job.
    """
    for job in jobs[1:]:
        recipe, settings = job.plan.recipe, job.plan.settings
        try:
            recipe.build(settings, recipe.nets(settings))
            if job.members and recipe.stack is not None:
                of = [settings_room.apply(settings, line["patch"]) for line in job.members]
                recipe.stack(of, [0] * len(of))
        except UsageError:
            raise
        except Exception:
            continue


def _apart(settings: Any, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points of a grid as JSON holds them, after a check that their combinations are allowed."""
    for point in points:
        settings_room.apply(settings, point)
    return [{key: list(v) if isinstance(v, tuple) else v for key, v in point.items()} for point in points]


def _name_of_point(point: Mapping[str, Any]) -> str:
    return "-".join(f"{key.rpartition('.')[2]}-{plain(value)}" for key, value in point.items())[:LONGEST_NAME]


def plain(value: Any) -> str:
    """A setting's value as part of a name."""
    from epochal.settings.check import shown

    return re.sub(r"[^\w.]+", "-", shown(value)).strip("-")[:20]
