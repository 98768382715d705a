"""`epochal note`: add a remark to a run."""

from __future__ import annotations

from epochal.cli.output import print_json
from epochal.cli.parsing import Parser

EXAMPLES = ('note last "strokes are crisper than in model-2"',)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("note", "Add a remark to a run; the log prints it beside the numbers.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument("text", nargs="+", metavar="TEXT", help="the remark")
    typed = options.read(words)
    from epochal import api

    run = api.note(typed.run, " ".join(typed.text), lab=typed.lab)
    if typed.json:
        print_json({"run": run.id, "notes": run.notes()})
    else:
        print(f"noted in {run.path / 'notes.md'}")
    return 0
