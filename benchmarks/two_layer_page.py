"""The page of two-layer: the course's toy, CIFAR-10 at the first settings, a grid, its winner, and a wider network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import records
from fleet_runs import Experiments, Missing, cells, made_with, picture
from results_page import Page, seconds, spread

import epochal
from epochal.journal import Lab, Run
from epochal.journal import members as roster
from epochal.journal.members import MemberRun
from epochal.report import figures
from epochal.systems.recipes.two_layer import RECIPE
from epochal.systems.scratch.two_layer import TwoLayerNet
from epochal.training.task import Batch, Curves, Trained

TOY_SEEDS, GRID_SEEDS, WIDE_SEEDS = 100, 6, 3
GRID = {"optim.lr": [5e-4, 1e-3, 2e-3], "optim.reg": [0.25, 0.5, 1.0]}
REPORTED_TOY, TOY_MARGIN, REPORTED_GRID = 0.017, 0.003, 0.462
LEAST_GRID, LEAST_WIDE = 0.46, 0.50
RATIO_STEPS = 190  # two epochs
REAL = {"data.source": "cifar10"}
ACCURACY = "validation/accuracy"


def page(lab: Lab, out: Path, *, only_found: bool) -> Page:
    """Trains what is missing, and writes everything down."""
    experiments = Experiments(lab, "two-layer", only_found=only_found)
    page = Page(
        "two-layer: the CS231n network on its toy data and on CIFAR-10",
        "OMP_NUM_THREADS=1 python benchmarks/scratch_results.py two-layer --lab LAB",
    )
    page.say(
        "The network of `epochal/systems/scratch/two_layer.py`: affine – ReLU – affine – softmax, cross-entropy + "
        "reg · (Σ W1² + Σ W2²), plain SGD with batches of 200 and a learning rate that decays from epoch to epoch, "
        "float32. Derivatives are checked against central differences and PyTorch, stacked networks against "
        "separate ones, in "
        "`tests/systems/scratch/test_two_layer.py`. The course draws every batch with replacement; here an epoch "
        "shuffles. The first 19,000 (or 49,000) training images train, the next 1,000 validate, and everything is "
        "chosen by these; the first 1,000 test images are read at the end.",
    )
    for part in (toy, first_settings, grid, winner, wide, ratio):
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


def toy(page: Page, experiments: Experiments, out: Path) -> None:
    """The course's own weights, and many seeds."""
    run = experiments.run("toy-seeds", "toy", seeds=TOY_SEEDS, threads=1)
    losses = np.array([member.line["final"]["loss"] for member in roster.of(run)])
    low, first, median, third, high = np.quantile(losses, [0.05, 0.25, 0.5, 0.75, 0.95])
    whole, (least, middle, most) = course_losses()
    page.section("Toy data: loss after 100 steps")
    page.table(
        ["initial weights", "batches", "n", "5 %", "25 %", "median", "75 %", "95 %"],
        [
            [
                f"seeds 0–{TOY_SEEDS - 1}",
                "all five samples",
                str(len(losses)),
                *(f"{value:.4f}" for value in (low, first, median, third, high)),
            ],
            ["the course's", "all five samples", "1", "–", "–", f"{whole:.4f}", "–", "–"],
            [
                "the course's",
                "200 drawn of the five, as the course does",
                "300",
                f"{least:.4f}",
                "–",
                f"{middle:.4f}",
                "–",
                f"{most:.4f}",
            ],
        ],
    )
    near = page.target(f"toy: median loss {median:.4f}", abs(median - REPORTED_TOY) <= TOY_MARGIN)
    own = page.target(f"toy: the course's weights {whole:.4f}", abs(whole - REPORTED_TOY) <= TOY_MARGIN)
    inside = np.mean(np.abs(losses - REPORTED_TOY) <= TOY_MARGIN)
    lower = np.mean(losses < REPORTED_TOY - TOY_MARGIN)
    page.say(
        "",
        f"Reported: about {REPORTED_TOY}. Within {REPORTED_TOY} ± {TOY_MARGIN}: the median over seeds: {near}; the "
        f"course's own initial weights: {own}; {inside:.0%} of the seeds, while {lower:.0%} end lower and "
        f"{1 - inside - lower:.0%} higher. The initial loss and scores that the course prints for its weights are "
        "reproduced to all their digits (a test), which settles that its penalty has no ½.",
    )


def course_losses() -> tuple[float, tuple[float, float, float]]:
    """Last loss from the course's own weights: on all samples, and 5 %, 50 %, 95 % over 300 ways to draw batches."""
    x = 10 * np.random.RandomState(1).randn(5, 4)
    y = np.array([0, 1, 2, 2, 1])

    def last_loss(rng: np.random.Generator | None) -> float:
        weights = np.random.RandomState(0)
        network = TwoLayerNet(4, 10, 3, std=0.1, lr=0.1, reg=5e-6, dtype="float64")
        network.W1[...] = 0.1 * weights.randn(4, 10)
        network.W2[...] = 0.1 * weights.randn(10, 3)
        for epoch in range(1, 101):
            drawn = np.arange(5) if rng is None else rng.integers(0, 5, 200)
            batch = Batch(x=x[drawn], y=y[drawn])
            batch.epoch = epoch
            loss = network.step(batch, np.random.default_rng(0))["loss"]
        return loss

    drawn = np.quantile([last_loss(np.random.default_rng(seed)) for seed in range(300)], [0.05, 0.5, 0.95])
    return last_loss(None), (float(drawn[0]), float(drawn[1]), float(drawn[2]))


