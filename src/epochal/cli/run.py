"""`epochal run`: train a version of a recipe."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from epochal.cli.output import print_json, print_trained, run_row
from epochal.cli.parsing import Parser, add_seed_options, add_training_options, setting_patch
from epochal.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from epochal.training.task import Legacy, Recipe

EXAMPLES = (
    "run cvae-digits",
    "run cvae-digits model-4 --seeds 3 --epochs 4",
    "run cvae-digits model-2 --data.limit 256 --loss.grey-weight 0.1 --name try",
    "run xor-mlp until --seeds 1000 --grid optim.lr=0.5,0.1,0.01   # 3,000 networks as one",
    "run cvae-digits --settings my.toml --device cuda:1",
    "run cvae-digits --settings lab/RUN      # an old run's settings again",
    "run ./my_recipe.py --epochs 1 --data.limit 256",
    'run har-distill --legacy-args "--teacher wrn2811 --student wrn1611 --cuda 0"   # an old program\'s line',
    "run cvae-digits --help                  # all settings of the recipe",
)
LEGACY = "--legacy-args"


def parser() -> Parser:
    """Options of the verb."""
    options = Parser(
        "run",
        "Train a version of a recipe. Settings are dotted options: --epochs 4 --data.limit 256.",
        EXAMPLES,
    )
    options.add_argument("recipe", metavar="RECIPE", help="a name from `epochal list`, or ./my_recipe.py")
    options.add_argument("version", nargs="?", metavar="VERSION", help="default: the newest")
    options.add_argument("--settings", metavar="FILE", help="TOML file of settings, or a run folder")
    options.add_argument(
        LEGACY,
        metavar="LINE",
        help="command line of the program that the recipe comes from; options typed beside it win",
    )
    add_seed_options(options, "0")
    options.set_defaults(device=None)  # so that it is known whether one was typed
    options.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="KEY=V,V,…",
        help="train all these values of a setting (and all combinations, where given again)",
    )
    options.add_argument(
        "--one-by-one", action="store_true", help="train every run by itself, also where the recipe can stack"
    )
    add_training_options(options)
    return options


def main(words: list[str]) -> int:
    """Runs the verb."""
    from epochal import api
    from epochal.systems import recipes

    options, words = parser(), _joined(words)
    own, _ = options.split(words)
    wants_help = options.asks_help(own)
    names = options.positionals(own)
    if wants_help and not names:
        options.print_help()
        return 0
    if not names:
        raise UsageError("Name the recipe to train.", hint=f"Recipes: {', '.join(recipes.names())}.")
    recipe = recipes.find(names[0])
    options.subject = names[0]
    version = names[1] if len(names) > 1 else None
    own, dotted = options.split(words, recipe.settings)
    if wants_help:
        options.description = f"{options.description}\n\n{_versions(recipe, version)}"
        return options.print_settings(recipes.settings_of(recipe, version), " ".join(names[:2]))
    typed = options.parse_args(own)
    patch = setting_patch(options, recipe.settings(), dotted)
    former = _former(recipe, typed, patch)
    runs = api.run(
        typed.recipe,
        typed.version,
        patch={**former.patch, **patch},
        settings_file=typed.settings,
        seed=next(seed for seed in (typed.seed, former.seed, 0) if seed is not None),
        seeds=typed.seeds,
        grid=_grid(typed.grid),
        one_by_one=typed.one_by_one,
        device=typed.device or former.device or "auto",
        precision=typed.precision,
        threads=typed.threads,
        lab=typed.lab,
        name=typed.name or former.name,
        note=typed.note,
        show=not typed.quiet,
        keep_going=typed.keep_going,
    )
    if typed.json:
        print_json({"runs": [run_row(run) for run in runs]})
    else:
        print_trained(runs)
    return 0


def _joined(words: list[str]) -> list[str]:
    """The words, the old line in one with its option: argparse would take a line of one word for an option."""
    for place, word in enumerate(words[:-1]):
        if word == LEGACY:
            return [*words[:place], f"{LEGACY}={words[place + 1]}", *words[place + 2 :]]
    return words


def _former(recipe: Recipe, typed: argparse.Namespace, patch: dict[str, Any]) -> Legacy:
    """What `--legacy-args` says, told as the options that it stands for."""
    from epochal import settings
    from epochal.settings.check import shown
    from epochal.systems import recipes
    from epochal.training.task import Legacy

    if typed.legacy_args is None:
        return Legacy({})
    if recipe.legacy is None:
        raise UsageError(
            f"{recipe.name} comes from no program whose command line could be read: it takes no {LEGACY}.",
            hint=f"`epochal run {recipe.name} --help` lists its settings.",
        )
    file = [(typed.settings, settings.read_file(typed.settings))] if typed.settings else []
    without = settings.layered(recipes.settings_of(recipe, typed.version), [*file, ("", patch)])
    former = recipe.legacy(typed.legacy_args, without)
    if not typed.quiet:
        said = {**former.patch, "seed": former.seed, "device": former.device, "name": former.name}
        options = [(f"--{key.replace('_', '-')}", shown(v)) for key, v in said.items() if v is not None]
        print(f"{LEGACY}: {shlex.join(word for pair in options for word in pair)}", file=sys.stderr)
        for remark in former.remarks:
            print(f"{LEGACY}: {remark}", file=sys.stderr)
    return former


def _versions(recipe: Recipe, version: str | None) -> str:
    """The recipe's versions, and whose values the help gives as defaults."""
    from textwrap import fill

    names = [one.name for one in recipe.versions]
    shown = f"{version}." if version else f"the newest, {names[-1]}; name another one to see its own."
    return fill(
        f"Versions of {recipe.name}, oldest first: {', '.join(names)}. Defaults below are those of {shown}"
    )


def _grid(words: list[str]) -> dict[str, list[str]]:
    """`optim.lr=0.5,0.1` → {"optim.lr": ["0.5", "0.1"]}."""
    grid: dict[str, list[str]] = {}
    for word in words:
        name, given, text = word.partition("=")
        key, values = (
            name.strip().removeprefix("--").replace("-", "_"),
            [each.strip() for each in text.split(",")],
        )
        if not given or not key or not all(values):
            raise UsageError(
                f"--grid {word} is no setting with its values.", hint="Write --grid optim.lr=0.5,0.1,0.01"
            )
        if key in grid:
            raise UsageError(f"--grid {key} stands twice.", hint="Give all its values at once.")
        grid[key] = values
    return grid
