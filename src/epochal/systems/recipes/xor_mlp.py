"""xor-mlp: the smallest task that needs a hidden layer, and how its learning rate decides how long it takes.

    epochal run xor-mlp v1 --seeds 4                                    four runs end at four losses
    epochal run xor-mlp until --grid optim.lr=0.5,0.1,0.01 --seeds 1000      iterations until the loss is < 0.02

The network, with its formulas, is `epochal/systems/scratch/xor_mlp.py`. An epoch is 1,000 iterations: one pass over
the four rows would be too short to log.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.training.task import Curves, Matrix, Member, Metric, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epochal.systems.scratch.xor_mlp import XorMLP, XorMLPFleet
    from epochal.training.task import Array, Figure, Nets

ITERATIONS = 1_000
"""Iterations of gradient descent that are called an epoch."""

REPORTED = {0.5: 854, 0.1: 3_268, 0.01: 32_391}
"""Iterations until the loss is below 0.02 by learning rate: one network each, in the coursework log."""

LABELS = ("0 xor 0", "0 xor 1", "1 xor 0", "1 xor 1")


@dataclass(frozen=True)
class Net:
    """The network's size and beginning."""

    hidden: Annotated[int, Interval(1, 1000)] = 4
    """Hidden units."""
    init: Literal["normal", "zeros"] = "normal"
    """Initial weights and biases: drawn from N(0, 1), or all zero."""


