"""`epochal evaluate`: measure a run's quality."""

from __future__ import annotations

from epochal.cli.output import (
    number,
    print_evaluations,
    print_json,
    print_measured_with,
    print_table,
)
from epochal.cli.parsing import Parser, add_recipe_option

EXAMPLES = ("evaluate last", "evaluate cvae-digits:model-4@0 --split train", "evaluate last --json")


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("evaluate", "Measure a run's quality; the numbers are kept with the run.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument("--split", default="test", help="split to measure on (default: test)")
    options.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights")
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add_recipe_option(options)
    typed = options.read(words)
    from epochal import api

    values = api.evaluate(
        typed.run,
        split=typed.split,
        which=typed.checkpoint,
        device=typed.device,
        recipe=typed.recipe,
        lab=typed.lab,
    )
    run, recipe = api.recipe_of(typed.run, recipe=typed.recipe, lab=typed.lab)
    if run.members:
        groups = api.show(typed.run, lab=typed.lab)["groups"]
        if typed.json:
            print_json({"run": run.id, "split": typed.split, "metrics": values, "groups": groups})
        else:
            print_evaluations(groups, only=typed.split)
        return 0
    if typed.json:
        told = run.meta["measured_with"].get(typed.split, {})
        print_json({"run": run.id, "split": typed.split, "metrics": values, "measured_with": told})
        return 0
    about = {metric.name: metric for metric in recipe.metrics}
    rows = [
        (
            name,
            number(value),
            about[name].better if name in about else "",
            about[name].what if name in about else "",
        )
        for name, value in values.items()
    ]
    print_table(
        (f"{run.recipe} {run.label}, seed {run.seed}, on {typed.split}", "value", "better", "what"), rows
    )
    print_measured_with(run.meta["measured_with"].get(typed.split, {}))
    return 0
