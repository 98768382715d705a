"""A recipe that trains in a blink: one linear layer learns a line. Tests drive the verbs with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.errors import EpochalError
from epochal.settings import Interval
from epochal.settings.common import DataSettings, RecipeSettings
from epochal.training.task import (
    Batch,
    ImageGrid,
    Metric,
    Optimiser,
    Phase,
    Recipe,
    Task,
    Trained,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from epochal.training.task import Nets


@dataclass(frozen=True)
class Loss:
    """The loss."""

    weight: Annotated[float, Interval(0, 1)] = 0.0
    """Weight of the squared slope."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the line."""

    epochs: Annotated[int, Interval(1)] = 2
    """Passes over the data."""
    data: DataSettings = field(default_factory=lambda: DataSettings(source="line"))
    loss: Loss = field(default_factory=Loss)
    lr: Annotated[float, Interval(0, open_low=True)] = 0.01
    """Learning rate."""
    fault: str = ""
    """"build" fails before the first step, "nan" at the third."""


@dataclass(frozen=True)
class Request:
    """What to draw."""

    shade: Annotated[int, Interval(0, 255)] = 100
    """Grey level."""
    n: Annotated[int, Interval(1, 64)] = 4
    """How many pictures."""


def nets(settings: Settings) -> dict[str, Any]:
    """One linear layer."""
    import torch

    return {"line": torch.nn.Linear(1, 1)}


def build(settings: Settings, nets: Nets) -> Task:
    """Sixty-four points on y = 2x."""
    import numpy as np

    if settings.fault == "build":
        raise OSError("the data file is truncated")
    x = np.linspace(-1, 1, 64, dtype=np.float32)[: settings.data.limit, None]
    steps = iter(range(1_000_000))

    def loss(
        nets: Nets, batch: Batch, rng: torch.Generator
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        error = (nets["line"](batch["x"]) - batch["y"]).square().mean()
        if settings.fault == "nan" and next(steps) >= 2:
            error = error * float("nan")
        return error + settings.loss.weight * nets["line"].weight.square().sum(), {"error": error}

    def validate(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        return {"slope_error": float((nets["line"].weight - 2).abs())}

    return Task(
        train={"x": x, "y": 2 * x},
        batch_size=settings.batch_size,
        phases=(
            Phase(
                "line",
                ("line",),
                loss,
                Optimiser(lr=settings.lr),
                f"mean (y - ŷ)² + {settings.loss.weight:g}·w²",
            ),
        ),
        validate=validate,
        keep_best=Metric("slope_error", "lower", "distance of the slope from 2"),
        data={"name": "line", "source": "computed", "drawn": True, "sha256": ""},
    )


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """How far the slope is off."""
    return {"slope_error": abs(float(trained.nets["line"].weight.detach()) - 2)}


def generate(trained: Trained, request: Request) -> ImageGrid:
    """Plain grey pictures."""
    import numpy as np

    images = np.full((1, request.n, 8, 8), request.shade, dtype=np.uint8)
    return ImageGrid(images, title=f"{request.n} of shade {request.shade}")


def predict(trained: Trained, path: Path, out: Path) -> dict[str, float | str]:
    """A file of numbers, one a line → their y."""
    try:
        numbers = [float(line) for line in path.read_text("utf-8").split()]
    except ValueError as error:
        raise EpochalError(f"{path} holds no numbers: {error}.") from error
    slope, shift = (float(p.detach()) for p in trained.nets["line"].parameters())
    with out.open("w", encoding="utf-8") as file:
        for x in numbers:
            if x < 0:
                raise EpochalError(f"{path}: {x:g} is below 0.", hint="The line is known from 0 on.")
            file.write(f"{slope * x + shift:.3f}\n")
    return {"numbers": len(numbers), "kind": "line"}


RECIPE = Recipe(
    name="line",
    summary="learns y = 2x",
    settings=Settings,
    versions=(
        Version("plain", change="the first one"),
        Version("decayed", change="a penalty on the slope", parent="plain", patch={"loss.weight": 0.1}),
    ),
    nets=nets,
    build=build,
    metrics=(Metric("slope_error", "lower", "distance of the slope from 2"),),
    evaluate=evaluate,
    generate=generate,
    request=Request,
    predict=predict,
    data="computed",
    minutes=0.01,
)
