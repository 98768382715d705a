"""`epochal compare`: two runs or versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.cli.output import clean, number, print_json, print_table
from epochal.cli.parsing import Parser

if TYPE_CHECKING:
    from epochal.evidence.comparison import Comparison, Side

NAMED = 5
EXAMPLES = (
    "compare model-2 model-4                 # means over the finished runs of each",
    "compare cvae-digits:model-2@0 last",
    "compare model-2 model-4 --json",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("compare", "Settings and numbers of two runs or versions, side by side.", EXAMPLES)
    options.add_argument("a", metavar="A", help="a run, a version, or the name of a fork")
    options.add_argument("b", metavar="B", help="what is compared with it")
    options.add_argument("--recipe", metavar="RECIPE", help="whose versions are meant: a name or a file")
    typed = options.read(words)
    from epochal import api

    comparison = api.compare(typed.a, typed.b, recipe=typed.recipe, lab=typed.lab)
    if typed.json:
        print_json(comparison.to_dict())
    else:
        _print(comparison)
    return 0


def _print(comparison: Comparison) -> None:
    from epochal.settings.check import shown

    a, b = comparison.a, comparison.b
    print(clean(f"{_named(a)}\n{_named(b)}\n"))
    if comparison.settings:
        rows = [(key, shown(old), shown(new)) for key, (old, new) in comparison.settings.items()]
        print_table(("setting", a.label, b.label), rows)
    else:
        print("the settings are the same")
    print()
    measured = [(row.title, row.better, row.a, row.b, number(row.difference)) for row in comparison.metrics]
    if measured:
        print_table(("metric", "better", a.label, b.label, "difference"), measured)
    for reason in dict.fromkeys(comparison.otherwise.values()):
        names = ", ".join(name for name, why in comparison.otherwise.items() if why == reason)
        print(f"\nnot compared, because they were measured differently ({clean(reason)}): {clean(names)}")
    if comparison.refused:
        refused = clean(", ".join(comparison.refused))
        print(f"\nnot compared, because the loss is defined differently: {refused}")
        for phase, formulas in comparison.definitions.items():
            for side, formula in zip((a, b), formulas, strict=True):
                print(clean(f"  {phase} of {side.label}: {formula or 'none'}"))
        others = ", ".join(row.title for row in comparison.metrics if row.a and row.b)
        print(
            f"compare instead: {clean(others) or 'nothing yet; `epochal evaluate RUN` measures what compares'}"
        )
    for warning in comparison.warnings:
        print(clean(f"note: {warning}"))


def _named(side: Side) -> str:
    shown = [run.id for run in side.runs[:NAMED]]
    if len(side.runs) > NAMED:
        shown.append(f"and {len(side.runs) - NAMED} more")
    return f"{side.label}: {', '.join(shown)}"
