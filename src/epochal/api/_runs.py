"""Runs and recipes as the verbs find them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from epochal import settings as settings_room
from epochal.api._calls import verb
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.training.task import Recipe

LabLike = Lab | str | Path | None


class Runs(Sequence[Run]):
    """The runs of a lab, newest first."""

    def __init__(self, found: Sequence[Run]) -> None:
        self._found = list(found)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._found[index]) if isinstance(index, slice) else self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"Runs({[run.id for run in self._found]})"

    def to_frame(self, *, members: bool = False) -> Any:
        """A pandas DataFrame, one row a run, with columns for `settings.*`, `final.*` and `evaluation.*`.

        A fleet is one row without numbers: those are its members'. With `members` each of them has a row instead.

        Raises:
            EpochalError: pandas is not installed, or a fleet's table of members cannot be read.
        """
        try:
            import pandas
        except ImportError:
            raise EpochalError("to_frame needs pandas.", hint="pip install pandas") from None
        shown = expanded(self._found) if members else self._found
        return pandas.DataFrame([_flat_row(run) for run in shown])


@verb
def runs(lab: LabLike = None, *, recipe: str | None = None) -> Runs:
    """The runs of a lab (default: `$EPOCHAL_LAB` or ./lab), newest first; of one recipe where it is named."""
    return Runs([run for run in lab_of(lab).runs() if recipe is None or run.recipe == recipe])


@verb
def members(ref: str | Run, *, lab: LabLike = None) -> Runs:
    """The members of a fleet, each of them a run with its own settings, seed and numbers.

    Raises:
        EpochalError: the run is no fleet, or its table of members cannot be read.
    """
    return Runs(roster.of(lab_of(lab).find(ref)))


def recipes() -> list[Recipe]:
    """All built-in and installed recipes."""
    return [registry.find(name) for name in registry.names()]


def status_of(one: Run) -> str:
    """A run's status, with `interrupted` for one whose process was killed."""
    return "interrupted" if one.interrupted else one.status


def expanded(found: Sequence[Run]) -> list[Run]:
    """Runs with every fleet's members in its place."""
    return [run for one in found for run in (roster.of(one) if one.members else [one])]


def groups_of(one: Run) -> list[dict[str, Any]]:
    """A fleet's members by their settings, as plain JSON values with stable keys; nothing for any other run."""
    from epochal.evidence.groups import groups

    return [group.to_dict() for group in groups(roster.of(one))] if one.members else []


@verb
def recipe_of(ref: str | Run, *, recipe: str | None = None, lab: LabLike = None) -> tuple[Run, Recipe]:
    """The run that `ref` means, and the recipe that made it.

    Raises:
        UsageError: no such run, or its recipe is not known on this machine.
    """
    one = lab_of(lab).find(ref)
    return one, known_recipe(one, recipe)[0]


def known_recipe(one: Run, given: str | None) -> tuple[Recipe, Path | None]:
    """The recipe of a run and its file, None for a built-in or installed one."""
    if given is not None:
        found, path = registry.find(given), registry.recipe_path(given)
        if found.name != one.recipe:
            raise UsageError(f"Run {one.id} is of the recipe {one.recipe}, but {given} is {found.name}.")
        if path is not None:
            registry.remember(path)
        return found, path
    file = one.meta["recipe_file"]
    if file is None:
        return registry.find(one.recipe), None
    path = Path(file)
    if not _may_be_loaded(one):
        why = "is no longer there" if registry.is_remembered(path) else "was never run here"
        raise UsageError(
            f"Run {one.id} was made by the recipe file {file}, which {why}.",
            hint="Loading a recipe executes it. If you trust it, name it: --recipe PATH/TO/FILE.py",
        )
    return registry.find(file), path


def recipe_in(lab: Lab, name: str) -> Recipe:
    """The recipe of that name or file; also one that only runs of the lab know, made by a user's file.

    Raises:
        UsageError: no such recipe, or its file is not known on this machine.
    """
    if registry.recipe_path(name) is None and name not in registry.names():
        made = [one for one in lab.runs() if one.recipe == name]
        # Of several files that define a recipe of this name, the newest that may be loaded.
        newest = next(filter(_may_be_loaded, made), next(iter(made), None))
        if newest is not None:
            try:
                return known_recipe(newest, None)[0]
            except UsageError as problem:
                hint = f"Loading a recipe executes it. If you trust it, name its file instead of {name}."
                raise UsageError(problem.what, hint=hint) from None
    return registry.find(name)


def _may_be_loaded(one: Run) -> bool:
    file = one.meta["recipe_file"]
    return file is not None and registry.is_remembered(Path(file)) and Path(file).is_file()


def settings_of(recipe: Recipe, one: Run) -> Any:
    """A run's settings as the recipe understands them today."""
    try:
        return settings_room.from_dict(recipe.settings, one.settings)
    except UsageError as problem:
        raise UsageError(
            f"The recipe {recipe.name} no longer takes the settings of {one.id}: {problem.what}",
            hint="It has changed since; check out the commit that run.json names.",
        ) from None


def with_settings(recipe: Recipe, runs: Sequence[MemberRun]) -> list[tuple[MemberRun, Any]]:
    """Members with their settings as the recipe understands them; those of equal settings share one object."""
    known: dict[str, Any] = {}
    pairs = []
    for run in runs:
        key = json.dumps(run.line["patch"], sort_keys=True)
        if key not in known:
            known[key] = settings_of(recipe, run)
        pairs.append((run, known[key]))
    return pairs


def single(one: Run) -> Run:
    """Refuses a fleet where one network is meant."""
    if one.members:
        raise UsageError(
            f"{one.id} is a fleet of {one.members:,} networks.",
            hint=f"Name one of them: {one.id}#0 to #{one.members - 1}, or by its seed: {one.id}@{one.seed}",
        )
    return one


def lab_of(lab: LabLike) -> Lab:
    """The lab that a call names."""
    return lab if isinstance(lab, Lab) else Lab(lab)


def _flat_row(one: Run) -> dict[str, Any]:
    plain = (
        "recipe",
        "version",
        "name",
        "seed",
        "members",
        "parent",
        "device",
        "precision",
        "epochs_done",
        "steps_done",
    )
    row: dict[str, Any] = {"run": one.id, "status": status_of(one), "created": one.meta["created"]}
    row.update({name: one.meta[name] for name in plain})
    for group in ("settings", "final", "evaluation"):
        row.update({f"{group}.{key}": value for key, value in settings_room.flatten(one.meta[group]).items()})
    return row
