"""`epochal list`: recipes with their versions, and the newest runs of the lab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from epochal.cli.output import minutes, number, print_json, print_runs, print_table, run_row
from epochal.cli.parsing import Parser
from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.journal import Run
    from epochal.training.task import Recipe, Version

NEWEST = 10
EXAMPLES = (
    "list",
    "list --long             # where the data are, rough times, reference numbers and their sources",
    "list cvae-digits        # its version tree, what each changes, and its runs",
    "list --all --json",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("list", "Show recipes with their versions, and the newest runs.", EXAMPLES)
    options.add_argument("recipe", nargs="?", metavar="RECIPE", help="only this recipe, in full")
    options.add_argument("--long", action="store_true", help="also where the data are, and reference numbers")
    options.add_argument("--all", action="store_true", help=f"all runs, not only the {NEWEST} newest")
    typed = options.read(words)
    from epochal.journal import Lab
    from epochal.systems import recipes

    if typed.recipe is None:
        found, broken = _load_all()
    else:
        found, broken = [recipes.find(typed.recipe)], {}
    lab = Lab(typed.lab)
    runs = [run for run in lab.runs() if typed.recipe is None or run.recipe == found[0].name]
    unreadable = {str(path): problem for path, problem in lab.broken().items()}
    shown = runs if typed.all or typed.json else runs[:NEWEST]
    if typed.json:
        rows = [_recipe_row(recipe, long=typed.long) for recipe in found]
        print_json(
            {"recipes": rows, "runs": [run_row(run) for run in shown], "broken": {**broken, **unreadable}}
        )
        return 0
    if typed.recipe is not None:
        _print_recipe(found[0])
    if typed.long:
        _print_long(found, broken)
    elif typed.recipe is None:
        _print_recipes(found, broken)
    _print_runs(typed, lab.path, shown, len(runs), len(unreadable))
    return 0


def _load_all() -> tuple[list[Recipe], dict[str, str]]:
    """All recipes; and why an installed package's one could not be loaded, by name."""
    from epochal.systems import recipes

    found, broken = [], {}
    for name in recipes.names():
        try:
            found.append(recipes.find(name))
        except EpochalError as problem:
            broken[name] = problem.what
    return found, broken


def _print_recipes(found: Sequence[Recipe], broken: dict[str, str]) -> None:
    rows = [
        (
            recipe.name,
            ", ".join(version.name for version in recipe.versions),
            recipe.data,
            minutes(recipe.minutes),
        )
        for recipe in found
    ]
    rows += [(name, problem, "", "") for name, problem in broken.items()]
    print_table(("recipe", "versions", "data", "newest takes"), rows)


def _print_recipe(recipe: Recipe) -> None:
    print(f"{recipe.name}: {recipe.summary}")
    print(
        f"data: {recipe.data or '–'}; the newest version takes about {minutes(recipe.minutes)} on two cores\n"
    )
    rows = [
        (f"{'  ' * depth}{version.name}", version.change, _changes(version))
        for depth, version in _tree(recipe.versions)
    ]
    print_table(("version", "what changed", "settings"), rows)


def _print_long(found: Sequence[Recipe], broken: dict[str, str]) -> None:
    """Where each recipe's data are, how long it takes, and what a reference reports of each version."""
    rows: list[tuple[Any, ...]] = []
    for recipe in found:
        takes = minutes(recipe.minutes)
        for one in _data_here(recipe):
            where = one["path"] or f"not here: auto takes {one['used']}, which is drawn"
            rows.append((recipe.name, takes, one["source"], where))
        if not recipe.sources:
            rows.append((recipe.name, takes, recipe.data or None, None))
    rows += [(name, "", problem, "") for name, problem in broken.items()]
    print_table(("recipe", "newest takes", "data", "on this machine"), rows, title="times on two cores")
    print()
    columns = ("recipe", "version", "reference number", "reported by")
    rows = [
        (recipe.name, one.name, _reported(recipe, one) or None, one.source or None)
        for recipe in found
        for one in recipe.versions
        if one.reported
    ]
    print_table(columns, rows)


def _reported(recipe: Recipe, version: Version) -> str:
    """The numbers that a reference reports: `training accuracy 0.998, test accuracy 0.992`, `loss 24.85`."""
    from epochal.report.study import references

    prefixes = {"train": "training "}
    told = []
    for key, ((split, name), value) in zip(
        version.reported, references(recipe, version).items(), strict=True
    ):
        # What is neither a metric nor named with its split is a training value: a loss, a count.
        prefix = "" if key == name and split == "train" else prefixes.get(split, f"{split} ")
        told.append(f"{prefix}{name.replace('/', ' ').replace('_', ' ')} {number(value)}")
    return ", ".join(told)


def _data_here(recipe: Recipe) -> list[dict[str, Any]]:
    """Where the recipe's data sources are on this machine, and what `--data.source auto` would use."""
    from epochal.systems import data

    where = {source.name: source.found for source in data.sources()}
    return [
        {"source": name, "path": where.get(name), "used": data.resolve("auto", wanted=name)}
        for name in recipe.sources
    ]


def _print_runs(
    typed: argparse.Namespace, lab: Any, shown: Sequence[Run], count: int, unreadable: int
) -> None:
    print()
    if not shown:
        print(f"no runs yet in {lab}; train one: epochal run {typed.recipe or 'cvae-digits'}")
    else:
        print_runs(shown, title=f"runs in {lab}, newest first")
    if count > len(shown):
        print(f"… and {count - len(shown)} more: epochal list --all")
    if unreadable:
        print(f"folders with an unreadable run.json: {unreadable}; epochal list --json names them")


def _tree(versions: Sequence[Version]) -> Iterator[tuple[int, Version]]:
    """Versions with their depth below the root, each under its parent."""
    names = [version.name for version in versions]

    def below(parent: str | None, depth: int) -> Iterator[tuple[int, Version]]:
        for version in versions:
            if (version.parent if version.parent in names else None) == parent:
                yield depth, version
                yield from below(version.name, depth + 1)

    return below(None, 0)


def _changes(version: Version) -> str:
    from epochal.settings.check import shown

    return ", ".join(f"{key} = {shown(value)}" for key, value in version.patch.items()) or "–"


def _recipe_row(recipe: Recipe, *, long: bool) -> dict[str, Any]:
    versions = [
        {
            "version": one.name,
            "parent": one.parent,
            "change": one.change,
            "patch": dict(one.patch),
            "reported": dict(one.reported),
            "source": one.source,
        }
        for one in recipe.versions
    ]
    here = {"data_here": _data_here(recipe)} if long else {}
    return {
        "recipe": recipe.name,
        "summary": recipe.summary,
        "versions": versions,
        "data": recipe.data,
        "sources": list(recipe.sources),
        **here,
        "minutes": recipe.minutes,
        "metrics": [{"metric": one.name, "better": one.better, "what": one.what} for one in recipe.metrics],
    }
