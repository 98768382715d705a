"""`epochal bench`: measure speed against programs written without Epochal, and device against device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from epochal.cli.output import print_json, print_table
from epochal.cli.parsing import Parser, whole

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = (
    "bench speed cvae-digits",
    "bench speed cvae-digits --rounds 3 --steps 50 --sides plain,epochal",
    "bench speed resnet50-cifar10 log",
    "bench devices cnn-digits",
    "bench devices cnn-digits --on cpu --steps 200",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    for position, word in enumerate(words):
        if word in ACTIONS:
            return ACTIONS[word](words[:position] + words[position + 1 :])
        if not word.startswith("-"):
            break
    options = Parser("bench", "Measure what this machine does in a second.", EXAMPLES)
    options.add_argument("what", choices=tuple(ACTIONS), help="what to measure; each has its own --help")
    options.read(words)
    raise AssertionError("the parser refuses whatever is no action")


def _speed(words: list[str]) -> int:
    options = Parser(
        "bench speed",
        "Time the engine against plain PyTorch and Lightning, in turns, on this machine.",
        [example for example in EXAMPLES if " speed " in example],
    )
    options.add_argument("recipe", nargs="?", default="cvae-digits", metavar="RECIPE", help="which recipe")
    options.add_argument("version", nargs="?", metavar="VERSION", help="which version of it")
    options.add_argument("--steps", type=whole, metavar="N", help="steps in a timed block")
    options.add_argument("--rounds", type=whole, metavar="N", help="timed blocks a side")
    options.add_argument("--warm-up", type=whole, metavar="N", help="steps before the first block")
    options.add_argument("--sides", metavar="A,B", help="which of plain,lightning,epochal (default: all)")
    _add_common_options(options)
    typed = options.read(words)
    from epochal import bench

    result = bench.speed(
        typed.recipe,
        typed.version,
        steps=typed.steps,
        rounds=typed.rounds,
        warm_up=typed.warm_up,
        sides=None if typed.sides is None else typed.sides.split(","),
        source=typed.source,
        limit=typed.limit,
        out=typed.out,
        say=_sayer(typed.json),
    )
    if typed.json:
        print_json(result)
    return 0


def _devices(words: list[str]) -> int:
    options = Parser(
        "bench devices",
        "Train alike on each device of this machine; compare time, and energy where it can be read.",
        [example for example in EXAMPLES if " devices " in example],
    )
    options.add_argument("recipe", nargs="?", default="cnn-digits", metavar="RECIPE", help="which recipe")
    options.add_argument("version", nargs="?", metavar="VERSION", help="which version (default: the newest)")
    options.add_argument("--epochs", type=whole, default=1, metavar="N", help="passes over the training data")
    options.add_argument("--steps", type=whole, metavar="N", help="stop after N steps, if sooner")
    options.add_argument("--seed", type=whole, default=0, metavar="S", help="seed of every training")
    options.add_argument("--on", metavar="A,B", help="which of cpu,cuda,mps (default: all present)")
    options.add_argument("--precision", default="auto", help="auto (measured), float32, bfloat16")
    options.add_argument("--again", action="store_true", help="measure anew what was measured before")
    options.add_argument("--page", metavar="FILE", help="also write the tables to this Markdown file")
    _add_common_options(options)
    typed = options.read(words)
    from epochal import bench

    result = bench.devices(
        typed.recipe,
        typed.version,
        epochs=typed.epochs,
        steps=typed.steps,
        seed=typed.seed,
        on=None if typed.on is None else typed.on.split(","),
        source=typed.source,
        limit=typed.limit,
        precision=typed.precision,
        again=typed.again,
        out=typed.out,
        page=typed.page,
        say=_to_stderr,
    )
    if typed.json:
        print_json(result)
        return 0
    for title, cells, notes in bench.tables(result):
        print_table(bench.COLUMNS, cells, title=title)
        print("\n".join(notes) + "\n")
    print(f"Kept in {result['file']}")
    return 0


ACTIONS: dict[str, Callable[[list[str]], int]] = {"speed": _speed, "devices": _devices}


def _add_common_options(options: Parser) -> None:
    options.add_argument("--source", default="auto", help="data source")
    options.add_argument("--limit", type=whole, metavar="N", help="use only N training items")
    options.add_argument("--out", "-o", metavar="FOLDER", help="where to write the results")


def _sayer(json: bool) -> Callable[[str], None]:
    return _to_stderr if json else print


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
