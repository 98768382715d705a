"""`epochal rm`: delete runs, or only the checkpoints that do not matter."""

from __future__ import annotations

import sys

from epochal.cli.output import print_json, print_table, size
from epochal.cli.parsing import Parser
from epochal.errors import UsageError

EXAMPLES = (
    "rm last",
    "rm cvae-digits:try@0 20260101-120000 --yes",
    "rm --prune                # every run keeps its best and its last checkpoint",
    "rm --prune --dry",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("rm", "Delete runs; asks first.", EXAMPLES)
    options.add_argument("runs", nargs="*", metavar="RUN", help="runs to delete")
    options.add_argument(
        "--prune",
        action="store_true",
        help="only delete checkpoints other than best and last (of all runs by default)",
    )
    options.add_argument("--dry", action="store_true", help="only show what would be deleted")
    options.add_argument("--yes", "-y", action="store_true", help="do not ask")
    typed = options.read(words)
    if not typed.runs and not typed.prune:
        raise UsageError("Name the runs to delete.", hint="`epochal list` shows them.")
    from epochal import api

    planned = api.rm(*typed.runs, prune=typed.prune, dry=True, lab=typed.lab)
    planned = [removal for removal in planned if removal.files or not typed.prune]
    total = sum(removal.bytes for removal in planned)
    if not typed.json:
        rows = [
            (
                one.run.id,
                one.run.status,
                size(one.bytes),
                f"{len(one.files)} checkpoints" if typed.prune else "everything",
            )
            for one in planned
        ]
        print_table(("run", "status", "size", "to delete"), rows)
        print(f"{size(total)} in {len(planned)} run{'s' * (len(planned) != 1)}")
    doing = bool(planned) and not typed.dry and (typed.yes or _confirmed(typed.json))
    if doing:
        api.rm(*(str(one.run.path) for one in planned), prune=typed.prune, lab=typed.lab)
    if typed.json:
        runs = [
            {"run": one.run.id, "bytes": one.bytes, "files": [path.name for path in one.files]}
            for one in planned
        ]
        print_json({"deleted": doing, "bytes": total, "runs": runs})
    elif planned:
        print("deleted" if doing else "nothing was deleted")
    return 0


def _confirmed(json: bool) -> bool:
    if json or not sys.stdin.isatty():
        raise UsageError(
            "Nothing was deleted: there is nobody to ask.", hint="Add --yes to delete without asking."
        )
    return input("Delete? [y/N] ").strip().lower() in ("y", "yes")