@dataclass(frozen=True)
class Optim:
    """Gradient descent."""

    lr: Annotated[float, Interval(0, open_low=True)] = 0.1
    """Learning rate."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 4
    """Epochs of 1,000 iterations each in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 4
    """Rows an iteration, in the order of the table; 4 are all."""
    clip_grad_norm: float | None = None
    """Refused: xor-mlp takes its gradients as they are."""
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "v1", change="2 – 4 – 1 sigmoid units, half the sum of squared errors, 4 epochs of 1,000 iterations"
    ),
    Version(
        "zeros",
        parent="v1",
        change="all weights and biases begin at zero, so that every hidden unit stays like the others",
        patch={"net.init": "zeros"},
    ),
    Version(
        "until",
        parent="v1",
        change="trained until the loss is below 0.02, for 100,000 iterations at most",
        patch={"epochs": 100, "stop.loss": 0.02},
        reported={f"iterations at lr {lr:g}": count for lr, count in REPORTED.items()},
        source="coursework log, one network a rate",
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    return {"network": _network(settings)}


def _network(settings: Settings) -> XorMLP:
    from epochal.systems.scratch.xor_mlp import XorMLP

    if settings.clip_grad_norm is not None:
        raise UsageError(
            f"clip_grad_norm = {settings.clip_grad_norm:g}: xor-mlp takes its gradients as they are.",
            hint="Leave it at none.",
        )
    return XorMLP(settings.net.hidden, settings.optim.lr, settings.net.init)


def build(settings: Settings, nets: Nets) -> Task:
    """The four rows, all of them in every iteration."""
    from epochal.systems.scratch.xor_mlp import ROWS, TARGETS

    if settings.data.source != "auto":
        raise UsageError(
            f"data.source = {settings.data.source!r}: xor-mlp learns the four rows of XOR.",
            hint="Leave it at auto.",
        )
    rows = slice(settings.data.limit)
    return Task(
        train={"x": ROWS[rows], "t": TARGETS[rows]},
        batch_size=settings.batch_size,
        shuffle=False,
        repeat=ITERATIONS,
        stepper=nets["network"],
        definition="half the sum over rows of (output - target)²",
        data={"name": "xor", "source": "the four rows", "drawn": False},
    )


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Loss, rows answered right, and the output for each row. There are only these four: they are every split."""
    from epochal.systems.scratch.xor_mlp import ROWS, TARGETS

    network: XorMLP = trained.nets["network"]
    _, y = network.forward(ROWS)
    outputs = {f"output_{int(a)}{int(b)}": float(one) for (a, b), one in zip(ROWS, y[:, 0], strict=True)}
    right = ((y > 0.5) == (TARGETS > 0.5)).mean()
    return {"loss": network.gradients(ROWS, TARGETS)[0], "right": float(right), **outputs}


def figures(trained: Trained) -> dict[str, Figure]:
    """The output over the plane, and what every unit answers to every row."""
    import numpy as np

    from epochal.systems.scratch.xor_mlp import ROWS, TARGETS

    network: XorMLP = trained.nets["network"]
    low, high, n = -0.5, 1.5, 201
    across = low + (np.arange(n) + 0.5) * (high - low) / n  # the middles of the cells
    plane = np.stack(np.meshgrid(across, across[::-1]), axis=-1)  # the first row is the topmost: largest x2
    surface = network.forward(plane.reshape(-1, 2))[1].reshape(n, n)
    h, y = network.forward(ROWS)
    one = TARGETS[:, 0] == 1
    return {
        "decision": Matrix(
            surface,
            title=f"Output of the network over the plane of its inputs: {_range(surface)}",
            row_axis="second input",
            column_axis="first input",
            unit="output",
            scale=(0, 1),
            contour=0.5,
            extent=(low, high, low, high),
            points={
                "target 0": (ROWS[~one, 0].tolist(), ROWS[~one, 1].tolist()),
                "target 1": (ROWS[one, 0].tolist(), ROWS[one, 1].tolist()),
            },
        ),
        "outputs": Matrix(
            np.concatenate([h, y, TARGETS], axis=1),
            title="Activation of every unit for every row of the XOR table",
            rows=list(LABELS),
            columns=[*(f"hidden {i}" for i in range(1, h.shape[1] + 1)), "output", "target"],
            row_axis="row of the table",
            column_axis="unit",
            unit="activation",
            scale=(0, 1),
            write="{:.2f}" if h.shape[1] <= 8 else "",
        ),
    }


def _range(surface: Array) -> str:
    """Between which values a surface lies, in words: a network that answers nothing looks like a picture gone wrong."""
    low, high = f"{surface.min():.3f}", f"{surface.max():.3f}"
    return f"{low} everywhere" if low == high else f"{low} to {high}"


def stack(settings: Sequence[Settings], seed_index: Sequence[int]) -> XorMLPFleet:
    """The networks of these settings as one."""
    from epochal.systems.scratch.xor_mlp import XorMLPFleet

    return XorMLPFleet([_network(one) for one in settings], seed_index)


def fleet_figures(members: Sequence[Member]) -> dict[str, Figure]:
    """How many networks got below `stop.loss` after how many iterations; without such a stop, their last losses.

    A network that did not get there counts among those that there are: its line never reaches all of them.
    """
    groups: dict[tuple[str, float], list[Member]] = defaultdict(list)
    for member in members:
        groups[member.settings.net.init, member.settings.optim.lr].append(member)
    several = len({init for init, _ in groups}) > 1
    begun = {"normal": ", drawn weights", "zeros": ", weights of zero"}
    named = {
        f"learning rate {lr:g}{begun[init] if several else ''}": group
        for (init, lr), group in sorted(groups.items(), key=lambda item: (item[0][0], -item[0][1]))
    }
    wanted = members[0].settings.stop.loss
    if wanted is None:
        return {"losses": _last_losses(named)}
    hidden, start = members[0].settings.net.hidden, members[0].settings.net.init
    as_reported = wanted == 0.02 and hidden == 4 and start == "normal" and not several
    return {"iterations": _iterations(named, wanted, {lr for _, lr in groups} if as_reported else set())}


def _iterations(named: dict[str, list[Member]], wanted: float, rates: set[float]) -> Curves:
    """Share of networks below the loss over iterations, a line a group; reported numbers of `rates` upon theirs."""
    soonest = min(member.steps for group in named.values() for member in group)
    series, marks = {}, {}
    for name, group in named.items():
        counts = sorted(member.steps for member in group if member.reached)
        series[name] = _staircase(counts, len(group), soonest / 2, max(member.steps for member in group))
        lr = group[0].settings.optim.lr
        if lr in rates and lr in REPORTED:
            sooner = sum(count <= REPORTED[lr] for count in counts)
            marks[f"reported at {lr:g}: {REPORTED[lr]:,}"] = (float(REPORTED[lr]), sooner / len(group))
    return Curves(
        series,
        title=f"Share of networks whose loss got below {wanted:g} within so many iterations",
        x_axis="iterations of gradient descent",
        y_axis="share of networks",
        log_x=True,
        marks=marks,
    )


def _last_losses(named: dict[str, list[Member]]) -> Curves:
    """Share of networks whose last loss is at most so large, a line a group."""
    found = {
        name: sorted(member.final["loss"] for member in group if "loss" in member.final)
        for name, group in named.items()
    }
    every = [loss for losses in found.values() for loss in losses] or [0.0]
    low, high = min(every), max(every)
    return Curves(
        {name: _staircase(losses, len(named[name]), low, high) for name, losses in found.items() if losses},
        title="Share of networks that ended at a loss of so much or less",
        x_axis="loss, mean of the last 1,000 iterations",
        y_axis="share of networks",
        log_x=low > 0 and high > 10 * low,
    )


def _staircase(
    values: Sequence[float], count: int, start: float, end: float
) -> tuple[list[float], list[float]]:
    """x and y of the share of `count` members whose value (ascending) is at most x, from `start` to `end`."""
    x, y = [start], [0.0]
    for i, value in enumerate(values):
        x += [value, value]
        y += [i / count, (i + 1) / count]
    return [*x, end], [*y, len(values) / count]


RECIPE = Recipe(
    name="xor-mlp",
    summary="XOR by four hidden units in NumPy, every derivative by hand; thousands of networks at once",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=(
        Metric("loss", "lower", "half the sum over the four rows of squared errors", margin=0.001),
        Metric("right", "higher", "share of rows on the right side of one half"),
    ),
    evaluate=evaluate,
    figures=figures,
    stack=stack,
    stackable=("optim.lr", "net.init"),
    fleet_figures=fleet_figures,
    data="the four rows of XOR",
    minutes=0.1,
)
