"""Writes docs/results/cifar10.md: one epoch of VGG-16 and the ResNets on all 50,000 images, top-1 and seconds.

    EPOCHAL_DATA=… python benchmarks/cifar10_results.py --lab LAB         # trains what is missing, evaluates, writes
    EPOCHAL_DATA=… python benchmarks/cifar10_results.py --lab LAB --found # from the runs that are there
    epochal bench speed vgg16-cifar10       # the speed that the page quotes; likewise resnet50-cifar10

Killed, it goes on where it stopped. On two cores without a GPU all of it takes about 90 minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

from epochal.journal import Lab, Run
from epochal.systems import recipes

SPEED = Path(__file__).parent / "results"
LEAST_RATIO = 1.4


@dataclass(frozen=True)
class Entry:
    """A version, its seeds, and the arithmetic of one epoch in TFLOP (three times the forward pass)."""

    recipe: str
    version: str
    seeds: tuple[int, ...]


ENTRIES = (
    Entry("vgg16-cifar10", "log", (0, 1, 2)),
    Entry("vgg16-cifar10", "bn", (0, 1, 2)),
    Entry("resnet50-cifar10", "log", (0, 1, 2)),
    Entry("resnet50-cifar10", "standard", (0,)),
    Entry("resnet18-cifar10", "quick", (0, 1, 2)),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--found", action="store_true", help="train nothing")
    parser.add_argument("--out", default=str(RESULTS / "cifar10.md"), help="file to write")
    options = parser.parse_args()
    lab = Lab(options.lab)
    groups = {
        entry: trained(
            lab,
            entry.recipe,
            entry.version,
            entry.seeds,
            only_found=options.found,
            patch={"data.source": "cifar10"},
        )
        for entry in ENTRIES
    }
    every = [run for group in groups.values() for run in group]
    page = Page("CIFAR-10: one epoch each", "python benchmarks/cifar10_results.py --lab LAB")
    page.say(
        "One epoch over all 50,000 training images; nothing is held out and nothing was chosen by the test images. "
        "Top-1 is of the last weights, on the test images that were at hand: the first 1,000 of the 10,000 official "
        "ones where the table says so. Such a number is uncertain by about ±3 % (95 % Wilson interval of each run "
        "below), whatever its spread over seeds.",
        "",
        *origin(every),
    )
    top1(page, groups, lab)
    each_run(page, groups, lab)
    speed(page)
    records.keep(every, Path(options.out).parent / "records")
    return page.write(Path(options.out))


def top1(page: Page, groups: Mapping[Entry, Sequence[Run]], lab: Lab) -> None:
    """The versions side by side, means over seeds."""
    page.section("Top-1 after one epoch")
    rows = []
    for entry, group in groups.items():
        tests = [evaluated(run, lab) for run in group]
        of = {name: [test[name] for test in tests] for name in ("accuracy", "nll", "ece")}
        settings = recipes.settings_of(recipes.find(entry.recipe), entry.version)
        rows.append(
            (
                f"{entry.recipe} {entry.version}",
                f"{settings.optim.name} {settings.optim.lr:g}, {settings.optim.schedule}",
                spread([run.meta["final"]["loss"] for run in group]),
                spread([run.meta["final"]["accuracy"] for run in group]),
                spread(of["accuracy"]),
                spread(of["nll"], "{:.3f}".format),
                spread(of["ece"], "{:.3f}".format),
            )
        )
        page.target(
            f"{entry.recipe} {entry.version}: {len(entry.seeds)} seeds", len(group) == len(entry.seeds)
        )
    head = ("version", "optimiser", "train loss, nats", "train accuracy", "test top-1", "test nats", "ECE")
    page.table(head, rows)
    page.say(
        "",
        "Train loss and accuracy are means over the epoch in train mode, so from the first, untrained step on. "
        "Guessing has a loss of ln 10 = 2.303 and a top-1 of 0.1.",
    )


def each_run(page: Page, groups: Mapping[Entry, Sequence[Run]], lab: Lab) -> None:
    """Every run with its interval and its time."""
    page.section("Each run")
    rows = []
    for entry, group in groups.items():
        for run in group:
            test = evaluated(run, lab)
            rows.append(
                (
                    f"{entry.recipe} {entry.version}",
                    str(run.seed),
                    f"{test['accuracy']:.3f}",
                    f"{test['accuracy_low']:.3f} to {test['accuracy_high']:.3f}",
                    f"{test['images']:,.0f}",
                    f"{seconds(run):,.0f}",
                    str(run.meta["choices"]["threads"]),
                )
            )
    page.table(("version", "seed", "test top-1", "95 % interval", "of images", "seconds", "threads"), rows)
    page.say(
        "",
        "Seconds are wall time of the training as it ran, each on one of the machine's two cores while the other was "
        "busy too; how fast an epoch is on both is measured apart, below.",
    )


def speed(page: Page) -> None:
    """The speed benchmarks, as `epochal bench speed` left them."""
    page.section("Speed against a plain PyTorch loop")
    rows = []
    for path in sorted(SPEED.glob("speed-*cifar10*.json")):
        found: dict[str, Any] = json.loads(path.read_text())
        plain, ours = found["sides"]["plain"], found["sides"]["epochal"]
        ratio = ours["ratio"]
        steps = 50_000 / found["batch_size"]
        rows.append(
            (
                f"{found['recipe']} {found['version']}",
                f"{_median(plain['seconds_per_step']) * steps:,.0f}",
                f"{_median(ours['seconds_per_step']) * steps:,.0f}",
                f"{ratio['median']:.2f}x ({ratio['low']:.2f} to {ratio['high']:.2f})",
                page.target(
                    f"{found['recipe']} {found['version']} at least {LEAST_RATIO}x plain",
                    ratio["median"] >= LEAST_RATIO,
                ),
                f"{plain['loss']:.3f} / {ours['loss']:.3f}",
                f"[{path.stem}](../../benchmarks/results/{path.stem}.md)",
            )
        )
    head = (
        "version", "plain, s an epoch", "Epochal, s an epoch", "ratio", f">= {LEAST_RATIO}x",
        "mean loss, plain / Epochal", "measurement",
    )  # fmt: skip
    if rows:
        page.table(head, rows)
    else:
        page.say("Not measured yet: it takes an idle machine.")
        page.misses.append("no speed was measured: epochal bench speed vgg16-cifar10")


def _median(values: Sequence[float]) -> float:
    from statistics import median

    return median(values)


if __name__ == "__main__":
    sys.exit(main())
