"""Writes docs/results/cnn-scratch.md: the NumPy network on MNIST, test accuracy and seconds an epoch over seeds.

    EPOCHAL_DATA=… python benchmarks/cnn_scratch_results.py --lab LAB          # trains and evaluates what is missing
    EPOCHAL_DATA=… python benchmarks/cnn_scratch_results.py --lab LAB --found  # from the runs that are there
    EPOCHAL_DATA=… python benchmarks/cnn_scratch_results.py --time             # times one epoch: on a quiet machine

Killed, it goes on where it stopped. Exits 1 when a target is missed. Three seeds take about three minutes, the timing
half of one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import records
from results_page import RESULTS, Page, evaluated, spread, trained

from epochal import settings
from epochal.journal import Lab, Run, environment
from epochal.systems import recipes
from epochal.training.task import Batch

NAME, VERSION, SEEDS = "cnn-scratch", "v1", (0, 1, 2)
LEAST_ACCURACY, MOST_EPOCHS, MOST_SECONDS = 0.985, 3, 60.0
TIMED = Path(__file__).parent / "results" / "epoch-cnn-scratch.json"
PICTURES = {
    "loss": "Loss and accuracy of the training images, epoch by epoch",
    "first_layer": "Kernels of the first convolution",
    "confusion": "What the test images are read as",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", help="lab that holds the runs")
    parser.add_argument("--found", action="store_true", help="train nothing")
    parser.add_argument("--time", action="store_true", help="time one epoch instead, for the page to quote")
    parser.add_argument("--out", default=str(RESULTS / f"{NAME}.md"), help="file to write")
    options = parser.parse_args()
    if options.time:
        TIMED.write_text(json.dumps(timed_epoch(), indent=1) + "\n")
        print(TIMED.read_text(), end="")
        return 0
    if options.lab is None:
        parser.error("--lab is missing")
    lab, out = Lab(options.lab), Path(options.out)
    runs = trained(lab, NAME, VERSION, SEEDS, only_found=options.found, patch={"data.source": "mnist"})
    page = Page(
        f"{NAME}: a convolutional network in NumPy on MNIST",
        "python benchmarks/cnn_scratch_results.py --lab LAB",
    )
    page.say(
        "The network of `src/epochal/systems/scratch/cnn.py`, every derivative written by hand (checked against "
        "central differences and PyTorch in `tests/systems/scratch/test_cnn.py`), trained in float32 on all 60,000 "
        "images. Nothing was held out and nothing was chosen by the test images: they are read once, by the last "
        "weights.",
        "",
        *(f"- {line}" for line in origin(runs)),
    )
    accuracies(page, runs, lab)
    times(page)
    for picture, what in PICTURES.items():
        if runs and (drawn := runs[0].figures_dir / f"{picture}.png").exists():
            kept = out.parent / f"{NAME}-{picture.replace('_', '-')}.png"
            shutil.copyfile(drawn, kept)
            page.say("", f"![{what}, seed {runs[0].seed}]({kept.name})")
    records.keep(runs, out.parent / "records")
    return page.write(out)


def machine(meta: Any) -> str:
    """Where a run was trained, and with which NumPy."""
    about = meta["environment"]
    return f"{about['cpu']}, {about['cores']} cores; NumPy {about['packages']['numpy']}"


def origin(runs: list[Run]) -> list[str]:
    """Machines and commits of the runs."""
    commits = {(run.meta["git"] or {}).get("commit", "not known")[:12] for run in runs}
    return [*sorted({machine(run.meta) for run in runs}), f"code: commit {', '.join(sorted(commits))}"]


def accuracies(page: Page, runs: list[Run], lab: Lab) -> None:
    """Test accuracy of each seed, with its interval."""
    page.section(f"Test accuracy after {MOST_EPOCHS} epochs")
    rows, found = [], []
    for run in runs:
        values, last = evaluated(run, lab), run.meta["final"]
        found.append(values["accuracy"])
        enough = values["accuracy"] >= LEAST_ACCURACY and run.meta["epochs_done"] <= MOST_EPOCHS
        rows.append(
            [
                str(run.seed),
                f"{values['accuracy']:.4f}",
                f"{values['accuracy_low']:.4f} to {values['accuracy_high']:.4f}",
                f"{values['nll']:.4f}",
                f"{last['accuracy']:.4f}",
                f"{last['loss']:.4f}",
                page.target(f"seed {run.seed}: test accuracy {values['accuracy']:.4f}", enough),
            ]
        )
    page.table(
        [
            "seed",
            "test accuracy",
            "95 % interval",
            "test cross-entropy, nats",
            "training accuracy",
            "training loss, nats",
            f">= {LEAST_ACCURACY:.1%}",
        ],
        rows,
    )
    page.target(f"{len(SEEDS)} finished runs", len(runs) == len(SEEDS))
    page.say(
        "",
        f"Over seeds: {spread(found)}. The interval (Wilson) covers the drawing of 10,000 test images, not the seed. "
        "Training accuracy and loss are means over the last epoch, while the weights were still changing.",
    )


def times(page: Page) -> None:
    """The timed epoch, if there is one."""
    page.section("Seconds an epoch of 60,000 images")
    if not TIMED.exists():
        page.target("an epoch timed by --time", False)
        page.say("Not timed yet: `python benchmarks/cnn_scratch_results.py --time`, on a quiet machine.")
        return
    found = json.loads(TIMED.read_text())
    page.table(
        ["wall-clock, s", "processor time, s", "threads", "load before", "machine", f"<= {MOST_SECONDS:g} s"],
        [
            [
                f"{found['wall']:.1f}",
                f"{found['cpu']:.1f}",
                found["threads"],
                f"{found['load']:.1f}",
                machine(found),
                page.target(f"{found['wall']:.0f} s an epoch", found["wall"] <= MOST_SECONDS),
            ]
        ],
    )
    page.say(
        "",
        "All steps of one epoch, batches of 64 prepared and trained, by `--time`. Threads: those of NumPy's matrix "
        "products (`OMP_NUM_THREADS`). Load: other programs at work on the machine lengthen the wall-clock time.",
    )


def timed_epoch() -> dict[str, Any]:
    """Trains one epoch of MNIST; its seconds of wall-clock and of processor time, and what they were measured on."""
    recipe = recipes.find(NAME)
    wanted = settings.apply(recipes.settings_of(recipe, VERSION), {"data.source": "mnist"})
    nets = recipe.nets(wanted)
    task, rng = recipe.build(wanted, nets), np.random.default_rng(0)
    nets["network"].init(rng)
    order = rng.permutation(len(task.train["labels"]))
    load, wall, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
    for start in range(0, len(order), task.batch_size):
        chosen = order[start : start + task.batch_size]
        batch = Batch({name: column[chosen] for name, column in task.train.items()})
        nets["network"].step(task.prepare(batch), rng)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "threads": os.environ.get("OMP_NUM_THREADS", f"{os.cpu_count()} (all)"),
        "load": load,
        "environment": environment.describe(),
        "git": environment.git_state(),
    }


if __name__ == "__main__":
    sys.exit(main())
