"""`epochal generate`: draw what a run has learnt to draw."""

from __future__ import annotations

from epochal.cli.output import print_json
from epochal.cli.parsing import Parser, add_recipe_option, setting_patch
from epochal.errors import UsageError

EXAMPLES = (
    "generate last",
    "generate last -o picture.png            # written over where it exists",
    "generate last --help                    # what its recipe can draw, and how to ask for it",
)


def parser() -> Parser:
    """Options of the verb."""
    options = Parser(
        "generate", "Draw with a run's networks; the recipe says what can be asked for.", EXAMPLES
    )
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument(
        "--out",
        "-o",
        metavar="FILE",
        help="PNG file to write (default: RUN.png, or RUN-2.png, … where that is taken)",
    )
    options.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights")
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add_recipe_option(options)
    return options


def main(words: list[str]) -> int:
    """Runs the verb."""
    from epochal import api

    options = parser()
    own, _ = options.split(words)
    names = options.positionals(own)
    if options.asks_help(own) and not names:
        options.print_help()
        return 0
    if not names:
        raise UsageError(
            "Name the run to draw with.", hint="`epochal list` shows the runs; `last` is the newest."
        )
    lab, file = options.value(own, "--lab"), options.value(own, "--recipe")
    run, recipe = api.recipe_of(names[0], recipe=file, lab=lab)
    if recipe.request is None:
        raise UsageError(
            f"The recipe {recipe.name} generates nothing.", hint=f"Its figures are in {run.figures_dir}."
        )
    own, dotted = options.split(words, recipe.request)
    options.subject = names[0]
    if options.asks_help(own):
        return options.print_settings(recipe.request(), f"what {recipe.name} can draw", title="{}:")
    typed = options.parse_args(own)
    path = api.generate(
        typed.run,
        out=typed.out,
        which=typed.checkpoint,
        device=typed.device,
        recipe=typed.recipe,
        lab=typed.lab,
        **setting_patch(options, recipe.request(), dotted),
    )
    if typed.json:
        print_json({"picture": str(path)})
    else:
        print(path)
    return 0
