"""`epochal bench`: measure speed against programs written without Epochal."""

from __future__ import annotations

import sys

from epochal.cli.output import print_json
from epochal.cli.parsing import Parser, whole

EXAMPLES = (
    "bench speed cvae-digits",
    "bench speed cvae-digits --rounds 3 --steps 50 --sides plain,epochal",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser(
        "bench", "Time the engine against plain PyTorch and Lightning, in turns, on this machine.", EXAMPLES
    )
    options.add_argument("what", choices=("speed",), help="what to measure")
    options.add_argument("recipe", nargs="?", default="cvae-digits", metavar="RECIPE", help="which recipe")
    options.add_argument("--steps", type=whole, default=100, metavar="N", help="steps in a timed block")
    options.add_argument("--rounds", type=whole, default=7, metavar="N", help="timed blocks a side")
    options.add_argument(
        "--warm-up", type=whole, default=30, metavar="N", help="steps before the first block"
    )
    options.add_argument("--sides", metavar="A,B", help="which of plain,lightning,epochal (default: all)")
    options.add_argument("--source", default="auto", help="data source of all sides")
    options.add_argument("--limit", type=whole, metavar="N", help="use only N training items")
    options.add_argument("--out", "-o", metavar="FOLDER", help="where to write the tables")
    typed = options.read(words)
    from epochal import bench

    result = bench.speed(
        typed.recipe,
        steps=typed.steps,
        rounds=typed.rounds,
        warm_up=typed.warm_up,
        sides=bench.SIDES if typed.sides is None else typed.sides.split(","),
        source=typed.source,
        limit=typed.limit,
        out=typed.out,
        say=_to_stderr if typed.json else print,
    )
    if typed.json:
        print_json(result)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
