"""The page of xor-mlp: iterations until the loss is below 0.02 over 1,000 seeds, beside the numbers of a log."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import records
from fleet_runs import Experiments, Missing, cells, made_with, picture
from results_page import Page, seconds

import epochal
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.systems.recipes.xor_mlp import REPORTED

SEEDS, LIMIT, MOST_SECONDS, GOAL_SECONDS = 1_000, 100_000, 60, 10
RATES = tuple(REPORTED)
ALONE = (
    (0.5, 0),
    (0.5, 1),
    (0.1, 0),
    (0.1, 1),
    (0.01, 0),
    (0.01, 1),
)  # rate and seed of those trained one by one
ALONE_EPOCHS = 4
OUTPUTS = ("output_00", "output_01", "output_10", "output_11")


def page(lab: Lab, out: Path, *, only_found: bool) -> Page:
    """Trains what is missing, and writes everything down."""
    experiments = Experiments(lab, "xor-mlp", only_found=only_found)
    page = Page(
        "xor-mlp: how long four hidden units take to learn XOR",
        "OMP_NUM_THREADS=1 python benchmarks/scratch_results.py xor --lab LAB",
    )
    page.say(
        "The network of `epochal/systems/scratch/xor_mlp.py`: 2 – 4 – 1 sigmoid units, all four rows in every "
        "iteration, half the sum of squared errors, N(0, 1) weights and biases, float64. Derivatives are checked "
        "against central differences and PyTorch, the stacked networks against separate ones, in "
        "`tests/systems/scratch/test_xor_mlp.py`.",
    )
    for part in (iterations, four_runs, zeros, ratio):
        try:
            part(page, experiments, out)
        except Missing as what:
            page.say("", f"Not trained yet: {what}.")
            page.misses.append(f"not trained: {what}")
    if experiments.runs:
        page.section("Made with")
        page.say(*made_with(experiments.runs))
    records.keep([run for run in experiments.runs if run.members], out.parent / "records")
    return page


def iterations(page: Page, experiments: Experiments, out: Path) -> None:
    """The distribution at each rate; networks that never got there stay in the denominator."""
    run = experiments.run("iterations", "until", grid={"optim.lr": list(RATES)}, seeds=SEEDS, threads=1)
    page.section(f"Iterations until the loss is below 0.02: {SEEDS:,} seeds at three learning rates")
    page.say(
        f"One command, one run folder of {run.members:,} members:",
        "",
        "```",
        f"epochal run xor-mlp until --grid optim.lr={','.join(f'{r:g}' for r in RATES)} --seeds {SEEDS}",
        "```",
        "",
    )
    rows, medians, inside = [], {}, True
    for (lr,), group in reversed(cells(run, "optim.lr").items()):
        counts = np.array([m.line["steps"] if m.line["reached"] else math.inf for m in group])
        # Quantiles of the networks themselves: a network that is not there yet is only known to take longer.
        low, first, median, third, high = np.quantile(
            counts, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf"
        )
        medians[lr] = median
        inside &= bool(low <= REPORTED[lr] <= high)
        stalled = int(np.isinf(counts).sum())
        rows.append(
            [
                f"{lr:g}",
                f"{len(group):,}",
                *(_count(value) for value in (low, first, median, third, high)),
                f"{stalled} ({stalled / len(group):.1%})",
                f"{REPORTED[lr]:,}",
                f"{(counts <= REPORTED[lr]).mean():.0%}",
            ]
        )
    page.table(
        [
            "learning rate",
            "networks",
            "5 %",
            "25 %",
            "median",
            "75 %",
            "95 %",
            f"not there after {LIMIT:,}",
            "reported, one network",
            "of ours as fast or faster",
        ],
        rows,
    )
    shown = picture(run, "iterations", out, "iterations")
    products = " / ".join(f"{lr * median:.0f}" for lr, median in medians.items())
    page.say(
        "",
        "Quantiles are over all networks of a rate; one that is not there after "
        f"{LIMIT:,} iterations counts as slower than all others. Every reported number lies between the 5 % and 95 % "
        f"quantiles of its rate: {page.target('reported numbers within 5 % to 95 %', inside)}. Learning rate "
        f"times median is "
        f"{products}: the number of iterations is inversely proportional to the rate.",
        "",
        f"![Share of networks below 0.02 over iterations]({shown})",
    )
    fast = seconds(run)
    wall = (_time(run, "finished") - _time(run, "started")).total_seconds()
    met = page.target(f"whole experiment in {wall:.0f} s", wall <= MOST_SECONDS)
    goal = "yes" if wall <= GOAL_SECONDS else "no"
    page.say(
        "",
        f"Whole experiment: {wall:.1f} s from start to finish, checkpoints and logs included, {fast:.1f} s of "
        f"it until "
        f"the last step; <= {MOST_SECONDS} s: {met}; goal of {GOAL_SECONDS} s: {goal}.",
    )


def four_runs(page: Page, experiments: Experiments, out: Path) -> None:
    """Four networks after 4,000 iterations, and what they answer."""
    run = experiments.run("four-seeds", "v1", seeds=4, threads=1)
    values = experiments.evaluated(run, "train")
    page.section("Four networks, 4,000 iterations at a learning rate of 0.1")
    page.table(
        ["seed", "loss", "0 xor 0", "0 xor 1", "1 xor 0", "1 xor 1"],
        [
            [str(member.seed), f"{one['loss']:.4f}", *(f"{one[name]:.3f}" for name in OUTPUTS)]
            for member, one in zip(roster.of(run), values, strict=True)
        ],
    )
    page.say(
        "",
        "Reported: outputs near 0, 1, 1, 0, and four runs that end at slightly different losses. At this rate half "
        "of all networks need more iterations for a loss of 0.02 (above).",
    )


def zeros(page: Page, experiments: Experiments, out: Path) -> None:
    """All-zero weights, at all rates."""
    patch = {"epochs": 100}
    run = experiments.run("all-zero", "zeros", grid={"optim.lr": list(RATES)}, patch=patch, threads=1)
    final = {member.line["final"]["loss"] for member in roster.of(run)}
    state = epochal.load(f"{run.id}#0", lab=experiments.lab).network.state()
    moved = any(array.any() for array in state.values())
    page.section("All weights zero at the start")
    never = page.target("all-zero weights never learn", final == {0.5} and not moved)
    page.say(
        f"After {roster.of(run)[0].line['steps']:,} iterations at each of the rates "
        f"{', '.join(f'{r:g}' for r in RATES)} the loss is {', '.join(f'{loss:g}' for loss in sorted(final))}, as at "
        f"the start, and all weights are {'no longer' if moved else 'still'} exactly zero: never learns: {never}. "
        "Not only are the hidden units identical: every derivative is exactly zero. All outputs are ½, so the output "
        "errors ½, -½, -½, ½ cancel in the sums for W2 and b2, and W2 = 0 lets nothing through to W1 and b1.",
    )


def ratio(page: Page, experiments: Experiments, out: Path) -> None:
    """Seconds a network and iteration, stacked and one by one, both by the engine with its logs and checkpoints."""
    count = ALONE_EPOCHS * 1_000
    how: dict[str, Any] = {"patch": {"epochs": ALONE_EPOCHS}, "threads": 1}
    stacked = experiments.run("stacked", "v1", grid={"optim.lr": list(RATES)}, seeds=SEEDS, **how)
    alone = [
        experiments.run(
            f"alone-{lr:g}-{seed}",
            "v1",
            seed=seed,
            patch={"epochs": ALONE_EPOCHS, "optim.lr": lr},
            threads=1,
        )
        for lr, seed in ALONE
    ]
    together = seconds(stacked) / (stacked.members * count)
    each = sum(map(seconds, alone)) / (len(alone) * count)
    page.section("Stacked against one by one")
    page.table(
        ["", "networks", "iterations each", "seconds", "a network and iteration"],
        [
            ["stacked", f"{stacked.members:,}", f"{count:,}", f"{seconds(stacked):.2f}", _micro(together)],
            ["one by one", f"{len(alone)}", f"{count:,}", f"{sum(map(seconds, alone)):.2f}", _micro(each)],
        ],
    )
    page.say(
        "",
        f"Stacked they are {each / together:.0f} times as fast. One by one is a sample: {len(alone)} networks, two "
        "seeds at each rate. Both are trained by the engine, to the last step of the log, without start-up and "
        "figures; both "
        "in one run of this program, with one thread.",
    )


def _count(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else f"> {LIMIT:,}"


def _micro(value: float) -> str:
    return f"{value * 1e6:.3g} µs"


def _time(run: Run, which: str) -> datetime:
    return datetime.fromisoformat(run.meta[which])
