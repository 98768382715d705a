"""The verbs that train: run, fork, resume."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal import settings as settings_room
from epochal.api._calls import verb
from epochal.api._checks import check_call, check_name
from epochal.api._grids import Job, Plan, check_jobs, grid_values, jobs_of, plain
from epochal.api._networks import as_members, ready, trained_of
from epochal.api._runs import LabLike, known_recipe, lab_of, settings_of, single
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.settings import Patch
    from epochal.training.task import Recipe

_MOST_RUNS = 100_000  # of one command; a fleet has as many members


class TrainingEnded(EpochalError):
    """A training failed or was stopped by Ctrl-C; `runs` holds the runs up to and including it."""

    def __init__(self, what: str, *, hint: str | None, runs: Sequence[Run]) -> None:
        super().__init__(what, hint=hint)
        self.runs = list(runs)


@verb
def run(
    recipe: str,
    version: str | None = None,
    *,
    patch: Patch | None = None,
    settings_file: str | Path | None = None,
    seed: int = 0,
    seeds: int = 1,
    grid: Mapping[str, Iterable[Any]] | None = None,
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
    check_name(name)
    found = registry.find(recipe)
    chosen = registry.version_of(found, version or _saved_version(found, settings_file))
    base = registry.settings_of(found, chosen.name)
    from_file = [(str(settings_file), settings_room.read_file(settings_file))] if settings_file else []
    resolved = settings_room.layered(base, [*from_file, ("", patch or {})])
    check_call(found, resolved, seed=seed, seeds=seeds, device=device, precision=precision, threads=threads)
    values = grid_values(resolved, grid or {})
    if seeds * math.prod(map(len, values.values())) > _MOST_RUNS:
        raise UsageError(
            f"{seeds:,} seeds at all points of the grid are too many.", hint=f"{_MOST_RUNS:,} runs at most."
        )
    plan = Plan(found, registry.recipe_path(recipe), resolved, {}, note, device, precision, threads)
    every = range(seed, seed + seeds)
    jobs = jobs_of(plan, chosen, values, every, name, stacks=found.stack is not None and not one_by_one)
    check_jobs(jobs)
    return train_jobs(jobs, lab_of(lab), show=show, keep_going=keep_going)


@verb
def fork(
    ref: str | Run,
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
    home = lab_of(lab)
    parent = single(home.find(ref))
    found, file = known_recipe(parent, recipe)
    check_name(name)
    old = settings_of(found, parent)
    new = settings_room.apply(old, patch or {})
    first = parent.seed if seed is None else seed
    changes = settings_room.diff(old, new)
    if not changes and first == parent.seed and seeds == 1 and not warm_start:
        raise UsageError(
            f"This fork of {parent.id} would change nothing.",
            hint="Give a setting to change (--loss.grey-weight 0.1), or another --seed.",
        )
    check_call(found, new, seed=first, seeds=seeds, device=device, precision=precision, threads=threads)
    fields = {
        "version": parent.version,
        "name": name or _name_of(parent, changes),
        "parent": parent.id,
        "parent_version": parent.version,
        "patch": changes,
        "warm_start": warm_start,  # `resume` of a draft, or of a run killed early, must begin there too
    }
    started_from = parent if warm_start else None
    plan = Plan(found, file, new, fields, note, device, precision, threads, started_from)
    if draft:
        return [plan.record(home, one, [first], status="draft") for one in range(first, first + seeds)]
    job = Job(plan, range(first, first + seeds))
    return train_jobs([job], home, show=show, keep_going=keep_going)


@verb
def resume(
    ref: str | Run,
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
    one = lab_of(lab).find(ref)
    if isinstance(one, MemberRun):
        raise UsageError(
            f"{one.id} is one member of a fleet: all of it goes on together.",
            hint=f"epochal resume {one.fleet.id}",
        )
    found, _ = known_recipe(one, recipe)
    settings = settings_of(found, one)
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
    check_call(found, settings, seed=one.seed, seeds=1, device=device, precision="auto")
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
            warm_start=lab_of(lab).find(one.parent) if one.meta.get("warm_start") and one.parent else None,
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


def train_jobs(jobs: Sequence[Job], lab: Lab, *, show: bool, keep_going: bool) -> list[Run]:
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
        engine.train(ready(recipe, settings, how["device"], how["show"]), settings, one, **how)
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
    try:
        _draw(recipe, one.reload())
    except KeyboardInterrupt:
        raise TrainingEnded(
            f"Run {one.id} is finished; the drawing of its figures was stopped.{left}",
            hint=f"Those that were drawn are in {one.figures_dir}.",
            runs=[*before, one.reload()],
        ) from None


def _draw(recipe: Recipe, one: Run) -> None:
    """Draws the figures of a run that ended. The training counts even when a picture fails."""
    from epochal.report import figures, fleet

    try:
        if one.members:
            fleet.draw(recipe, one, as_members(recipe, one))
        else:
            figures.draw_run(recipe, one, trained_of(recipe, one, "best", "auto"))
    except Exception as problem:
        warnings.warn(
            f"The figures of {one.id} were not drawn: {type(problem).__name__}: {problem}", stacklevel=2
        )


def _written(one: Run) -> list[tuple[int, int]]:
    """Tells whether anything was trained meanwhile: size and time of the log and the checkpoint."""
    files = (one.path / "metrics.jsonl", one.checkpoints_dir / "last.safetensors")
    return [(about.st_size, about.st_mtime_ns) for about in (file.stat() for file in files if file.exists())]


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
    words = [f"{key.rpartition('.')[2]}-{plain(new)}" for key, (_, new) in list(changes.items())[:2]]
    return "-".join(words) or f"{parent.label}-again"


def _extended(one: Run, epochs: int) -> dict[str, list[Any]]:
    """The run's patch against its parent after its number of epochs was changed."""
    old = one.patch.get("epochs", (one.settings.get("epochs"), None))[0]
    changed = {**{key: list(pair) for key, pair in one.patch.items()}, "epochs": [old, epochs]}
    return {key: pair for key, pair in changed.items() if pair[0] != pair[1]}
