"""`epochal fork`: train a run again with one thing changed."""

from __future__ import annotations

from epochal.cli.output import print_json, run_row
from epochal.cli.parsing import (
    Parser,
    add_recipe_option,
    add_seed_options,
    add_training_options,
    setting_patch,
)
from epochal.errors import UsageError

EXAMPLES = (
    'fork last --loss.grey-weight 0.1 --note "less grey"',
    "fork cvae-digits:model-4@0 --epochs 20 --name longer",
    "fork last --seed 7                      # the same settings, another seed",
    "fork last --loss.grey-weight 0.1 --warm-start",
    "fork last --loss.grey-weight 0.1 --draft   # record it; `epochal resume` trains it",
    "fork last --help                        # all settings of the run's recipe",
)


def parser() -> Parser:
    """Options of the verb."""
    options = Parser(
        "fork", "Train a run's settings again, from scratch, with a change and the same seed.", EXAMPLES
    )
    options.add_argument("run", metavar="RUN", help="the parent run")
    options.add_argument("--warm-start", action="store_true", help="begin from the parent's weights")
    options.add_argument("--draft", action="store_true", help="record the fork without training it")
    add_recipe_option(options)
    add_seed_options(options, "the parent's")
    add_training_options(options)
    return options


def main(words: list[str]) -> int:
    """Runs the verb."""
    from epochal import api, settings

    options = parser()
    own, _ = options.split(words)
    names = options.positionals(own)
    wants_help = options.asks_help(own)
    if wants_help and not names:
        options.print_help()
        return 0
    if not names:
        raise UsageError("Name the run to fork.", hint="`epochal list` shows the runs; `last` is the newest.")
    # The settings of the parent's recipe say how many words each option takes.
    lab, file = options.value(own, "--lab"), options.value(own, "--recipe")
    parent, recipe = api.recipe_of(names[0], recipe=file, lab=lab)
    options.subject = names[0]
    if wants_help:
        return options.print_settings(
            settings.from_dict(recipe.settings, parent.settings), f"the parent {parent.id}"
        )
    own, dotted = options.split(words, recipe.settings)
    typed = options.parse_args(own)
    runs = api.fork(
        typed.run,
        setting_patch(options, recipe.settings(), dotted),
        name=typed.name,
        note=typed.note,
        warm_start=typed.warm_start,
        draft=typed.draft,
        seed=typed.seed,
        seeds=typed.seeds,
        device=typed.device,
        precision=typed.precision,
        threads=typed.threads,
        recipe=typed.recipe,
        lab=typed.lab,
        show=not typed.quiet,
        keep_going=typed.keep_going,
    )
    if typed.json:
        print_json({"runs": [run_row(run) for run in runs]})
        return 0
    for run in runs:
        changes = ", ".join(settings.describe(run.patch))
        print(f"{run.id}  {run.status}  {run.path}")
        print(f"  from {run.parent}: {changes or 'another seed'}")
    return 0
