"""Trains cnn-digits over seeds and writes docs/results/cnn-digits.md from the run folders.

    EPOCHAL_DATA=… python benchmarks/cnn_digits_results.py --lab LAB          # trains and evaluates what is missing
    EPOCHAL_DATA=… python benchmarks/cnn_digits_results.py --lab LAB --found  # from the runs that are there

Killed, it goes on where it stopped. Exits 1 when a version's mean test accuracy is below the target. Three seeds of
both versions take about fifteen minutes of one core.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import records
from results_page import RESULTS, Page, evaluated, origin, seconds, spread, trained

from epochal.journal import Lab, Run
from epochal.systems import recipes

NAME, SEEDS = "cnn-digits", (0, 1, 2)
TARGET = 0.992
PICTURES = {
    "confusion": "What the test images are read as",
    "answers": "The surest answers",
    "first_layer": "Kernels of the first layer",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--found", action="store_true", help="train nothing")
    parser.add_argument("--threads", type=int, help="CPU threads of a run (default: measured)")
    parser.add_argument("--out", default=str(RESULTS / f"{NAME}.md"), help="file to write")
    options = parser.parse_args()
    lab, out = Lab(options.lab), Path(options.out)
    how = {"only_found": options.found, "threads": options.threads, "patch": {"data.source": "mnist"}}
    by_version = {
        version.name: trained(lab, NAME, version.name, SEEDS, **how)
        for version in recipes.find(NAME).versions
    }
    runs = [run for group in by_version.values() for run in group]
    page = Page("cnn-digits on MNIST", "python benchmarks/cnn_digits_results.py --lab LAB")
    if runs:
        about(page, runs)
        both(page, by_version, lab)
        every(page, runs, lab)
        pictures(page, runs[-1], out)
    records.keep(runs, out.parent / "records")
    return page.write(out)


def about(page: Page, runs: Sequence[Run]) -> None:
    """What was run where."""
    held_out = runs[0].settings["data"]["hold_out"]
    page.say(
        *origin(runs),
        f"- of the 60,000 training images the last {held_out:,} choose the best epoch and are not trained on; the "
        "10,000 test images are read once, by the network of the best epoch",
    )


def both(page: Page, by_version: Mapping[str, Sequence[Run]], lab: Lab) -> None:
    """The two structures beside what was reported."""
    page.section("Both structures")
    rows = []
    for version, runs in by_version.items():
        described = recipes.version_of(recipes.find(NAME), version)
        accuracy = {
            split: [evaluated(run, lab, split)["accuracy"] for run in runs] for split in ("train", "test")
        }
        met = len(runs) == len(SEEDS) and mean(accuracy["test"]) >= TARGET
        rows.append(
            [
                version,
                described.change,
                spread(accuracy["train"]),
                f"{described.reported['train/accuracy']:g}",
                spread(accuracy["test"]),
                f"{described.reported['accuracy']:g}",
                spread([run.meta["final"]["loss"] for run in runs]),
                page.target(f"{version}: test accuracy of {len(SEEDS)} seeds >= {TARGET:.1%}", met),
            ]
        )
    head = (
        "version", "structure", "train accuracy", "reported", "test accuracy", "reported", "training loss",
        f"test >= {TARGET:.1%}",
    )  # fmt: skip
    page.table(head, rows)
    page.say(
        "",
        "Mean ± standard deviation over seeds. Train accuracy: on the images trained on, in eval mode. Training loss: "
        "cross-entropy over the last epoch, dropout on, nats.",
    )


def every(page: Page, runs: Sequence[Run], lab: Lab) -> None:
    """A row a run."""
    page.section("Every run, on the test images")
    head = ("version", "seed", "accuracy", "95 % interval", "NLL, nats", "ECE", "Brier", "epochs", "s")
    rows = []
    for run in runs:
        values = evaluated(run, lab)
        rows.append(
            [
                str(run.version),
                str(run.seed),
                f"{values['accuracy']:.4f}",
                f"{values['accuracy_low']:.4f} to {values['accuracy_high']:.4f}",
                f"{values['nll']:.4f}",
                f"{values['ece']:.4f}",
                f"{values['brier']:.4f}",
                str(run.meta["epochs_done"]),
                f"{seconds(run):.0f}" + " (busy)" * ("busy" in run.meta["choices"]["how"]),
            ]
        )
    page.table(head, rows)
    page.say(
        "",
        "The interval (Wilson) covers the drawing of 10,000 test images, not the seed. ECE: 15 bins of confidence "
        "(Guo et al. 2017). Seconds: wall clock, validation included; busy: other programs ran when it began. How long "
        "an epoch takes on each device is [measured apart](devices.md).",
    )


def pictures(page: Page, run: Run, out: Path) -> None:
    """The figures of one run."""
    for stem, what in PICTURES.items():
        target = out.parent / f"{NAME}-{stem.replace('_', '-')}.png"
        shutil.copyfile(run.figures_dir / f"{stem}.png", target)
        page.say("", f"![{what}]({target.name})")


if __name__ == "__main__":
    sys.exit(main())