def first_settings(page: Page, experiments: Experiments, out: Path) -> None:
    """100 steps at 1e-4."""
    run = experiments.run("first-settings", "cifar-first", seeds=GRID_SEEDS, patch=REAL, threads=1)
    members = roster.of(run)
    page.section("CIFAR-10, first settings: 100 steps, learning rate 1e-4, reg 0.25")
    accuracies(page, experiments, run, members)
    losses = [member.line["final"]["cross_entropy"] for member in members]
    page.say(
        "",
        "Training and validation accuracy are low together, and the cross-entropy of the last epoch is "
        f"{spread(losses)}, that of guessing log 10 = 2.3026: the network has hardly begun to learn. 100 steps "
        f"at this "
        "rate are far too few.",
    )


def accuracies(page: Page, experiments: Experiments, run: Run, members: Sequence[MemberRun]) -> None:
    """Training, validation and test accuracy over seeds."""
    tested = experiments.evaluated(run, "test")
    best = [max(v for _, v in member.epoch_values("validation")["accuracy"]) for member in members]
    page.table(
        ["measured", "accuracy, mean ± sd over seeds", "lowest", "highest"],
        [
            _measured(
                "training images, mean over the last epoch", [m.line["final"]["accuracy"] for m in members]
            ),
            _measured("validation, last step", [m.line["final"][ACCURACY] for m in members]),
            _measured("validation, best epoch", best),
            _measured("test, network of the best epoch", [one["accuracy"] for one in tested]),
        ],
    )
    widest = max(one["accuracy_high"] - one["accuracy_low"] for one in tested) / 2
    page.say(
        "",
        f"{tested[0]['images']:,.0f} test images; the 95 % interval (Wilson) of one network's test accuracy is "
        f"± {widest:.3f}. The best epoch is chosen by the validation images, whose accuracy there is therefore a "
        "little too high.",
    )


def _measured(what: str, values: Sequence[float]) -> list[str]:
    return [what, spread(values), f"{min(values):.4f}", f"{max(values):.4f}"]


def _grid(experiments: Experiments) -> Run:
    return experiments.run("grid", "grid", grid=GRID, seeds=GRID_SEEDS, patch=REAL, threads=1)


def grid(page: Page, experiments: Experiments, out: Path) -> None:
    """Validation accuracy of the nine cells."""
    run = _grid(experiments)
    found = {key: [m.line["final"][ACCURACY] for m in group] for key, group in cells(run, *GRID).items()}
    page.section(f"The grid: 2,000 steps, 3 learning rates x 3 penalties x {GRID_SEEDS} seeds, one command")
    page.say(
        "```",
        "epochal run two-layer grid "
        + " ".join(f"--grid {key}={','.join(f'{v:g}' for v in values)}" for key, values in GRID.items())
        + f" --seeds {GRID_SEEDS}",
        "```",
        "",
        "Validation accuracy at the last step, mean ± sd:",
        "",
    )
    page.table(
        ["learning rate", *(f"reg {reg:g}" for reg in GRID["optim.reg"])],
        [[f"{lr:g}", *(spread(found[lr, reg]) for reg in GRID["optim.reg"])] for lr in GRID["optim.lr"]],
    )
    lr, reg = best_cell(run)
    top = max(max(values) for values in found.values())
    met = page.target(f"grid: best validation accuracy {top:.4f}", top >= LEAST_GRID)
    mean = page.target(
        f"grid: best cell's mean {np.mean(found[lr, reg]):.4f}", np.mean(found[lr, reg]) >= LEAST_GRID
    )
    page.say(
        "",
        f"Best cell: learning rate {lr:g}, reg {reg:g}: {spread(found[lr, reg])}; reported as the best of a 3x3 "
        f"grid, "
        f"one network each: {REPORTED_GRID}. At least {LEAST_GRID} within 2,000 steps: best network {top:.4f}: "
        f"{met}; best "
        f"cell's mean: {mean}. {_edge(lr, reg)}All {run.members} networks took {seconds(run):.0f} s.",
        "",
        f"![Validation accuracy over the grid]({picture(run, 'grid', out, 'grid')})",
    )


def _edge(lr: float, reg: float) -> str:
    """A remark where a grid that reaches further might hold a better cell."""
    names = {"learning rate": (lr, GRID["optim.lr"]), "penalty": (reg, GRID["optim.reg"])}
    ends = [name for name, (chosen, values) in names.items() if chosen in (values[0], values[-1])]
    return f"It is at the end of the grid's {' and '.join(ends)}s. " if ends else ""


