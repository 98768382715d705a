"""The verbs that use trained networks: evaluate, generate, load."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from epochal import settings as settings_room
from epochal.api._calls import verb
from epochal.api._grids import Job, Plan
from epochal.api._runs import LabLike, known_recipe, lab_of, settings_of, single, with_settings
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.systems import recipes as registry

if TYPE_CHECKING:
    from epochal.training.task import Member, Recipe, Trained

Which = Literal["best", "last"]
SPLITS = ("train", "validation", "test")


@verb
def evaluate(
    ref: str | Run,
    *,
    split: str = "test",
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
    show: bool = True,
) -> dict[str, float]:
    """Measures a run's quality metrics on a split and keeps them in its run.json; returns the numbers.

    What they depend on (the extractor of image features, how many items) is kept in words beside them, as
    `measured_with`. Of a fleet every finished member is measured; its numbers are kept with it, and their means
    are returned.

    Networks of other recipes that measure (a classifier that judges samples) are trained on first use and
    kept.

    Raises:
        UsageError: the recipe has no quality metrics, or no such split.
        EpochalError: the run has no checkpoint yet.
    """
    one = lab_of(lab).find(ref)
    found, _ = known_recipe(one, recipe)
    if found.evaluate is None:
        raise UsageError(f"The recipe {found.name} says nothing about evaluating its runs.")
    if split not in SPLITS:
        raise UsageError(f"There is no split {split!r}.", hint=f"Choose one of {', '.join(SPLITS)}.")
    if one.members:
        return _evaluate_fleet(found, one, split, which, device, show)
    trained = trained_of(found, one, which, device)
    if found.needs is not None:
        trained = replace(trained, helpers=_helpers(found.needs(trained.settings), device, show))
    numbers, texts = _told_apart(found.evaluate(trained, split))
    if which != "best":  # numbers of one checkpoint must not pass for another's
        texts["weights"] = "of the last epoch, not the best one"
    known = one.reload().meta
    kept = {"evaluation": {**known["evaluation"], split: numbers}}
    if not isinstance(one, roster.MemberRun):
        kept["measured_with"] = {**known["measured_with"], split: texts}
    one.update(**kept)
    return numbers


@verb
def generate(
    ref: str | Run,
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
        out: PNG file; default: `RUN.png` in the present folder, or `RUN-2.png`, … where that is taken.
        which: checkpoint to use.
        device: see `run`.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.
        **request: what to draw; the recipe says which fields there are (`digit=7, thickness=0.8, n=64`).

    Raises:
        UsageError: the recipe draws nothing, or has no such field.
        EpochalError: the run has no checkpoint yet.
    """
    one = single(lab_of(lab).find(ref))
    found, _ = known_recipe(one, recipe)
    if found.generate is None or found.request is None:
        raise UsageError(
            f"The recipe {found.name} generates nothing.", hint=f"Its figures are in {one.figures_dir}."
        )
    wanted = settings_room.apply(found.request(), request)
    target = Path(out) if out else _free(f"{one.id}.png")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if target.suffix.lower() not in ("", ".png") or (target.exists() and not target.is_file()):
        raise UsageError(
            f"{target} is no name for a picture.", hint="Pictures are PNG files: --out sevens.png"
        )
    try:
        grid = found.generate(trained_of(found, one, which, device), wanted)
    except UsageError as problem:
        more = f"`epochal generate {one.id} --help` lists what can be asked for."
        raise UsageError(problem.what, hint="\n  ".join(filter(None, (problem.hint, more)))) from None
    from epochal.report import figures, study

    figures.draw(grid, target, subtitle=study.run_title(one))
    return target


