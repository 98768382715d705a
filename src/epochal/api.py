"""The verbs as functions: what `epochal VERB` does on the command line, callable from Python and notebooks.

    import epochal
    runs = epochal.run("cvae-digits", "model-4", seeds=3, patch={"epochs": 4})
    child = epochal.fork(runs[0].id, {"loss.grey_weight": 0.1}, note="less grey")[0]
    epochal.evaluate(child.id)
    epochal.load(child.id).decoder          # a plain torch.nn.Module

A run is named by its id, the beginning of it, "last", "recipe:version@seed", or its folder; a fleet's member as
"FLEET#12" or "FLEET@seed".
"""

from __future__ import annotations

import itertools
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, overload

from epochal import settings as settings_room
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.evidence.comparison import Comparison, Side
    from epochal.settings import Patch
    from epochal.training.task import Member, Recipe, Trained, Version

LabLike = Lab | str | Path | None
Which = Literal["best", "last"]
PRECISIONS = ("auto", "float32", "bfloat16")
SPLITS = ("train", "validation", "test")
_LARGEST_SEED = 2**63 - 1  # what databases and other programs hold in an integer
_MOST_SEEDS = 10_000
_MOST_RUNS = 100_000  # of one command; a fleet has as many members
_LONGEST_NAME = 100


class TrainingEnded(EpochalError):
    """A training failed or was stopped by Ctrl-C; `runs` holds the runs up to and including it."""

    def __init__(self, what: str, *, hint: str | None, runs: Sequence[Run]) -> None:
        super().__init__(what, hint=hint)
        self.runs = list(runs)


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

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a run, with columns for `settings.*`, `final.*` and `evaluation.*`.

        Raises:
            EpochalError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise EpochalError("to_frame needs pandas.", hint="pip install pandas") from None
        return pandas.DataFrame([_flat_row(run) for run in self._found])


def runs(lab: LabLike = None, *, recipe: str | None = None) -> Runs:
    """The runs of a lab (default: `$EPOCHAL_LAB` or ./lab), newest first; of one recipe where it is named."""
    return Runs([run for run in _lab(lab).runs() if recipe is None or run.recipe == recipe])


def members(ref: str, *, lab: LabLike = None) -> Runs:
    """The members of a fleet, each of them a run with its own settings, seed and numbers.

    Raises:
        EpochalError: the run is no fleet, or its table of members cannot be read.
    """
    return Runs(roster.of(_lab(lab).find(ref)))


def recipes() -> list[Recipe]:
    """All built-in and installed recipes."""
    return [registry.find(name) for name in registry.names()]


def run(
    recipe: str,
    version: str | None = None,
    *,
    patch: Patch | None = None,
    settings_file: str | Path | None = None,
    seed: int = 0,
    seeds: int = 1,
    grid: Mapping[str, Sequence[Any]] | None = None,
    one_by_one: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    lab: LabLike = None,
    name: str | None = None,
    note: str | None = None,
    show: bool = True,
    keep_going: bool = False,
) -> list[Run]:
    """Trains a version of a recipe; returns its runs, one a seed and point of the grid.

    Where the recipe stacks networks (`Recipe.stack`), all seeds, at all points of a grid over settings that it
    can stack, are trained together: they are one run, a fleet, whose `members` are runs to look at.

    Args:
        recipe: name, or path of a recipe file (`./my_recipe.py`).
        version: default: that of the run whose settings start again, else the newest.
        patch: settings by dotted key; wins over `settings_file`, which wins over the version.
        settings_file: TOML file, or a run folder (its run.json) whose settings start again.
        seed: seed of the first run.
        seeds: number of runs, with the seeds `seed`, `seed + 1`, …
        grid: values to try by dotted key (`{"optim.lr": [0.5, 0.1]}`); all combinations are trained.
        one_by_one: train no fleet, but every run by itself.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (measured), "float32" or "bfloat16".
        threads: CPU threads; default: measured with the precision.
        lab: folder that holds the runs.
        name: what to call the runs, instead of the version's name.
        note: a remark, kept with every run.
        show: whether to print progress.
        keep_going: do not stop when the loss diverges.

    Raises:
        UsageError: something about the call is wrong; no run was made.
        TrainingEnded: a training failed, diverged, or was interrupted.
    """
    _check_name(name)
    found = registry.find(recipe)
    chosen = registry.version_of(found, version or _saved_version(found, settings_file))
    base = registry.settings_of(found, chosen.name)
    from_file = [(str(settings_file), settings_room.read_file(settings_file))] if settings_file else []
    resolved = settings_room.layered(base, [*from_file, ("", patch or {})])
    _check(found, resolved, seed=seed, seeds=seeds, device=device, precision=precision, threads=threads)
    values = _grid_values(resolved, grid or {})
    if seeds * math.prod(map(len, values.values())) > _MOST_RUNS:
        raise UsageError(
            f"{seeds:,} seeds at all points of the grid are too many.", hint=f"{_MOST_RUNS:,} runs at most."
        )
    plan = _Plan(found, registry.recipe_path(recipe), resolved, {}, note, device, precision, threads)
    every = range(seed, seed + seeds)
    jobs = _jobs(plan, chosen, values, every, name, stacks=found.stack is not None and not one_by_one)
    return _train_jobs(jobs, _lab(lab), show=show, keep_going=keep_going)