def best_cell(run: Run) -> tuple[float, float]:
    """Learning rate and penalty of the highest mean validation accuracy at the last step."""
    means = {
        key: np.mean([m.line["final"][ACCURACY] for m in group]) for key, group in cells(run, *GRID).items()
    }
    lr, reg = max(means, key=lambda key: means[key])
    return float(lr), float(reg)


def winner(page: Page, experiments: Experiments, out: Path) -> None:
    """The winning cell over seeds that had no part in choosing it."""
    lr, reg = best_cell(_grid(experiments))
    patch = {**REAL, "optim.lr": lr, "optim.reg": reg}
    run = experiments.run("winner", "grid", seed=GRID_SEEDS, seeds=GRID_SEEDS, patch=patch, threads=1)
    page.section(
        f"The winner again: learning rate {lr:g}, reg {reg:g}, seeds {GRID_SEEDS} to {2 * GRID_SEEDS - 1}"
    )
    accuracies(page, experiments, run, roster.of(run))
    page.say("", "These seeds had no part in choosing the cell.")


def wide(page: Page, experiments: Experiments, out: Path) -> None:
    """More hidden units and images."""
    run = experiments.run("wide-seeds", "wide", seeds=WIDE_SEEDS, patch=REAL, threads=1)
    members = roster.of(run)
    settings = run.settings
    page.section(
        f"Wider: {settings['net']['hidden']} hidden units, 49,000 images, learning rate {settings['optim']['lr']:g}, "
        f"decay {settings['optim']['decay']:g}, reg {settings['optim']['reg']:g}, {settings['epochs']} epochs"
    )
    accuracies(page, experiments, run, members)
    last = [member.line["final"][ACCURACY] for member in members]
    met = page.target(f"wide: validation accuracy {np.mean(last):.4f}", bool(np.mean(last) >= LEAST_WIDE))
    page.say(
        "", f"At least {LEAST_WIDE:.2f} on the validation images at the last step, mean over seeds: {met}."
    )
    history = Curves(
        {
            name: _mean_curve(members, split)
            for name, split in (("training", "train"), ("validation", "validation"))
        },
        title=f"Accuracy by epoch, mean of {len(members)} seeds",
        x_axis="epoch",
        y_axis="accuracy",
    )
    first = epochal.load(f"{run.id}#0", which="best", lab=experiments.lab)
    drawn = RECIPE.figures(Trained(first.settings, {"network": first.network}))["first_layer"]  # type: ignore[misc]
    for name, figure, what in (
        ("accuracy", history, "Training and validation accuracy by epoch"),
        ("first-layer", drawn, "First-layer weights of 64 hidden units as pictures"),
    ):
        target = out.parent / f"{out.stem}-{name}.png"
        figures.draw(figure, target, subtitle="two-layer wide, CIFAR-10")
        page.say("", f"![{what}]({target.name})")


def _mean_curve(members: Sequence[MemberRun], split: str) -> tuple[list[float], list[float]]:
    curves = [member.epoch_values(split)["accuracy"] for member in members]
    return [float(epoch) for epoch, _ in curves[0]], np.mean(
        [[v for _, v in one] for one in curves], 0
    ).tolist()


def ratio(page: Page, experiments: Experiments, out: Path) -> None:
    """Seconds a network and step, stacked and one by one, both by the engine."""
    patch: dict[str, Any] = {**REAL, "steps": RATIO_STEPS}
    stacked = experiments.run("stacked", "grid", grid=GRID, seeds=GRID_SEEDS, patch=patch, threads=1)
    alone = [
        experiments.run(
            f"alone-{lr:g}-{reg:g}",
            "grid",
            patch={**patch, "optim.lr": lr, "optim.reg": reg},
            threads=1,
        )
        for lr in GRID["optim.lr"]
        for reg in GRID["optim.reg"]
    ]
    together = seconds(stacked) / (stacked.members * RATIO_STEPS)
    each = sum(map(seconds, alone)) / (len(alone) * RATIO_STEPS)
    page.section("Stacked against one by one")
    page.table(
        ["", "networks", "steps each", "seconds", "a network and step"],
        [
            [
                "stacked",
                str(stacked.members),
                str(RATIO_STEPS),
                f"{seconds(stacked):.1f}",
                f"{together * 1e3:.2f} ms",
            ],
            [
                "one by one",
                str(len(alone)),
                str(RATIO_STEPS),
                f"{sum(map(seconds, alone)):.1f}",
                f"{each * 1e3:.2f} ms",
            ],
        ],
    )
    page.say(
        "",
        f"Stacked they are {each / together:.2f} times as fast. One by one is a sample: the nine cells of one seed. "
        "Both are trained by the engine, validation and checkpoints of two epochs included, in one run of this "
        "program, with one thread. A step is two large matrix products either way, which is why there is little "
        "to gain: the "
        "nine networks of a seed share the preparation of their batch, and their products are wider.",
    )
