"""digit-judge: the classifier that says whether a generated digit is the one asked for.

It never sees a test image while training, and no generated one; its own test accuracy bounds what it can tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.training.task import Batch, Metric, Optimiser, Phase, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.training.task import Nets


@dataclass(frozen=True)
class Net:
    """Size of the classifier."""

    width: Annotated[int, Interval(1, 512)] = 16
    """Number of channels of the first convolution; the second and third have two and four times as many."""
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.3
    """Dropout before the last layer."""


@dataclass(frozen=True)
class Optim:
    """Adam, its learning rate falling linearly to zero."""

    lr: Annotated[float, Interval(0, open_low=True)] = 3e-3
    """Learning rate at the first step."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 8
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 128
    """Items a step."""
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier."""
    from epochal.systems.nets.digit_classifier import DigitClassifier

    return {"classifier": DigitClassifier(settings.net.width, settings.net.dropout)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the digits and says how to train."""
    import torch.nn.functional as F

    from epochal.systems import data

    found = data.load(settings.data.source, folder=settings.data.dir, limit=settings.data.limit)
    train = found.splits["train"]
    steps = settings.epochs * math.ceil(len(train["labels"]) / settings.batch_size)

    def prepare(batch: Batch) -> Batch:
        return Batch(x=batch["images"].float().div_(255), labels=batch["labels"].long())

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        logits = nets["classifier"](batch["x"])
        right = (logits.detach().argmax(1) == batch["labels"]).float().mean()
        return F.cross_entropy(logits, batch["labels"]), {"accuracy": right}

    return Task(
        train={"images": train["images"][:, None], "labels": train["labels"]},
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name="classifier",
                trains=("classifier",),
                loss=loss,
                optimiser=Optimiser(
                    lr=settings.optim.lr, schedule=lambda step, epoch: max(1 - step / steps, 0.0)
                ),
                definition="mean over images of cross-entropy, nats",
            )
        ],
        data={"name": found.name, "source": found.origin, "drawn": found.drawn, "sha256": found.sha256},
    )


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Accuracy on a split, with its 95 % interval."""
    import torch

    from epochal.evidence.metrics import labels as measure
    from epochal.systems import data

    settings = trained.settings
    columns = data.load(settings.data.source, folder=settings.data.dir, limit=settings.data.limit).splits[
        split
    ]
    images = torch.from_numpy(columns["images"])[:, None]
    answers = torch.from_numpy(columns["labels"]).long()

    def classify(x: Any) -> Any:
        with torch.no_grad():
            return trained.nets["classifier"](x.to(trained.device).float() / 255)

    read = measure.measure(zip(images.split(500), answers.split(500), strict=True), classify)
    return {"accuracy": read.accuracy, "accuracy_low": read.low, "accuracy_high": read.high}


RECIPE = Recipe(
    name="digit-judge",
    summary="classifier of digits, kept aside to judge what generators draw",
    settings=Settings,
    versions=(Version("v1", change="three convolutions with batch norm, two dense layers"),),
    nets=nets,
    build=build,
    metrics=(Metric("accuracy", "higher", "share of test images read right", margin=0.001),),
    evaluate=evaluate,
    data="MNIST; drawn glyphs offline",
    sources=("mnist",),
    minutes=1.0,
)