def fork(
    ref: str,
    patch: Patch | None = None,
    *,
    name: str | None = None,
    note: str | None = None,
    warm_start: bool = False,
    draft: bool = False,
    seed: int | None = None,
    seeds: int = 1,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    recipe: str | None = None,
    lab: LabLike = None,
    show: bool = True,
    keep_going: bool = False,
) -> list[Run]:
    """Trains a run's settings again, from scratch, with one thing changed; same seed unless another is given.

    Args:
        ref: the parent run.
        patch: settings to change, by dotted key.
        name: what to call the fork; default: its changes.
        note: a remark, kept with the fork.
        warm_start: begin from the parent's weights instead of fresh ones.
        draft: only record the fork; `resume` trains it.
        seed: default: the parent's.
        seeds: number of forks, with consecutive seeds.
        device: see `run`.
        precision: see `run`.
        threads: see `run`.
        recipe: recipe file, where the parent's own is not known on this machine.
        lab: folder that holds the runs.
        show: whether to print progress.
        keep_going: do not stop when the loss diverges.

    Raises:
        UsageError: unknown run, wrong setting, or a fork that would change nothing; no run was made.
        TrainingEnded: see `run`.
    """
    home = _lab(lab)
    parent = _single(home.find(ref))
    found, file = _recipe_of(parent, recipe)
    _check_name(name)
    old = _settings_of(found, parent)
    new = settings_room.apply(old, patch or {})
    first = parent.seed if seed is None else seed
    changes = settings_room.diff(old, new)
    if not changes and first == parent.seed and seeds == 1 and not warm_start:
        raise UsageError(
            f"This fork of {parent.id} would change nothing.",
            hint="Give a setting to change (--loss.grey-weight 0.1), or another --seed.",
        )
    _check(found, new, seed=first, seeds=seeds, device=device, precision=precision, threads=threads)
    fields = {
        "version": parent.version,
        "name": name or _name_of(parent, changes),
        "parent": parent.id,
        "parent_version": parent.version,
        "patch": changes,
        "warm_start": warm_start,  # `resume` of a draft, or of a run killed early, must begin there too
    }
    started_from = parent if warm_start else None
    plan = _Plan(found, file, new, fields, note, device, precision, threads, started_from)
    if draft:
        return [plan.record(home, one, [first], status="draft") for one in range(first, first + seeds)]
    job = _Job(plan, range(first, first + seeds))
    return _train_jobs([job], home, show=show, keep_going=keep_going)


