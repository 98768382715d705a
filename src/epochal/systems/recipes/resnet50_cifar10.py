"""resnet50-cifar10: the logged ResNet-50, which shrinks a 32x32 image to 2x2, beside the one made for such images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from epochal.settings import Interval
from epochal.systems.recipes import _cifar10 as cifar10
from epochal.training.task import Recipe, Version


@dataclass(frozen=True)
class Net:
    """The network."""

    variant: Literal["log", "standard"] = "log"
    """As logged (7x7 stride-2 stem, max-pooling, stages 3/4/6, no ReLU inside a block), or with a 3x3 stem and
    stages 3/4/6/3."""
    width: Annotated[int, Interval(1, 512)] = 64
    """Number of channels of the stem; the last stage has 16 (log) or 32 times as many."""


@dataclass(frozen=True)
class Settings(cifar10.Settings):
    """Everything that can be set."""

    net: Net = field(default_factory=Net)


VERSIONS = (
    Version("log", change="as logged: one epoch at learning rate 0.001 (Adam assumed), batch 100"),
    Version(
        "full",
        parent="standard",
        change="200 epochs of SGD on a cosine, with random crops and flips",
        patch=cifar10.FULL,
        reported={"accuracy": 0.9362},
        source="kuangliu/pytorch-cifar, 200 epochs",
    ),
    # The last one is what `epochal run resnet50-cifar10` trains: one epoch.
    Version(
        "standard",
        parent="log",
        change="the ResNet-50 for small images: 3x3 stem, no early pooling, a fourth stage, ReLUs in the blocks",
        patch={"net.variant": "standard"},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier."""
    from epochal.systems.nets.resnet import LoggedResNet50, ResNet50

    variant = LoggedResNet50 if settings.net.variant == "log" else ResNet50
    return {cifar10.NET: variant(width=settings.net.width)}


RECIPE = Recipe(
    name="resnet50-cifar10",
    summary="ResNet-50 on 32x32 colour images: as logged, and as made for such images",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    sources=("cifar10",),
    minutes=25.0,
    **cifar10.parts(),
)
