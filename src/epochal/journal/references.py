"""Finding the run that somebody means: id, prefix, `last`, `recipe:version@seed`, a folder, a fleet's member."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from epochal.errors import UsageError
from epochal.journal import runfile
from epochal.journal.index import Row
from epochal.journal.run import Run

_SHOWN = 5
_SELECTOR = re.compile(r"(?:(?P<recipe>[^:@]+):)?(?P<label>[^:@]+)(?:@(?P<seed>-?\d{1,18}))?")
_PART = re.compile(r"(?P<fleet>.+)(?P<sign>[#@])(?P<number>\d{1,18})")
_SEPARATORS = tuple(filter(None, {"/", os.sep, os.altsep}))
_FORMS = (
    "A run is an id or its beginning, last, recipe:version@seed, or a folder; "
    "a fleet's member FLEET#12 or FLEET@3."
)


class Part(NamedTuple):
    """A member of a fleet as typed: `FLEET#12` by its number, `FLEET@3` by its seed."""

    fleet: str
    sign: str
    number: int


def part_of_fleet(ref: str) -> Part | None:
    """The fleet and the member that `ref` may mean; None when it has no such end."""
    match = _PART.fullmatch(ref)
    return Part(match["fleet"], match["sign"], int(match["number"])) if match is not None else None


def by_recipe(ref: str, rows: Sequence[Row]) -> str:
    """`./my_recipe.py:v1@0` with the recipe's name for its file, as the runs that it made say; else the ref itself."""
    import json

    file, colon, rest = ref.partition(".py:")
    path = str(Path(f"{file}.py").expanduser().resolve())
    names = {row.recipe for row in rows if colon and json.loads(row.content).get("recipe_file") == path}
    return f"{names.pop()}:{rest}" if len(names) == 1 else ref


def folder_of(ref: str, lab: Path) -> Path | None:
    """The run folder that `ref` names outright: a run's folder in the lab, or a path that holds a run.json.

    Raises:
        UsageError: `ref` is a path, but no run is there; or no possible name at all.
    """
    if not ref.strip() or "\0" in ref:
        raise UsageError(f"{ref!r} names no run.", hint=_FORMS)
    name = ref.rstrip("".join(_SEPARATORS))
    is_path = name in ("", ".", "..", "~") or any(separator in name for separator in _SEPARATORS)
    if not is_path:
        candidates = [] if name.startswith(".") else [lab / name]
        candidates.append(Path(name))
    else:
        candidates = [Path(os.path.expanduser(ref))]
    for folder in candidates:
        folder = folder.parent if folder.name == runfile.NAME else folder
        if os.path.isfile(folder / runfile.NAME):
            return folder
    part = part_of_fleet(ref)
    if is_path and part is not None and folder_of(part.fleet, lab) is not None:
        return None
    if is_path and ".py:" in ref:
        raise UsageError(
            f"{ref!r}: no run of such a recipe file.",
            hint="Its runs go by the recipe's own name: NAME:VERSION",
        )
    if is_path:
        raise UsageError(f"{ref!r} is a path, but there is no run: no {runfile.NAME} in it.", hint=_FORMS)
    return None


def choose(ref: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that `ref` means, newest first; empty when nothing fits.

    Args:
        ref: id, "last", a selector (recipe:version@seed, or part of it), or the beginning of ids.
        rows: readable runs, newest first.
    """
    if ref == "last":
        return list(rows[:1])
    exact = [row for row in rows if ref in (row.id, row.folder)]
    return (
        exact
        or _selected(ref, rows)
        or [row for row in rows if row.id.startswith(ref) or row.folder.startswith(ref)]
    )


def one(ref: str, fitting: Sequence[Row], lab: Path) -> Row:
    """The one run among those that `ref` fits. Of runs that differ in nothing but time, the newest.

    Raises:
        UsageError: there are several others; lists up to five.
    """
    # Ids that begin alike are different runs, however alike these are.
    by_selector = bool(_selected(ref, fitting))
    # A fleet holds the run of a seed as well as a folder of its own does.
    seeded = by_selector and "@" in ref
    kinds = {
        (row.recipe, row.label, None if seeded else (row.seed, row.members > 0)) if by_selector else row.id
        for row in fitting
    }
    if len(kinds) > 1:
        raise UsageError(f"{ref!r} fits {len(fitting)} runs in {lab}.", hint=f"Name one: {_names(fitting)}")
    return fitting[0]


def nothing(ref: str, rows: Sequence[Row], lab: Path) -> UsageError:
    """The error for a reference that fits no run, with near names."""
    if not rows:
        return UsageError(
            f"no run {ref!r}: there are no runs in {lab}.", hint="Train one: epochal run cvae-digits"
        )
    import difflib

    names: dict[str, None] = {}
    for row in rows:
        for name in (f"{row.recipe}:{row.label}@{row.seed}", f"{row.recipe}:{row.label}", row.label, row.id):
            names.setdefault(name)
    near = difflib.get_close_matches(ref, names, n=_SHOWN, cutoff=0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else f"The newest: {_names(rows)}"
    return UsageError(f"no run fits {ref!r} in {lab}.", hint=f"{hint}\n  {_FORMS}")


def _selected(ref: str, rows: Sequence[Row]) -> list[Row]:
    match = _SELECTOR.fullmatch(ref)
    if match is None:
        return []
    recipe, label, seed = match["recipe"], match["label"], match["seed"]
    return [
        row
        for row in rows
        if (recipe is None or row.recipe == recipe)
        and (seed is None or int(seed) in _seeds(row))
        # A fork trains other settings than the version it came from: it is found by its own name only.
        and (row.name == label or (row.parent is None and row.version == label))
    ]


def _seeds(row: Row) -> set[int]:
    if not row.members:
        return {row.seed}
    import json

    return {seed for seed in json.loads(row.content)["seeds_of"] if isinstance(seed, int)}


def _names(rows: Sequence[Row]) -> str:
    shown = ", ".join(row.id for row in rows[:_SHOWN])
    return shown if len(rows) <= _SHOWN else f"{shown} and {len(rows) - _SHOWN} more"


def as_run(row: Row, lab: Path) -> Run:
    """The run of a row, its run.json as the index read it."""
    return Run(lab / row.folder, content=row.content)