@verb
def load(
    ref: str | Run,
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
    one = single(lab_of(lab).find(ref))
    found, _ = known_recipe(one, recipe)
    trained = trained_of(found, one, which, device)
    return SimpleNamespace(
        **{"run": one, "settings": trained.settings, "device": trained.device, **trained.nets}
    )


def _told_apart(measured: Mapping[str, float | str]) -> tuple[dict[str, float], dict[str, str]]:
    """The numbers of an evaluation, and the texts beside them."""
    texts = {name: value for name, value in measured.items() if isinstance(value, str)}
    return {name: float(value) for name, value in measured.items() if name not in texts}, texts


def _free(name: str) -> Path:
    """A file of that name, numbered where there is one: an earlier picture is only written over when it is named."""
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(name).with_stem(f"{Path(name).stem}-{number}"), number + 1
    return path


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
    with_settings(recipe, runs)  # refuses what the recipe no longer takes, naming the member
    for run, trained in zip(runs, engine.load_members(recipe, runs, which=which), strict=True):
        if recipe.needs is not None:
            wanted = recipe.needs(trained.settings)
            key = json.dumps({role: [name, dict(patch)] for role, (name, patch) in wanted.items()})
            if key not in helpers:
                helpers[key] = _helpers(wanted, device, show)
            trained = replace(trained, helpers=helpers[key])
        measured[run.member] = _told_apart(recipe.evaluate(trained, split))[0]
    kept = {run.member: {**run.meta["evaluation"], split: measured[run.member]} for run in runs}
    roster.keep_evaluations(fleet, kept)
    return {name: summary.mean for name, summary in summaries([*measured.values()]).items()}


def trained_of(recipe: Recipe, one: Run, which: str, device: str) -> Trained:
    """A run's networks with its settings as the recipe understands them today."""
    from epochal.training import engine

    return engine.load(recipe, one, which=which, device=device, settings=settings_of(recipe, one))


def as_members(recipe: Recipe, fleet: Run) -> list[Member]:
    """A fleet's members as its figures see them; those that failed are left out."""
    from epochal.training.task import Member

    return [
        Member(run.seed, settings, run.meta["final"], run.meta["steps_done"], run.line["reached"])
        for run, settings in with_settings(recipe, roster.of(fleet))
        if run.status == "finished"
    ]


def ready(recipe: Recipe, settings: Any, device: str, show: bool) -> Recipe:
    """The recipe as it can be trained: with the networks of other recipes that its `build` starts from."""
    if recipe.needs_to_train is None:
        return recipe
    helpers = _helpers(recipe.needs_to_train(settings), device, show)
    return replace(recipe, build=partial(recipe.build, helpers=helpers))


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
                if show:
                    print(
                        f"{found.name} is needed as {role}: trained now, once, and kept in {home.path}",
                        file=sys.stderr,
                        flush=True,
                    )
                plan = Plan(found, registry.recipe_path(name), settings, {"name": key}, None, device, "auto")
                kept = [_train_helper(plan, key, home, show)]
                if found.evaluate is not None:  # how far a judge can be trusted is part of what it measures
                    evaluate(kept[0].id, lab=home, device=device, show=show)
        trained[role] = engine.load(found, kept[0], device=device)
    return trained


def _train_helper(plan: Plan, key: str, home: Lab, show: bool) -> Run:
    """Trains a helper, or goes on with one that was stopped or killed."""
    from epochal.api._training import TrainingEnded, resume, train_jobs  # which draws with these networks

    begun = [one for one in home.runs() if one.name == key and one.status in ("stopped", "running")]
    try:
        if begun:
            return resume(begun[0], lab=home, recipe=str(plan.file) if plan.file else None, show=show)
        (one,) = train_jobs([Job(plan, [0])], home, show=show, keep_going=False)
    except TrainingEnded as ended:
        if ended.runs[-1].status != "stopped":
            raise
        # It is in no lab of the user's, and what it is needed for comes after it.
        again = "The same command again goes on with it, then with what it is needed for."
        raise TrainingEnded(ended.what, hint=again, runs=ended.runs) from None
    return one


def _fingerprint(recipe: Recipe, settings: Any) -> str:
    """Hash of a recipe's name, its settings, its data and the source files of its functions and of `made_by`."""
    import hashlib
    import inspect
    from importlib import import_module

    from epochal.systems import data

    parts: list[Any] = [recipe.nets, recipe.build, *map(import_module, recipe.made_by)]
    sources = sorted({Path(inspect.getfile(part)) for part in parts})
    text = [recipe.name, json.dumps(settings_room.to_dict(settings), sort_keys=True)]
    if recipe.sources:  # a folder's name does not say what is in it, today
        chosen = settings.data
        wanted = recipe.sources[0] if chosen.source == "auto" else None
        text.append(data.load(chosen.source, wanted=wanted, folder=chosen.dir, limit=1).sha256)
    return hashlib.sha256("\n".join([*text, *(f.read_text() for f in sources)]).encode()).hexdigest()[:16]