def resume(
    ref: str,
    *,
    epochs: int | None = None,
    recipe: str | None = None,
    lab: LabLike = None,
    show: bool = True,
    keep_going: bool = False,
) -> Run:
    """Continues a run or a fleet where its last checkpoint left it (or trains a draft), on the device it had.

    Args:
        ref: the run.
        epochs: new total number of epochs, to train a finished run for longer.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.
        show: whether to print progress.
        keep_going: do not stop when the loss diverges.

    Raises:
        UsageError: the run is finished and no more epochs were asked for.
        EpochalError: another process is training it.
        TrainingEnded: see `run`.
    """
    one = _lab(lab).find(ref)
    if isinstance(one, MemberRun):
        raise UsageError(
            f"{one.id} is one member of a fleet: all of it goes on together.",
            hint=f"epochal resume {one.fleet.id}",
        )
    found, _ = _recipe_of(one, recipe)
    settings = _settings_of(found, one)
    done = one.meta["epochs_done"]
    if one.alive():
        raise EpochalError(
            f"Run {one.id} is being trained right now.", hint="`epochal show` tells how far it is."
        )
    if epochs is not None and epochs <= done:
        raise UsageError(
            f"epochs = {epochs}, but run {one.id} has {done} epochs already.",
            hint="--epochs is the total, those before included.",
        )
    if settings.steps is not None and one.meta["steps_done"] >= settings.steps:
        raise UsageError(
            f"Run {one.id} has done all its {settings.steps} steps.",
            hint=f"Train it again with more: epochal fork {_forkable(one)} --steps none",
        )
    wanted, loss = settings.stop.loss, one.meta["final"].get("loss")
    if one.status == "finished" and wanted is not None and loss is not None and loss < wanted:
        raise UsageError(
            f"Run {one.id} got below its loss of {wanted:g} in step {one.meta['steps_done']:,}.",
            hint=f"Train it again without that stop: epochal fork {one.id} --stop.loss none",
        )
    if one.status == "finished" and one.members and not _any_goes_on(one):
        raise UsageError(
            f"All members of {one.id} are done: each got below its loss, lost patience, or failed.",
            hint=f"`epochal show {one.id}` tells how many did.",
        )
    if epochs is None and one.status == "finished":
        raise UsageError(
            f"Run {one.id} is finished ({done} epochs).",
            hint=f"Ask for more in total: epochal resume {one.id} --epochs {done + 1}",
        )
    if epochs is not None:
        settings = settings_room.apply(settings, {"epochs": epochs})
    device = one.meta["device"] or "auto"
    _check(found, settings, seed=one.seed, seeds=1, device=device, precision="auto")
    before = {name: one.meta[name] for name in ("status", "reason", "settings", "patch", "finished")}
    written = _written(one)
    longer = {} if epochs is None else {"patch": _extended(one, epochs)}
    precision = one.meta["precision"] or "auto"
    try:
        _train(
            found,
            settings,
            one,
            resume=True,
            warm_start=_lab(lab).find(one.parent) if one.meta.get("warm_start") and one.parent else None,
            device=device,
            precision=precision,
            show=show,
            keep_going=keep_going,
            changes={"settings": settings_room.to_dict(settings), **longer} if longer else {},
        )
    except Exception:
        # A finished run stays one when the training of more epochs could not even begin.
        begun = one.reload().status == "failed"  # else another process holds it, and nothing was changed
        if before["status"] == "finished" and begun and _written(one) == written:
            one.update(**before)
        raise
    return one.reload()


def evaluate(
    ref: str,
    *,
    split: str = "test",
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
    show: bool = True,
) -> dict[str, float]:
    """Measures a run's quality metrics on a split and keeps them in its run.json.

    Of a fleet every finished member is measured; its numbers are kept with it, and their means are returned.

    Networks of other recipes that measure (a classifier that judges samples) are trained on first use and
    kept.

    Raises:
        UsageError: the recipe has no quality metrics, or no such split.
        EpochalError: the run has no checkpoint yet.
    """
    one = _lab(lab).find(ref)
    found, _ = _recipe_of(one, recipe)
    if found.evaluate is None:
        raise UsageError(f"The recipe {found.name} says nothing about evaluating its runs.")
    if split not in SPLITS:
        raise UsageError(f"There is no split {split!r}.", hint=f"Choose one of {', '.join(SPLITS)}.")
    if one.members:
        return _evaluate_fleet(found, one, split, which, device, show)
    trained = _trained(found, one, which, device)
    if found.needs is not None:
        trained = replace(trained, helpers=_helpers(found.needs(trained.settings), device, show))
    measured = dict(found.evaluate(trained, split))
    one.update(evaluation={**one.reload().meta["evaluation"], split: measured})
    return measured


