"""rnn-scratch: the next value of a sine wave from the 50 before it, by a recurrent network in NumPy.

The network, with its formulas, is `epochal/systems/scratch/rnn.py`. Wave, windows, sizes, truncation and clipping are
those of a well-known course notebook: F. Shaikh, "Build a Recurrent Neural Network from Scratch in Python", Analytics
Vidhya, 2019. Its updates are not: there, those of the input and recurrent weights do not contain the error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.training.task import Curves, Metric, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from epochal.systems.scratch.rnn import RecurrentNetwork
    from epochal.training.task import Array, Figure, Nets


@dataclass(frozen=True)
class Wave:
    """The values sin(0), sin(step), sin(2·step), … and the windows cut from them."""

    points: Annotated[int, Interval(3)] = 200
    """Values of the wave."""
    step: Annotated[float, Interval(0, open_low=True)] = 1.0
    """Radians from one value to the next."""
    window: Annotated[int, Interval(1)] = 50
    """Values that a prediction is made from; a window begins at every value that leaves one to predict."""
    test: Annotated[int, Interval(1)] = 50
    """Windows kept for testing: the last ones."""


@dataclass(frozen=True)
class Net:
    """The network's size and beginning."""

    hidden: Annotated[int, Interval(1, 4096)] = 100
    """Hidden units."""
    start: Literal["positive", "scaled"] = "positive"
    """Initial weights: uniform in 0 … 1 as in the notebook, or in ±1/√hidden."""


@dataclass(frozen=True)
class Optim:
    """Gradient descent with clipped, truncated gradients."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-4
    """Learning rate."""
    bptt: Annotated[int, Interval(1)] = 5
    """Time steps that the error flows back through."""
    clip: Annotated[float, Interval(0, open_low=True)] = 10.0
    """Largest size of each number of the gradient; larger ones are cut to it."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 25
    """Passes over the training windows in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 1
    """Windows a step, in their order in the wave."""
    clip_grad_norm: float | None = None
    """Refused: each number of the gradient is clipped instead (--optim.clip)."""
    wave: Wave = field(default_factory=Wave)
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "notebook", change="100 tanh units with positive weights, 25 epochs at a learning rate of 0.0001"
    ),
    Version(
        "log",
        parent="notebook",
        change="learning rate 0.001, 1,000 epochs",
        patch={"optim.lr": 1e-3, "epochs": 1000},
        reported={"train/loss": 0.056, "rmse": 0.19},
        source="coursework log: 5.6 summed over the training windows, here a hundredth; 0.19 on the test windows, "
        "read as the RMSE that the notebook ends with",
    ),
    Version(
        "scaled",
        parent="log",
        change="weights drawn in ±0.1 instead of 0 … 1: tanh no longer saturates",
        patch={"net.start": "scaled"},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    from epochal.systems.scratch.rnn import RecurrentNetwork

    if settings.clip_grad_norm is not None:
        raise UsageError(
            f"clip_grad_norm = {settings.clip_grad_norm:g}: rnn-scratch clips each number of its gradient instead.",
            hint="Set --optim.clip.",
        )
    optim = settings.optim
    return {
        "network": RecurrentNetwork(
            settings.net.hidden, lr=optim.lr, bptt=optim.bptt, clip=optim.clip, start=settings.net.start
        )
    }


def windows(settings: Settings) -> dict[str, dict[str, Array]]:
    """The splits "train" and "test", each with windows x (n, window) and the values y (n,) that follow them.

    Raises:
        UsageError: another source than the wave, or a wave too short for a training window.
    """
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    wave = settings.wave
    if settings.data.source not in ("auto", "sine"):
        raise UsageError(
            f"data.source = {settings.data.source!r}: rnn-scratch learns a sine wave.",
            hint="Leave it at auto.",
        )
    count = wave.points - wave.window - wave.test
    if count < 1:
        raise UsageError(
            f"wave.points = {wave.points} leaves no training window: windows of {wave.window} values and "
            f"{wave.test} for testing need more than {wave.window + wave.test}.",
            hint="Raise --wave.points, or lower --wave.window or --wave.test.",
        )
    values = np.sin(wave.step * np.arange(wave.points))
    x, y = sliding_window_view(values[:-1], wave.window), values[wave.window :]
    kept = min(count, settings.data.limit or count)
    return {"train": {"x": x[:kept], "y": y[:kept]}, "test": {"x": x[count:], "y": y[count:]}}


def build(settings: Settings, nets: Nets) -> Task:
    """One window after the other, in their order; the test windows are looked at but choose nothing."""
    columns = windows(settings)
    test = columns["test"]

    def validate(nets: Nets, rng: Any) -> dict[str, float]:
        return {"loss": nets["network"].loss(test["x"], test["y"])}

    return Task(
        train=columns["train"],
        batch_size=settings.batch_size,
        shuffle=False,
        stepper=nets["network"],
        definition="mean over windows of ½ (prediction - value)²",
        validate=validate,
        data={"name": "sine", "source": f"sin({settings.wave.step:g} t), computed", "drawn": False},
    )


METRICS = (
    Metric("loss", "lower", "mean over windows of ½ (prediction - value)²", margin=1e-3),
    Metric("loss_sum", "lower", "the same, summed over the windows", margin=0.1),
    Metric("rmse", "lower", "root of the mean squared error of a prediction", margin=0.01),
    Metric(
        "free_run_rmse",
        "lower",
        "the same where, from the split's first window on, predictions are read instead of the wave",
        margin=0.01,
    ),
)


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Losses per window and summed, and the error of a free run, on the training or the test windows.

    Raises:
        UsageError: another split.
    """
    import numpy as np

    splits = windows(trained.settings)
    if split not in splits:
        raise UsageError(f"rnn-scratch has no split {split!r}.", hint=f"Choose {' or '.join(splits)}.")
    x, y = splits[split]["x"], splits[split]["y"]
    network: RecurrentNetwork = trained.nets["network"]
    loss = network.loss(x, y)
    return {
        "loss": loss,
        "loss_sum": loss * len(y),
        "rmse": float(np.sqrt(2 * loss)),
        "free_run_rmse": float(np.sqrt(np.mean((network.free_run(x[0], len(y)) - y) ** 2))),
    }


def figures(trained: Trained) -> dict[str, Figure]:
    """What is predicted for the test windows, each from the wave, or from earlier predictions."""
    network: RecurrentNetwork = trained.nets["network"]
    test = windows(trained.settings)["test"]
    times = list(range(trained.settings.wave.points - len(test["y"]), trained.settings.wave.points))
    return {
        "prediction": Curves(
            {
                "wave": (times, test["y"].tolist()),
                "one step ahead": (times, network.predict(test["x"]).tolist()),
                "free run": (times, network.free_run(test["x"][0], len(times)).tolist()),
            },
            title="Test values of the sine wave, and their predictions",
            x_axis=f"place in the wave, steps of {trained.settings.wave.step:g} radian",
            y_axis="value of the wave",
        )
    }


RECIPE = Recipe(
    name="rnn-scratch",
    summary="predicts a sine wave: a recurrent network in NumPy, every derivative by hand",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=METRICS,
    evaluate=evaluate,
    figures=figures,
    data="a sine wave, computed",
    minutes=2.6,
)
