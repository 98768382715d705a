"""`epochal run`: train a version of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.cli.output import print_json, print_trained, run_row
from epochal.cli.parsing import Parser, add_seed_options, add_training_options, setting_patch
from epochal.errors import UsageError

if TYPE_CHECKING:
    from epochal.training.task import Recipe

EXAMPLES = (
    "run cvae-digits",
    "run cvae-digits model-4 --seeds 3 --epochs 4",
    "run cvae-digits model-2 --data.limit 256 --loss.grey-weight 0.1 --name try",
    "run xor-mlp until --seeds 1000 --grid optim.lr=0.5,0.1,0.01   # 3,000 networks as one",
    "run cvae-digits --settings my.toml --device cuda:1",
    "run cvae-digits --settings lab/RUN      # an old run's settings again",
    "run ./my_recipe.py --epochs 1 --data.limit 256",
    "run cvae-digits --help                  # all settings of the recipe",
)


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
    add_seed_options(options, "0")
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

    options = parser()
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
    runs = api.run(
        typed.recipe,
        typed.version,
        patch=setting_patch(options, recipe.settings(), dotted),
        settings_file=typed.settings,
        seed=0 if typed.seed is None else typed.seed,
        seeds=typed.seeds,
        grid=_grid(typed.grid),
        one_by_one=typed.one_by_one,
        device=typed.device,
        precision=typed.precision,
        threads=typed.threads,
        lab=typed.lab,
        name=typed.name,
        note=typed.note,
        show=not typed.quiet,
        keep_going=typed.keep_going,
    )
    if typed.json:
        print_json({"runs": [run_row(run) for run in runs]})
    else:
        print_trained(runs)
    return 0


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
