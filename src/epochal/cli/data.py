"""`epochal data`: list, fetch and verify data sources."""

from __future__ import annotations

from dataclasses import asdict

from epochal.cli.output import print_json, print_table, size
from epochal.cli.parsing import Parser
from epochal.errors import UsageError

EXAMPLES = (
    "data list",
    "data fetch mnist",
    "data fetch cifar10 --dir ~/data",
    "data verify mnist --dir ~/data",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("data", "Where the data are, and whether they are whole.", EXAMPLES)
    options.add_argument("action", choices=("list", "fetch", "verify"), help="what to do")
    options.add_argument("source", nargs="?", metavar="SOURCE", help="a name from `epochal data list`")
    options.add_argument(
        "--dir", metavar="FOLDER", help="folder of the data (else $EPOCHAL_DATA, else the cache)"
    )
    typed = options.read(words)
    if typed.action == "list":
        return _list(typed.dir, typed.json)
    if typed.source is None:
        raise UsageError(f"Name the source to {typed.action}.", hint="`epochal data list` shows them.")
    return {"fetch": _fetch, "verify": _verify}[typed.action](typed.source, typed.dir, typed.json)


def _list(folder: str | None, json: bool) -> int:
    from epochal.systems import data

    found = data.sources(folder)
    if json:
        print_json({"sources": [asdict(source) for source in found]})
        return 0
    rows = []
    for source in found:
        items = f"{source.items[0]:,} + {source.items[1]:,}" if any(source.items) else "your own"
        if source.download_bytes:
            missing = f"to download: {size(source.download_bytes)}"
        else:
            missing = "drawn when first used" if source.drawn else "not here, to be put here by hand"
        rows.append((source.name, source.what, items, source.licence, source.found or missing))
    print_table(("source", "what", "train + test", "licence", "where"), rows)
    return 0


def _fetch(name: str, folder: str | None, json: bool) -> int:
    from epochal.systems import data

    path = data.fetch(name, folder)
    if json:
        print_json({"source": name, "path": str(path)})
    else:
        print(path)
    return 0


def _verify(name: str, folder: str | None, json: bool) -> int:
    from epochal.systems import data

    answer = data.verify(name, folder)
    if json:
        print_json({**asdict(answer), "passed": answer.passed})
    else:
        print(f"{answer.name}: {answer.origin or 'not on this machine'}")
        for check in answer.checks:
            print(f"  {'ok  ' if check.passed else 'FAIL'}  {check.what}: {check.detail}")
    return 0 if answer.passed else 1
