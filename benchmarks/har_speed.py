"""Times a step of the two-teacher distillation beside the student on its own and beside the naive program.

    EPOCHAL_DATA=… OMP_NUM_THREADS=1 python benchmarks/har_speed.py [--rounds 7] [--steps 60]

All sides in one process, in turns, float32, PyTorch's own layers, the same batches in size and shape. Teachers are not
trained for it: their speed does not depend on their weights. Writes docs/results/har-speed.md; exits 1 when a step with
cached teachers takes more than 1.3 times the student's own, or is less than 3 times as fast as the naive program.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from plain_pytorch_har import BATCH, Side
from results_page import RESULTS, Page

from epochal import settings as settings_room
from epochal.evidence.metrics import cost
from epochal.journal import environment
from epochal.systems import recipes
from epochal.systems.nets import classifiers
from epochal.systems.recipes import _wearables as wearables
from epochal.training.feed import TensorFeed
from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Task, Trained

RECIPE = "har-distill-two-teachers"
AT_MOST, AT_LEAST = 1.3, 3.0
STUDENTS = ("wrn16-1", "resnet8", "wrn28-1", "wrn16-3", "resnet18")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="blocks a side")
    parser.add_argument("--steps", type=int, default=60, help="steps of a block of Epochal's sides")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sides, about = prepared()
    times = in_turns(sides, options.rounds, options.steps)
    return write(times, about, options, Path(options.out))


def prepared() -> tuple[dict[str, Callable[[int], float]], Mapping[str, Any]]:
    """Each side as a function from steps to seconds, and what the data are."""
    settings = recipes.settings_of(recipes.find(RECIPE))
    teachers = untrained(settings)
    two, about = task_of(RECIPE, settings, teachers)
    alone, _ = task_of("har-classifier", recipes.settings_of(recipes.find("har-classifier"), "wrn16-1"), {})
    signals, images = (wearables.read(settings, reads).splits["train"] for reads in ("signal", "persistence"))
    columns = {
        "x": torch.from_numpy(signals["x"]),
        "images": torch.tensor(images["x"]),
        "labels": torch.from_numpy(signals["labels"]),
    }
    student = wearables.network("wrn16-1", about)
    naive = Side(
        student, teachers["teacher A"].nets["network"], teachers["teacher B"].nets["network"], columns
    )
    # A naive step takes about ten of the others'.
    return {
        "student alone": blocks(alone),
        "two teachers, cached": blocks(two),
        "naive program": lambda steps: naive.run(max(steps // 10, 1)) / max(steps // 10, 1) * steps,
    }, about


def untrained(settings: Any) -> dict[str, Trained]:
    """Teachers as fresh networks, for whoever only wants to know how long they take."""
    found = {}
    for role, (name, patch) in recipes.find(RECIPE).needs_to_train(settings).items():  # type: ignore[misc]
        recipe = recipes.find(name)
        chosen = settings_room.apply(recipe.settings(), patch)
        torch.manual_seed(0)
        nets = recipe.nets(chosen)
        for net in nets.values():
            net.eval().requires_grad_(False)
        found[role] = Trained(chosen, nets)
    return found


def task_of(
    name: str, settings: Any, helpers: Mapping[str, Trained]
) -> tuple[tuple[Task, Any], Mapping[str, Any]]:
    """A recipe's task with its networks, and what it notes of its data."""
    recipe = recipes.find(name)
    torch.manual_seed(0)
    nets = recipe.nets(settings)
    task = recipe.build(settings, nets, helpers=helpers) if helpers else recipe.build(settings, nets)
    return (task, nets), task.data


def blocks(what: tuple[Task, Any]) -> Callable[[int], float]:
    """Trains a task by the engine's own learner and feed; steps → seconds."""
    task, nets = what
    cpu = torch.device("cpu")
    learner = TorchLearner(task, nets, 0, cpu, Choices(threads=torch.get_num_threads()))
    learner.probing = True
    feed = TensorFeed(task, 0, cpu)
    place = {"epoch": 1, "item": 0}

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            if place["item"] >= feed.items:
                place.update(epoch=place["epoch"] + 1, item=0)
            learner.step(feed.batch(place["epoch"], 0, place["item"]))
            place["item"] += task.batch_size
        return time.perf_counter() - start

    return run


def in_turns(sides: Mapping[str, Callable[[int], float]], rounds: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds a step of each side, round by round; the order rotates."""
    for run in sides.values():
        run(20)
    names = list(sides)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(1e3 * sides[name](steps) / steps)
        print(", ".join(f"{name} {times[name][-1]:.2f} ms" for name in names), flush=True)
    return times


def ratios(over: list[float], under: list[float]) -> tuple[float, str]:
    """Median of the ratios within a round, and in words with their range."""
    found = [a / b for a, b in zip(over, under, strict=True)]
    return median(found), f"{median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def write(times: Mapping[str, list[float]], about: Mapping[str, Any], options: Any, out: Path) -> int:
    """The page."""
    page = Page("Speed of distillation from two teachers", "python benchmarks/har_speed.py")
    machine = environment.describe()
    alone, two, naive = times.values()
    dearer, dearer_text = ratios(two, alone)
    faster, faster_text = ratios(naive, two)
    page.say(
        f"- machine: {machine['cpu']}, {options.threads} thread(s), torch {torch.__version__}",
        f"- data: {about['name']}, windows of {about['window']} samples at {about['rate_hz']:g} Hz, batch {BATCH}; "
        "persistence images computed beforehand for all sides",
        f"- medians of {options.rounds} rounds of {options.steps} steps a side, in turns; ranges are over rounds",
        "- float32, PyTorch's own layers on all sides; the probe of gradients runs as it does in a training",
        "",
    )
    page.table(
        ["side", "ms a step", "range"],
        [
            [name, f"{median(found):.2f}", f"{min(found):.2f}–{max(found):.2f}"]
            for name, found in times.items()
        ],
    )
    page.section("Targets")
    page.table(
        ["what", "measured", "wanted", "met"],
        [
            [
                "a step with two cached teachers, times the student's own",
                dearer_text,
                f"≤ {AT_MOST}",
                page.target("two teachers against the student alone", dearer <= AT_MOST),
            ],
            [
                "times the naive program's speed",
                faster_text,
                f"≥ {AT_LEAST:g}",
                page.target("two teachers against the naive program", faster >= AT_LEAST),
            ],
        ],
    )
    page.section("What a network costs on the watch")
    page.say(
        f"One window ({len(about['channels'])} x {about['window']}), 1-D, one core; medians of 200 rounds with "
        "quartiles. MACs: multiply-accumulates of convolutions and dense layers.",
        "",
    )
    page.table(["network", "parameters", "MACs", "latency, ms"], [costs(name, about) for name in STUDENTS])
    return page.write(out / "har-speed.md")


def costs(name: str, about: Mapping[str, Any]) -> list[str]:
    """A network's row in the table of costs."""
    net = classifiers.build(name, len(about["channels"]), len(about["classes"]), 1).eval()
    window = torch.zeros(1, len(about["channels"]), about["window"])
    took = cost.latency(net, window, rounds=200)
    return [
        name,
        f"{cost.parameters(net):,}",
        f"{cost.macs(net, window) / 1e6:.2f} M",
        f"{took.median_ms:.2f} ({took.low_ms:.2f}–{took.high_ms:.2f})",
    ]


if __name__ == "__main__":
    sys.exit(main())
