"""Benchmarks: Epochal's engine against what a good user writes without it.

One process a side, all alive at once, and of these one at work at any time: the sides take turns in blocks
of steps, so a machine that slows down for a while slows all of them. What counts is the ratio within a round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import IO, TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError

if TYPE_CHECKING:
    from epochal.training.task import Batch, Nets, Recipe, Task

SIDES = ("plain", "lightning", "epochal")
_LEAST_WARM_UP = 10  # the engine prepares a few batches for its trial of precisions before it takes a step
_REST_S = 0.3  # between blocks, so that one side's idle threads have gone to sleep when the next one starts


@dataclass(frozen=True)
class _Yardstick:
    """What a recipe is measured against: a version, and the programs in `benchmarks/` that train the same."""

    version: str
    programs: Mapping[str, str]


_YARDSTICKS = {
    "cvae-digits": _Yardstick("model-2", {"plain": "plain_pytorch_cvae.py", "lightning": "lightning_cvae.py"})
}


def speed(
    recipe: str = "cvae-digits",
    *,
    steps: int = 100,
    rounds: int = 7,
    warm_up: int = 30,
    sides: Sequence[str] = SIDES,
    source: str = "auto",
    limit: int | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Times training steps of all sides on the CPU, in turns, and writes a table (JSON and Markdown).

    Args:
        recipe: which recipe; it needs programs to compare with in the repository's folder `benchmarks/`.
        steps: steps in a timed block.
        rounds: blocks a side; the order of sides rotates from round to round.
        warm_up: steps before the first block that are not timed (at least 10).
        sides: which of "plain" (needed: the ratios are to it), "lightning" and "epochal".
        source: data source of all sides.
        limit: use only this many training items.
        out: folder for the results; default: `benchmarks/results`.
        say: takes each line of the report.

    Returns:
        What the JSON file holds: `sides` maps each side to its seconds per step (one a round), mean loss over
        all steps, ratio to plain (median, low, high over rounds) and how it computes; `machine` describes the
        hardware and versions.

    Raises:
        UsageError: an unknown recipe or side, or numbers out of range.
        EpochalError: `benchmarks/` or Lightning is missing, or a side failed.
    """
    yardstick = _yardstick(recipe)
    _check(sides, steps=steps, rounds=rounds, warm_up=warm_up)
    programs = _programs(yardstick, sides)
    plan = {"recipe": recipe, "version": yardstick.version, "source": source, "limit": limit}
    plan |= {"warm_up": warm_up, "steps": steps, "rounds": rounds}
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
    path = folder / f"speed-{recipe}"
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
        f"{sum(_blocks(result))} steps from a fresh network, each side with random numbers of its own. "
        f"Data: {result['data']}.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['platform']}, Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
        + f". {result['created']}.",
        "",
    ]
    lines += [f"- {name}: {side['how']}" for name, side in result["sides"].items()]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------- the measuring side


class _Process:
    """A side in a process of its own: JSON lines over its standard streams."""

    def __init__(self, side: str, plan: Mapping[str, Any], programs: Path, scratch: Path) -> None:
        self.side = side
        self.errors = scratch / f"{side}.log"
        call = [sys.executable, "-m", "epochal.bench", side, json.dumps(plan), str(programs), str(scratch)]
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


def _yardstick(recipe: str) -> _Yardstick:
    if recipe not in _YARDSTICKS:
        raise UsageError(
            f"there is no speed benchmark for {recipe!r}.",
            hint=f"There is one for: {', '.join(_YARDSTICKS)}.",
        )
    return _YARDSTICKS[recipe]


def _check(sides: Sequence[str], *, steps: int, rounds: int, warm_up: int) -> None:
    unknown = [side for side in sides if side not in SIDES]
    if unknown or "plain" not in sides or len(set(sides)) != len(sides):
        raise UsageError(
            f"sides = {', '.join(sides)} cannot be compared.",
            hint=f"Choose from {', '.join(SIDES)}, each once; plain must be among them.",
        )
    for name, value, least in (
        ("steps", steps, 1),
        ("rounds", rounds, 1),
        ("warm_up", warm_up, _LEAST_WARM_UP),
    ):
        if value < least:
            raise UsageError(f"{name} = {value} is too small.", hint=f"It must be {least} or more.")


def _programs(yardstick: _Yardstick, sides: Sequence[str]) -> Path:
    """The folder with the programs to compare with."""
    package = Path(__file__).resolve().parents[2] / "benchmarks"
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


# ------------------------------------------------------------------------------------- the measured side


