"""The verbs over the runs of a lab: compare, show, note, log, rm."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.api._calls import verb
from epochal.api._runs import LabLike, expanded, groups_of, known_recipe, lab_of, recipe_in, status_of
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.evidence.comparison import Comparison, Side


@verb
def compare(a: str | Run, b: str | Run, *, recipe: str | None = None, lab: LabLike = None) -> Comparison:
    """Settings and numbers of two runs or versions side by side; losses of different definition are refused.

    Args:
        a: a run, or a version (or fork's name) whose finished runs are averaged: `model-2`,
            `cvae-digits:model-2`. A fleet stands for its members.
        b: likewise.
        recipe: name or file of the recipe whose versions are meant, where several have one of that name.
        lab: folder that holds the runs.

    Raises:
        UsageError: nothing fits, no run of a version is finished, or both sides are the same runs.
    """
    from epochal.evidence import comparison

    home = lab_of(lab)
    if recipe is not None and registry.recipe_path(recipe) is not None:
        recipe = registry.find(recipe).name
    sides = [_side(home, name, recipe) for name in (a, b)]
    if set(sides[0].runs) == set(sides[1].runs):
        raise UsageError(
            f"A and B are the same: {sides[0].label}.", hint="Name another run or version to compare it with."
        )
    if sides[0].label == sides[1].label:
        sides = [replace(side, label=side.runs[0].id) for side in sides]
    directions: dict[str, str] = {}
    by: dict[str, tuple[str, ...]] = {}
    for side in sides:
        with suppress(EpochalError):  # numbers compare without their recipe, only what is better is not known
            found, _ = known_recipe(side.runs[0], None)
            directions.update({metric.name: metric.better for metric in found.metrics})
            by.update({metric.name: metric.by for metric in found.metrics if metric.by})
    return comparison.compare(sides[0], sides[1], directions, by)


@verb
def show(ref: str | Run, *, lab: LabLike = None) -> dict[str, Any]:
    """Everything about a run: the fields of its run.json, folder, size, notes, forks, curves over epochs.

    Of a fleet also what its members change of its settings (`varied`: values by dotted key), and its `groups`: for
    each set of settings the numbers over its members and the formula of their loss.
    """
    home = lab_of(lab)
    one = home.find(ref)
    return {
        **one.meta,
        "patch": {key: list(pair) for key, pair in one.patch.items()},
        "run": one.id,
        "folder": str(one.path),
        "status": status_of(one),
        "size_bytes": one.size_bytes(),
        "notes": one.notes(),
        "forks": [other.id for other in home.runs() if other.parent and _is_fork_of(other.parent, one)],
        "varied": roster.varied(roster.read(one)) if one.members else {},
        "groups": groups_of(one),
        "curves": {split: one.epoch_values(split) for split in ("train", "validation")},
        "problems": one.problems(),
    }


@verb
def note(ref: str | Run, text: str, *, lab: LabLike = None) -> Run:
    """Adds a remark to a run.

    Raises:
        UsageError: no such run, or an empty text.
    """
    one = lab_of(lab).find(ref)
    one.note(text)
    return one


@verb
def log(recipe: str, *, lang: str = "en", out: str | Path | None = None, lab: LabLike = None) -> Path:
    """Writes the experiment log of a recipe (Markdown with pictures); returns its path.

    Args:
        recipe: name or recipe file; the name of one that made runs of the lab will do.
        lang: language of the headings, "en" or "ko".
        out: file to write; default: `RECIPE.md` in the lab.
        lab: folder that holds the runs.
    """
    from epochal.report import log as writer

    home = lab_of(lab)
    return writer.write(recipe_in(home, recipe), home, lang, out)


@dataclass(frozen=True)
class Removal:
    """What `rm` removes (or removed) of a run: the whole folder, or only these `files` when pruning."""

    run: Run
    bytes: int
    files: tuple[Path, ...] = ()


@verb
def rm(*refs: str | Run, prune: bool = False, dry: bool = False, lab: LabLike = None) -> list[Removal]:
    """Deletes runs; or, with `prune`, only their checkpoints other than the best and the last.

    Args:
        *refs: runs; with `prune` none means all runs of the lab.
        prune: keep the runs, and of their checkpoints the best and the last.
        dry: delete nothing, only tell what would be.
        lab: folder that holds the runs.

    Raises:
        UsageError: no such run.
        EpochalError: a run is being trained; nothing was deleted.
    """
    home = lab_of(lab)
    chosen = list(dict.fromkeys(home.find(ref) for ref in refs)) if refs or not prune else home.runs()
    for one in chosen:
        if isinstance(one, MemberRun):
            raise UsageError(
                f"{one.id} is one member of a fleet: it is deleted with all of it.",
                hint=f"epochal rm {one.fleet.id}",
            )
        if one.reload().alive():
            raise EpochalError(f"Run {one.id} is being trained right now; nothing was deleted.")
    removals = [_prunable(one) if prune else Removal(one, one.size_bytes()) for one in chosen]
    for removal in removals if not dry else ():
        if prune:
            for file in removal.files:
                file.unlink(missing_ok=True)
        else:
            removal.run.delete()
    return removals


def _side(lab: Lab, name: str | Run, recipe: str | None) -> Side:
    """The runs that a name in `compare` means: a version's or a fork's, else one run."""
    from epochal.evidence import comparison

    if isinstance(name, Run):
        return _side_of(lab.find(name))
    wanted_recipe, _, label = lab.by_recipe(name).rpartition(":")
    wanted_recipe = wanted_recipe or recipe or ""
    fitting = [
        one
        for one in lab.runs()
        if (one.name == label or (one.parent is None and one.name is None and one.version == label))
        and wanted_recipe in ("", one.recipe)
    ]
    of = sorted({one.recipe for one in fitting})
    if len(of) > 1:
        raise UsageError(
            f"{name!r} is a version of several recipes.",
            hint=f"Name it as {' or '.join(f'{r}:{label}' for r in of)}.",
        )
    if fitting:
        return comparison.group(name, expanded(fitting))
    one = lab.find(name)
    if recipe is not None and one.recipe != recipe:
        raise UsageError(
            f"No version or fork of {recipe} is called {label!r} in {lab.path}.",
            hint=f"{one.id} is of the recipe {one.recipe}.",
        )
    return _side_of(one, name)


def _side_of(one: Run, name: str | None = None) -> Side:
    """A run as it is compared; of a fleet its members."""
    from epochal.evidence import comparison

    if one.members:
        return comparison.group(name or one.id, expanded([one]))
    changed = roster.patch_text(one.line["patch"]) if isinstance(one, MemberRun) else ""
    return comparison.Side(f"{one.label}@{one.seed}" + (f" ({changed})" if changed else ""), [one])


def _is_fork_of(parent: str, one: Run) -> bool:
    """Whether a run's parent is this run, or a member of this fleet."""
    return parent == one.id or (one.members > 0 and parent.startswith(f"{one.id}#"))


def _prunable(one: Run) -> Removal:
    files = [path for path in sorted(one.checkpoints_dir.glob("*")) if path.stem not in ("best", "last")]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    return Removal(one, sum(path.stat().st_size for path in files), tuple(files))
