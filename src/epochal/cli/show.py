"""`epochal show`: everything about a run."""

from __future__ import annotations

from typing import Any

from epochal.cli.output import (
    clean,
    number,
    print_evaluations,
    print_groups,
    print_json,
    print_measured_with,
    print_table,
    size,
)
from epochal.cli.parsing import Parser

FORMULAS = 10
"""Formulas of the loss that are listed of a fleet; a wide grid has more."""
EXAMPLES = ("show last", "show cvae-digits:model-4@0", "show last --json")


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("show", "Everything about a run.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    typed = options.read(words)
    from epochal import api

    about = api.show(typed.run, lab=typed.lab)
    if typed.json:
        print_json(about)
        return 0
    _print_facts(about)
    if about["groups"]:
        print_groups(about["groups"])
        print_evaluations(about["groups"])
    _print_curve(about["curves"]["train"], about["curves"]["validation"])
    for split, values in about["evaluation"].items():
        rows = [(name, number(value)) for name, value in values.items()]
        print_table((f"on {split}", "value"), rows)
        print_measured_with(about["measured_with"].get(split, {}))
        print()
    if about["notes"]:
        print(f"notes\n{clean(about['notes'])}")
    for problem in about["problems"]:
        print(f"warning: {problem}")
    return 0


def _print_facts(about: dict[str, Any]) -> None:
    from epochal.journal.members import varied_text
    from epochal.settings import describe, flatten
    from epochal.settings.check import shown

    data = about["data"]
    parent = about["parent"] or about["parent_version"]
    varied = {key: varied_text(values) for key, values in about["varied"].items()}
    used = flatten(about["settings"])
    settings = "  ".join(f"{key}={varied.get(key) or shown(value)}" for key, value in used.items())
    # What members change stands there beside what all of them have in common.
    changed = dict(about["patch"]) | {
        key: [about["patch"].get(key, [used.get(key)])[0], text] for key, text in varied.items()
    }
    facts = {
        "run": about["run"],
        "recipe": " ".join(filter(None, (about["recipe"], about["version"], about["name"]))),
        "status": about["status"] + (f" ({about['reason']})" if about["reason"] else ""),
        "epochs": f"{about['epochs_done']} of {about['settings'].get('epochs', '?')}",
        "steps": f"{about['steps_done']:,}" + (f" of {used['steps']:,}" if used.get("steps") else ""),
        "seed": about["seed"] if not about["members"] else None,
        "members": f"{about['members']:,}, seeds {_seeds(about)}" if about["members"] else None,
        "parent": parent,
        "changed": ", ".join(describe(changed)) or None,
        "forks": ", ".join(about["forks"]) or None,
        "data": f"{data.get('name', '?')}{' (drawn)' if data.get('drawn') else ''}" if data else None,
        "parameters": ", ".join(f"{net} {n:,}" for net, n in data.get("parameters", {}).items()) or None,
        "device": ", ".join(filter(None, (about["device"], about["precision"]))) or None,
        "loss": _loss(about) or None,
        "settings": settings,
        "command": " ".join(about["command"]),
        "created": about["created"],
        "folder": f"{about['folder']} ({size(about['size_bytes'])})",
    }
    for name, value in facts.items():
        if value is not None:
            print(f"{name + ':':<10} {clean(str(value))}")
    print()


def _loss(about: dict[str, Any]) -> str:
    """The formula of the loss; of a fleet whose members minimise several, all of them."""
    formulas = dict.fromkeys(
        "; ".join(f"{phase}: {text}" for phase, text in one["loss_definition"].items())
        for one in about["groups"] or [about]
    )
    if len(formulas) == 1:
        return next(iter(formulas))
    listed = "".join(f"\n           {text}" for text in list(formulas)[:FORMULAS])
    more = f"\n           … ({len(formulas):,} in all)" if len(formulas) > FORMULAS else ""
    return f"differs between members; these do not compare:{listed}{more}"


def _seeds(about: dict[str, Any]) -> str:
    from epochal.journal import Run
    from epochal.journal.members import seeds_text

    return seeds_text(Run(about["folder"]))


def _print_curve(train: dict[str, Any], validation: dict[str, Any]) -> None:
    """Values by epoch, one column a value."""
    curves = {**train, **{f"validation {name}": curve for name, curve in validation.items()}}
    epochs = sorted({epoch for curve in curves.values() for epoch, _ in curve})
    if not epochs:
        return
    by_epoch = {name: dict(curve) for name, curve in curves.items()}
    rows = [(epoch, *(number(curve.get(epoch)) for curve in by_epoch.values())) for epoch in epochs]
    print_table(("epoch", *curves), rows)
    print()