class _Channel:
    """The measured side's end: waits for each go, answers with one JSON line."""

    def __init__(self) -> None:
        # Whatever the side prints must not get between the answers.
        self.answers: IO[str] = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> None:
        """Waits for the next go; ends the process when nobody is there any more."""
        if not sys.stdin.readline():
            os._exit(0)

    def answer(self, **values: Any) -> None:
        """Sends one answer."""
        self.answers.write(json.dumps(values) + "\n")
        self.answers.flush()


def _serve_program(side: str, plan: Mapping[str, Any], programs: Path, channel: _Channel) -> None:
    """A program of `benchmarks/`: its class `Side` trains in blocks and times itself."""
    import torch

    sys.path.insert(0, str(programs))
    module = __import__(_YARDSTICKS[plan["recipe"]].programs[side].removesuffix(".py"))
    channel.wait()
    program = module.Side(plan["source"], plan["limit"], seed=0)
    losses = []
    for number, steps in enumerate(_blocks(plan)):
        if number:
            channel.wait()
        seconds, loss = program.run(steps)
        losses.append(loss * steps)
        channel.answer(seconds=seconds)
    channel.wait()
    channel.answer(
        loss=sum(losses) / sum(_blocks(plan)),
        how=f"float32, {torch.get_num_threads()} threads",
        items=program.items,
        batch_size=module.BATCH,
        data=program.data,
    )


def _blocks(plan: Mapping[str, Any]) -> list[int]:
    """Steps of the warm-up and of each timed block."""
    return [plan["warm_up"], *[plan["steps"]] * plan["rounds"]]


class _Gate:
    """Stands before every step of a training: ends a block after so many and holds the next until its go."""

    def __init__(self, blocks: Sequence[int], channel: _Channel) -> None:
        self.blocks, self.channel = list(blocks), channel
        self.left = self.blocks.pop(0)
        self.start = perf_counter()

    def step(self) -> None:
        """Called when a step begins."""
        if self.left == 0:
            self.channel.answer(seconds=perf_counter() - self.start)
            self.channel.wait()
            # After the last block a few steps are left, untimed, to the end of the training.
            self.left = self.blocks.pop(0) if self.blocks else -1
            self.start = perf_counter()
        self.left -= 1


def _gated(recipe: Recipe, gate: _Gate) -> Recipe:
    """The recipe with the gate before every step; it neither validates nor draws, as the others do not."""

    def build(settings: Any, nets: Nets) -> Task:
        task = recipe.build(settings, nets)

        def prepare(batch: Batch) -> Batch:
            gate.step()
            return task.prepare(batch)

        return replace(task, prepare=prepare, validate=None, keep_best=None, sample=None)

    return replace(recipe, build=build)


def _serve_engine(plan: Mapping[str, Any], scratch: Path, channel: _Channel) -> None:
    """Epochal's engine itself, training into a run folder as it always does."""
    from epochal import settings as settings_room
    from epochal.journal import Lab
    from epochal.systems import recipes
    from epochal.training import engine

    recipe = recipes.find(plan["recipe"])
    patch: dict[str, Any] = {"data.source": plan["source"], "data.limit": plan["limit"]}
    # One step more than the blocks hold: the gate ends a block when the next step begins.
    patch |= {"steps": sum(_blocks(plan)) + 1, "epochs": sum(_blocks(plan)) + 1}
    settings = settings_room.apply(recipes.settings_of(recipe, plan["version"]), patch)
    lab = Lab(scratch / "lab")
    run = lab.create_run(recipe=recipe.name, settings=settings_room.to_dict(settings), seed=0)
    channel.wait()
    gate = _Gate(_blocks(plan), channel)
    engine.train(_gated(recipe, gate), settings, run, device="cpu", show=False)
    choices = run.reload().meta["choices"]
    how = "{precision}, {layout}, {layers} layers, {threads} threads".format(**choices)
    channel.answer(loss=_mean_loss(run.metrics()), how=how)


def _mean_loss(records: Sequence[Mapping[str, Any]]) -> float:
    """Mean training loss over all steps, from the epochs' means."""
    total, before = 0.0, 0
    for record in records:
        if record["scope"] == "epoch" and record["split"] == "train":
            total += record["values"]["loss"] * (record["step"] - before)
            before = record["step"]
    return total / before


def _serve(side: str, plan: str, programs: str, scratch: str) -> None:
    """Entry of a side's process."""
    channel, wanted = _Channel(), json.loads(plan)
    if side == "epochal":
        _serve_engine(wanted, Path(scratch), channel)
    else:
        _serve_program(side, wanted, Path(programs), channel)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