def generate(
    ref: str,
    *,
    out: str | Path | None = None,
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
    **request: Any,
) -> Path:
    """Draws what a run has learnt to draw; returns the picture's path.

    Args:
        ref: the run.
        out: PNG file; default: `RUN.png` in the present folder.
        which: checkpoint to use.
        device: see `run`.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.
        **request: what to draw; the recipe says which fields there are (`digit=7, thickness=0.8, n=64`).

    Raises:
        UsageError: the recipe draws nothing, or has no such field.
        EpochalError: the run has no checkpoint yet.
    """
    one = _single(_lab(lab).find(ref))
    found, _ = _recipe_of(one, recipe)
    if found.generate is None or found.request is None:
        raise UsageError(f"The recipe {found.name} generates nothing.")
    wanted = settings_room.apply(found.request(), request)
    target = Path(out or f"{one.id}.png")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if target.suffix.lower() not in ("", ".png") or (target.exists() and not target.is_file()):
        raise UsageError(
            f"{target} is no name for a picture.", hint="Pictures are PNG files: --out sevens.png"
        )
    grid = found.generate(_trained(found, one, which, device), wanted)
    from epochal.report import figures, study

    figures.draw(grid, target, subtitle=study.run_title(one))
    return target


def load(
    ref: str,
    *,
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
) -> SimpleNamespace:
    """A run's networks as plain `torch.nn.Module`s in eval mode: `load("last").decoder`.

    A NumPy network is the object that was trained. The answer also has `.run`, `.settings` and `.device`.

    Raises:
        EpochalError: the run has no checkpoint yet.
    """
    one = _single(_lab(lab).find(ref))
    found, _ = _recipe_of(one, recipe)
    trained = _trained(found, one, which, device)
    return SimpleNamespace(
        **{"run": one, "settings": trained.settings, "device": trained.device, **trained.nets}
    )


def compare(a: str, b: str, *, recipe: str | None = None, lab: LabLike = None) -> Comparison:
    """Settings and numbers of two runs or versions side by side; losses of different definition are refused.

    Args:
        a: a run, or a version (or fork's name) whose finished runs are averaged: `model-2`,
            `cvae-digits:model-2`. A fleet stands for its members.
        b: likewise.
        recipe: which recipe's versions are meant, where several have one of that name.
        lab: folder that holds the runs.

    Raises:
        UsageError: nothing fits, or no run of a version is finished.
    """
    from epochal.evidence import comparison

    home = _lab(lab)
    sides = [_side(home, name, recipe) for name in (a, b)]
    if sides[0].label == sides[1].label:
        sides = [replace(side, label=side.runs[0].id) for side in sides]
    directions: dict[str, str] = {}
    for side in sides:
        with suppress(EpochalError):  # numbers compare without their recipe, only what is better is not known
            found, _ = _recipe_of(side.runs[0], None)
            directions.update({metric.name: metric.better for metric in found.metrics})
    return comparison.compare(sides[0], sides[1], directions)


def show(ref: str, *, lab: LabLike = None) -> dict[str, Any]:
    """Everything about a run: the fields of its run.json, folder, size, notes, forks, curves over epochs.

    Of a fleet also its `groups`: for each set of settings the numbers over its members.
    """
    from epochal.evidence.groups import groups

    home = _lab(lab)
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
        "groups": [group.to_dict() for group in groups(roster.of(one))] if one.members else [],
        "curves": {split: one.epoch_values(split) for split in ("train", "validation")},
        "problems": one.problems(),
    }


def note(ref: str, text: str, *, lab: LabLike = None) -> Run:
    """Adds a remark to a run.

    Raises:
        UsageError: no such run, or an empty text.
    """
    one = _lab(lab).find(ref)
    one.note(text)
    return one


def log(recipe: str, *, lang: str = "en", out: str | Path | None = None, lab: LabLike = None) -> Path:
    """Writes the experiment log of a recipe (Markdown with pictures); returns its path.

    Args:
        recipe: name or recipe file.
        lang: language of the headings, "en" or "ko".
        out: file to write; default: `RECIPE.md` in the lab.
        lab: folder that holds the runs.
    """
    from epochal.report import log as writer

    return writer.write(registry.find(recipe), _lab(lab), lang, out)


