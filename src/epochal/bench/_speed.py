"""Speed of Epochal's engine against what a good user writes without it.

One process a side, all alive at once, and of these one at work at any time: the sides take turns in blocks
of steps, so a machine that slows down for a while slows all of them. What counts is the ratio within a round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

from epochal.bench._yardsticks import YARDSTICKS, Yardstick, blocks
from epochal.errors import EpochalError, UsageError

_LEAST_WARM_UP = 10  # the engine prepares a few batches for its trial of precisions before it takes a step
_REST_S = 0.3  # between blocks, so that one side's idle threads have gone to sleep when the next one starts


def speed(
    recipe: str = "cvae-digits",
    version: str | None = None,
    *,
    steps: int | None = None,
    rounds: int | None = None,
    warm_up: int | None = None,
    sides: Sequence[str] | None = None,
    source: str = "auto",
    limit: int | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Times training steps of all sides on the CPU, in turns, and writes a table (JSON and Markdown).

    Args:
        recipe: which recipe; it needs programs to compare with in the repository's folder `benchmarks/`.
        version: which version of it; default: the first that there is a comparison for.
        steps: steps in a timed block; default: the recipe's, for a block of some seconds.
        rounds: blocks a side; the order of sides rotates from round to round. Default: the recipe's.
        warm_up: steps before the first block that are not timed (at least 10). Default: the recipe's.
        sides: which of "plain" (needed: the ratios are to it), "lightning" and "epochal"; default: all that there
            are for the recipe.
        source: data source of all sides.
        limit: use only this many training items.
        out: folder for the results; default: `benchmarks/results`.
        say: takes each line of the report.

    Returns:
        What the JSON file holds: `sides` maps each side to its seconds per step (one a round), mean loss over
        all steps, ratio to plain (median, low, high over rounds) and how it computes; `machine` describes the
        hardware and versions.

    Raises:
        UsageError: an unknown recipe, version or side, or numbers out of range.
        EpochalError: `benchmarks/` or Lightning is missing, or a side failed.
    """
    yardstick = _yardstick(recipe)
    sides = yardstick.sides if sides is None else sides
    plan = {"recipe": recipe, "version": _version(recipe, version), "source": source, "limit": limit}
    plan["warm_up"] = yardstick.warm_up if warm_up is None else warm_up
    plan["steps"] = yardstick.steps if steps is None else steps
    plan["rounds"] = yardstick.rounds if rounds is None else rounds
    _check(yardstick, sides, plan)
    programs = _programs(yardstick, sides)
    folder = Path(out) if out is not None else programs / "results"
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as scratch:
        running: dict[str, _Process] = {}
        try:
            for side in sides:
                running[side] = _Process(side, plan, programs, Path(scratch))
            result = _measure(running, plan, say)
        finally:
            for process in running.values():
                process.end()
    result["machine"] = _machine()
    folder.mkdir(parents=True, exist_ok=True)
    several = f"-{plan['version']}" if len(yardstick.versions) > 1 else ""
    path = folder / f"speed-{recipe}{several}"
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    say(text)
    say(f"Written: {path.with_suffix('.md')} and {path.with_suffix('.json')}")
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """The table of a result of `speed`, with everything that the numbers depend on."""
    machine, items = result["machine"], result["items"]
    lines = [
        f"# Speed of {result['recipe']} ({result['version']}), batch {result['batch_size']}",
        "",
        f"| side | ms a step | s an epoch of {items:,} | times plain's speed (range) | mean loss |",
        "|---|---|---|---|---|",
    ]
    for name, side in result["sides"].items():
        step, ratio = median(side["seconds_per_step"]), side["ratio"]
        spread = f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        epoch = step * items / result["batch_size"]
        lines.append(f"| {name} | {1e3 * step:.2f} | {epoch:.1f} | {spread} | {side['loss']:.3f} |")
    lines += [
        "",
        f"Medians of {result['rounds']} rounds of {result['steps']} steps a side, sides in turns, after "
        f"{result['warm_up']} steps of warm-up; the range is over rounds. The mean loss is over all "
        f"{sum(blocks(result))} steps from a fresh network, each side with random numbers of its own. "
        f"Data: {result['data']}.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['platform']}, Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
        + f". {result['created']}.",
        "",
    ]
    lines += [f"- {name}: {side['how']}" for name, side in result["sides"].items()]
    return "\n".join(lines) + "\n"


