"""`epochal resume`: go on with a run where its last checkpoint left it."""

from __future__ import annotations

from epochal.cli.output import print_json, print_trained, run_row
from epochal.cli.parsing import Parser, add_recipe_option, add_training_options, whole

EXAMPLES = (
    "resume last",
    "resume cvae-digits:model-2@0",
    "resume last --epochs 20                 # a finished run, for 20 epochs in total",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("resume", "Go on with a stopped run, to the bit; or train a draft.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument("--epochs", type=whole, metavar="N", help="new total number of epochs")
    add_recipe_option(options)
    add_training_options(options)
    typed = options.read(words)
    from epochal import api

    run = api.resume(
        typed.run,
        epochs=typed.epochs,
        recipe=typed.recipe,
        lab=typed.lab,
        show=not typed.quiet,
        keep_going=typed.keep_going,
    )
    if typed.json:
        print_json({"runs": [run_row(run)]})
    else:
        print_trained([run])
    return 0