@dataclass(frozen=True)
class Removal:
    """What `rm` removes (or removed) of a run: the whole folder, or only these `files` when pruning."""

    run: Run
    bytes: int
    files: tuple[Path, ...] = ()


def rm(*refs: str, prune: bool = False, dry: bool = False, lab: LabLike = None) -> list[Removal]:
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
    home = _lab(lab)
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


def status_of(one: Run) -> str:
    """A run's status, with `interrupted` for one whose process was killed."""
    return "interrupted" if one.interrupted else one.status


def recipe_of(ref: str, *, recipe: str | None = None, lab: LabLike = None) -> tuple[Run, Recipe]:
    """The run that `ref` means, and the recipe that made it.

    Raises:
        UsageError: no such run, or its recipe is not known on this machine.
    """
    one = _lab(lab).find(ref)
    return one, _recipe_of(one, recipe)[0]


@dataclass(frozen=True)
class _Plan:
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
class _Job:
    """What one command trains with one set of settings: a run a seed, or all of them as one fleet.

    Attributes:
        members: of a fleet, the lines of its members.
    """

    plan: _Plan
    seeds: Sequence[int]
    members: Sequence[Mapping[str, Any]] = ()

    @property
    def label(self) -> str:
        """What to call it among the jobs of a grid."""
        return str(self.plan.fields.get("name") or self.plan.fields.get("version"))