class _Process:
    """A side in a process of its own: JSON lines over its standard streams."""

    def __init__(self, side: str, plan: Mapping[str, Any], programs: Path, scratch: Path) -> None:
        self.side = side
        self.errors = scratch / f"{side}.log"
        call = [
            sys.executable,
            "-m",
            "epochal.bench._side",
            side,
            json.dumps(plan),
            str(programs),
            str(scratch),
        ]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
            )

    def ask(self) -> dict[str, Any]:
        """Lets the side do its next piece of work; returns what it answers.

        Raises:
            EpochalError: it died; with the end of what it printed.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write("go\n")
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            said = self.errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise EpochalError(
                f"The side {self.side!r} of the benchmark ended early (exit status {self.process.wait()}).",
                hint="\n  ".join(said[-8:]) or "It printed nothing.",
            )
        found: dict[str, Any] = json.loads(answer)
        return found

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.communicate()


def _measure(
    running: Mapping[str, _Process], plan: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Warm-up, then the rounds; all sides' answers in one dict."""
    from epochal.journal.run import now

    names = list(running)
    for name in names:  # building and warming up take long, and are not timed
        say(f"{name}: warming up")
        running[name].ask()
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(plan["rounds"]):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            sleep(_REST_S)
            times[name].append(running[name].ask()["seconds"] / plan["steps"])
        shown = ", ".join(f"{name} {1e3 * times[name][-1]:.2f}" for name in names)
        say(f"round {number + 1} of {plan['rounds']}, ms a step: {shown}")
    ends = {name: running[name].ask() for name in names}
    sides = {
        name: {
            "seconds_per_step": times[name],
            "ratio": _ratio(times["plain"], times[name]),
            "loss": ends[name]["loss"],
            "how": ends[name]["how"],
        }
        for name in names
    }
    about = ends["plain"]
    shared = {key: about[key] for key in ("items", "batch_size", "data")}
    return {**plan, **shared, "created": now(), "sides": sides}


def _ratio(plain: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """How many times faster than plain, round by round."""
    ratios = [a / b for a, b in zip(plain, other, strict=True)]
    return {"median": median(ratios), "low": min(ratios), "high": max(ratios)}


def _machine() -> dict[str, Any]:
    from epochal.journal import environment

    machine = environment.describe()
    machine["packages"] = {
        name: metadata.version(name) for name in ("epochal", "torch", "lightning") if find_spec(name)
    }
    return machine


def _yardstick(recipe: str) -> Yardstick:
    if recipe not in YARDSTICKS:
        raise UsageError(
            f"there is no speed benchmark for {recipe!r}.",
            hint=f"There is one for: {', '.join(YARDSTICKS)}.",
        )
    return YARDSTICKS[recipe]


def _version(recipe: str, version: str | None) -> str:
    known = YARDSTICKS[recipe].versions
    if version is not None and version not in known:
        raise UsageError(
            f"there is no speed benchmark for the version {version!r} of {recipe}.",
            hint=f"There is one for: {', '.join(known)}.",
        )
    return next(iter(known)) if version is None else version


def _check(yardstick: Yardstick, sides: Sequence[str], plan: Mapping[str, Any]) -> None:
    unknown = [side for side in sides if side not in yardstick.sides]
    if unknown or "plain" not in sides or len(set(sides)) != len(sides):
        raise UsageError(
            f"sides = {', '.join(sides)} cannot be compared.",
            hint=f"Choose from {', '.join(yardstick.sides)}, each once; plain must be among them.",
        )
    for name, least in (("steps", 1), ("rounds", 1), ("warm_up", _LEAST_WARM_UP)):
        if plan[name] < least:
            raise UsageError(f"{name} = {plan[name]} is too small.", hint=f"It must be {least} or more.")


def _programs(yardstick: Yardstick, sides: Sequence[str]) -> Path:
    """The folder with the programs to compare with."""
    package = Path(__file__).resolve().parents[3] / "benchmarks"
    needed = [yardstick.programs[side] for side in sides if side in yardstick.programs]
    for folder in (package, Path.cwd() / "benchmarks"):
        if all((folder / name).is_file() for name in needed):
            break
    else:
        raise EpochalError(
            f"The benchmark's programs ({', '.join(needed)}) are not here: an installed package lacks them.",
            hint="Run it in a clone of Epochal's repository, where they stand in the folder benchmarks/.",
        )
    if "lightning" in sides and find_spec("lightning") is None:
        raise EpochalError(
            "The side 'lightning' needs PyTorch Lightning, which is not installed.",
            hint="pip install 'epochal[bench]', or leave it out: sides plain and epochal.",
        )
    return folder