def _grid_values(settings: Any, grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of a grid by full dotted key, each as its setting stores it.

    Raises:
        UsageError: an unknown setting, a value that it does not take, no values, or one that stands twice.
    """
    found: dict[str, list[Any]] = {}
    for typed, given in grid.items():
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise UsageError(
                f"The grid has no values for {typed}.", hint=f"Give at least one: --grid {typed}=A,B"
            )
        for value in given:
            ((key, kept),) = settings_room.checked(type(settings), {typed: value}).items()
            if kept in found.setdefault(key, []):
                raise UsageError(f"{key} = {kept} stands twice in the grid.", hint="Name each value once.")
            found[key].append(kept)
            settings_room.apply(settings, {key: kept})
    return found


def _points(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations, the last key changing fastest; one empty patch where there are no keys."""
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def _jobs(
    plan: _Plan,
    version: Version,
    values: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    name: str | None,
    *,
    stacks: bool,
) -> list[_Job]:
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
            jobs.append(_Job(one, seeds, members))
        else:
            jobs.append(_Job(one, seeds))
    return jobs


def _apart(settings: Any, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points of a grid as JSON holds them, after a check that their combinations are allowed."""
    for point in points:
        settings_room.apply(settings, point)
    return [{key: list(v) if isinstance(v, tuple) else v for key, v in point.items()} for point in points]


def _name_of_point(point: Mapping[str, Any]) -> str:
    return "-".join(f"{key.rpartition('.')[2]}-{_plain(value)}" for key, value in point.items())[
        :_LONGEST_NAME
    ]


def _train_jobs(jobs: Sequence[_Job], lab: Lab, *, show: bool, keep_going: bool) -> list[Run]:
    """Trains one after the other; returns the runs in their order."""
    made: list[Run] = []
    for number, job in enumerate(jobs):
        later = [other.label for other in jobs[number + 1 :]]
        for done, seed in enumerate(job.seeds, start=1):
            waiting = [] if job.members else list(job.seeds[done:])
            left = f" Seeds not started: {', '.join(map(str, waiting))}." if waiting else ""
            left += f" Not started: {', '.join(later)}." if later else ""
            made.append(job.plan.record(lab, seed, job.seeds, members=job.members))
            _train(
                job.plan.recipe,
                job.plan.settings,
                made[-1],
                made[:-1],
                left=left,
                fresh=True,
                device=job.plan.device,
                precision=job.plan.precision,
                threads=job.plan.threads,
                warm_start=job.plan.warm_start,
                show=show,
                keep_going=keep_going,
            )
            if job.members:
                break
    return [one.reload() for one in made]


def _train(
    recipe: Recipe,
    settings: Any,
    one: Run,
    before: Sequence[Run] = (),
    *,
    left: str = "",
    fresh: bool = False,
    **how: Any,
) -> None:
    """Trains one run and draws its figures.

    `before` are the runs that the command made before it, `left` says what it has not begun; a `fresh` run that
    fails before its first step leaves nothing.
    """
    from epochal.training import engine

    try:
        engine.train(recipe, settings, one, **how)
    except KeyboardInterrupt:
        raise TrainingEnded(
            f"Stopped run {one.id}; it is saved.{left}",
            hint=f"Go on with: epochal resume {one.id}",
            runs=[*before, one.reload()],
        ) from None
    except Exception as problem:
        kept = [*before, one]
        if fresh and one.reload().meta["started"] is None:
            one.delete(own=True)
            kept.remove(one)
        if not kept or not isinstance(problem, EpochalError):
            raise
        runs_kept = [each.reload() for each in kept]
        raise TrainingEnded(f"{problem.what}{left}", hint=problem.hint, runs=runs_kept) from problem
    _draw(recipe, one.reload())


def _draw(recipe: Recipe, one: Run) -> None:
    """Draws the figures of a run that ended. The training counts even when a picture fails."""
    from epochal.report import figures, fleet

    try:
        if one.members:
            fleet.draw(recipe, one, _as_members(recipe, one))
        else:
            figures.draw_run(recipe, one, _trained(recipe, one, "best", "auto"))
    except Exception as problem:
        warnings.warn(
            f"The figures of {one.id} were not drawn: {type(problem).__name__}: {problem}", stacklevel=2
        )


def _check(
    recipe: Recipe,
    settings: Any,
    *,
    seed: int,
    seeds: int,
    device: str,
    precision: str,
    threads: int | None = None,
) -> None:
    """Refuses what can be refused before a run is made."""
    for name, value, least, most in (
        ("seeds", seeds, 1, _MOST_SEEDS),
        ("seed", seed, 0, _LARGEST_SEED - _MOST_SEEDS),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UsageError(
                f"{name} = {value} is not allowed.",
                hint=f"{name} must be a whole number from {least} to {most}.",
            )
    if threads is not None and threads < 1:
        raise UsageError(f"threads = {threads} is too few.", hint="Give at least 1.")
    if precision not in PRECISIONS:
        raise UsageError(f"Unknown precision {precision!r}.", hint=f"Choose one of {', '.join(PRECISIONS)}.")
    from epochal.systems import data
    from epochal.training import devices

    devices.resolve(device)
    # A recipe with data of its own names its own sources; only those of ours can be checked here.
    ours = {"auto", *(source.name for source in data.sources())}
    if recipe.settings().data.source in ours:
        data.resolve(settings.data.source, settings.data.dir)


def _check_name(name: str | None) -> None:
    """Refuses a name by which a run could not be found again."""
    if name is None:
        return
    if len(name) > _LONGEST_NAME:
        raise UsageError(
            f"A run's name of {len(name):,} characters is too long.", hint="A note has room: --note."
        )
    if not name.strip() or not name.isprintable() or any(char in name for char in ":@/\\"):
        raise UsageError(
            f"{name!r} is no name for a run.", hint="Use letters, digits, spaces and dashes; no : @ / or \\."
        )


def _settings_of(recipe: Recipe, one: Run) -> Any:
    """A run's settings as the recipe understands them today."""
    try:
        return settings_room.from_dict(recipe.settings, one.settings)
    except UsageError as problem:
        raise UsageError(
            f"The recipe {recipe.name} no longer takes the settings of {one.id}: {problem.what}",
            hint="It has changed since; check out the commit that run.json names.",
        ) from None


def _written(one: Run) -> list[tuple[int, int]]:
    """Tells whether anything was trained meanwhile: size and time of the log and the checkpoint."""
    files = (one.path / "metrics.jsonl", one.checkpoints_dir / "last.safetensors")
    return [(about.st_size, about.st_mtime_ns) for about in (file.stat() for file in files if file.exists())]


def _recipe_of(one: Run, given: str | None) -> tuple[Recipe, Path | None]:
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
    if not registry.is_remembered(path) or not path.is_file():
        why = "is no longer there" if registry.is_remembered(path) else "was never run here"
        raise UsageError(
            f"Run {one.id} was made by the recipe file {file}, which {why}.",
            hint="Loading a recipe executes it. If you trust it, name it: --recipe PATH/TO/FILE.py",
        )
    return registry.find(file), path


def _single(one: Run) -> Run:
    """Refuses a fleet where one network is meant."""
    if one.members:
        raise UsageError(
            f"{one.id} is a fleet of {one.members:,} networks.",
            hint=f"Name one of them: {one.id}#0 to #{one.members - 1}, or by its seed: {one.id}@{one.seed}",
        )
    return one


def _forkable(one: Run) -> str:
    """How to name a run to `fork`: of a fleet one network."""
    return f"{one.id}#0" if one.members else one.id


def _any_goes_on(fleet: Run) -> bool:
    """Whether members of a finished fleet ended for no other reason than that all epochs were done."""
    last = fleet.meta["steps_done"]
    return any(
        line["status"] == "finished" and not line["reached"] and line["steps"] == last
        for line in roster.read(fleet)
    )


def _is_fork_of(parent: str, one: Run) -> bool:
    """Whether a run's parent is this run, or a member of this fleet."""
    return parent == one.id or (one.members > 0 and parent.startswith(f"{one.id}#"))


def _as_members(recipe: Recipe, fleet: Run) -> list[Member]:
    """A fleet's members as its figures see them; those that failed are left out."""
    from epochal.training.task import Member

    return [
        Member(run.seed, settings, run.meta["final"], run.meta["steps_done"], run.line["reached"])
        for run, settings in _with_settings(recipe, roster.of(fleet))
        if run.status == "finished"
    ]


def _with_settings(recipe: Recipe, runs: Sequence[MemberRun]) -> list[tuple[MemberRun, Any]]:
    """Members with their settings as the recipe understands them; those of equal settings share one object."""
    known: dict[str, Any] = {}
    pairs = []
    for run in runs:
        key = json.dumps(run.line["patch"], sort_keys=True)
        if key not in known:
            known[key] = _settings_of(recipe, run)
        pairs.append((run, known[key]))
    return pairs


def _evaluate_fleet(
    recipe: Recipe, fleet: Run, split: str, which: Which, device: str, show: bool
) -> dict[str, float]:
    """Measures every finished member; returns the means."""
    from epochal.evidence.groups import summaries
    from epochal.training import engine

    assert recipe.evaluate is not None
    runs = [run for run in roster.of(fleet) if run.status == "finished"]
    if not runs:
        raise EpochalError(
            f"No member of {fleet.id} is finished.", hint=f"Go on with: epochal resume {fleet.id}"
        )
    helpers: dict[str, Any] = {}
    measured: dict[int, dict[str, float]] = {}
    _with_settings(recipe, runs)  # refuses what the recipe no longer takes, naming the member
    for run, trained in zip(runs, engine.load_members(recipe, runs, which=which), strict=True):
        if recipe.needs is not None:
            wanted = recipe.needs(trained.settings)
            key = json.dumps({role: [name, dict(patch)] for role, (name, patch) in wanted.items()})
            if key not in helpers:
                helpers[key] = _helpers(wanted, device, show)
            trained = replace(trained, helpers=helpers[key])
        measured[run.member] = dict(recipe.evaluate(trained, split))
    kept = {run.member: {**run.meta["evaluation"], split: measured[run.member]} for run in runs}
    roster.keep_evaluations(fleet, kept)
    return {name: summary.mean for name, summary in summaries([*measured.values()]).items()}


def _trained(recipe: Recipe, one: Run, which: str, device: str) -> Trained:
    from epochal.training import engine

    return engine.load(recipe, one, which=which, device=device, settings=_settings_of(recipe, one))


def _helpers(
    needs: Mapping[str, tuple[str, Mapping[str, Any]]], device: str, show: bool
) -> dict[str, Trained]:
    """Trained networks of other recipes, trained once and kept in the cache under the hash of all that makes them."""
    from epochal.folders import cache_folder
    from epochal.journal import locking
    from epochal.training import engine

    trained = {}
    for role, (name, patch) in needs.items():
        found = registry.find(name)
        settings = settings_room.apply(found.settings(), patch)
        key = _fingerprint(found, settings)
        home = Lab(cache_folder() / "helpers")
        home.path.mkdir(parents=True, exist_ok=True)
        with locking.hold(home.path / f".{key}", wait=True):  # two evaluations at once train it once
            kept = [one for one in home.runs() if one.name == key and one.status == "finished"]
            if not kept:
                plan = _Plan(found, None, settings, {"name": key}, None, device, "auto")
                kept = _train_jobs([_Job(plan, [0])], home, show=show, keep_going=False)
                if found.evaluate is not None:  # how far a judge can be trusted is part of what it measures
                    evaluate(kept[0].id, lab=home, device=device, show=show)
        trained[role] = engine.load(found, kept[0], device=device)
    return trained


def _fingerprint(recipe: Recipe, settings: Any) -> str:
    """Hash of a recipe's name, its settings and the source files of its functions."""
    import hashlib
    import inspect

    sources = sorted({Path(inspect.getfile(part)) for part in (recipe.nets, recipe.build)})
    text = [recipe.name, json.dumps(settings_room.to_dict(settings), sort_keys=True)]
    return hashlib.sha256("\n".join([*text, *(f.read_text() for f in sources)]).encode()).hexdigest()[:16]


def _lab(lab: LabLike) -> Lab:
    return lab if isinstance(lab, Lab) else Lab(lab)


def _side(lab: Lab, name: str, recipe: str | None) -> Side:
    """The runs that a name in `compare` means: a version's or a fork's, else one run."""
    from epochal.evidence import comparison

    wanted_recipe, _, label = name.rpartition(":")
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
        return comparison.group(name, _expanded(fitting))
    one = lab.find(name)
    if recipe is not None and one.recipe != recipe:
        raise UsageError(
            f"No version or fork of {recipe} is called {label!r} in {lab.path}.",
            hint=f"{one.id} is of the recipe {one.recipe}.",
        )
    if one.members:
        return comparison.group(name, _expanded([one]))
    changed = roster.patch_text(one.line["patch"]) if isinstance(one, MemberRun) else ""
    return comparison.Side(f"{one.label}@{one.seed}" + (f" ({changed})" if changed else ""), [one])


def _expanded(found: Sequence[Run]) -> list[Run]:
    """Runs with every fleet's members in its place."""
    return [run for one in found for run in (roster.of(one) if one.members else [one])]


def _saved_version(recipe: Recipe, settings_file: str | Path | None) -> str | None:
    """The version of the run whose settings are to start again; None for any other settings file."""
    path = Path(settings_file or "")
    folder = path.parent if path.name == "run.json" else path
    if settings_file is None or not (folder / "run.json").is_file():
        return None
    saved = Run(folder)
    known = [version.name for version in recipe.versions]
    return saved.version if saved.recipe == recipe.name and saved.version in known else None


def _name_of(parent: Run, changes: settings_room.Diff) -> str:
    """A fork's name from what it changes: `grey_weight-0.1`."""
    words = [f"{key.rpartition('.')[2]}-{_plain(new)}" for key, (_, new) in list(changes.items())[:2]]
    return "-".join(words) or f"{parent.label}-again"


def _plain(value: Any) -> str:
    return re.sub(r"[^\w.]+", "-", str(value)).strip("-")[:20]


def _extended(one: Run, epochs: int) -> dict[str, list[Any]]:
    """The run's patch against its parent after its number of epochs was changed."""
    old = one.patch.get("epochs", (one.settings.get("epochs"), None))[0]
    changed = {**{key: list(pair) for key, pair in one.patch.items()}, "epochs": [old, epochs]}
    return {key: pair for key, pair in changed.items() if pair[0] != pair[1]}


def _prunable(one: Run) -> Removal:
    files = [path for path in sorted(one.checkpoints_dir.glob("*")) if path.stem not in ("best", "last")]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    return Removal(one, sum(path.stat().st_size for path in files), tuple(files))


def _flat_row(one: Run) -> dict[str, Any]:
    plain = (
        "recipe",
        "version",
        "name",
        "seed",
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
