"""vgg16-cifar10: VGG-16 for 32x32 images, one epoch as logged, with batch norm, and the full schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from epochal.settings import Interval
from epochal.systems.recipes import _cifar10 as cifar10
from epochal.training.task import Recipe, Version


@dataclass(frozen=True)
class Net:
    """The network."""

    batch_norm: bool = False
    """Batch norm after every convolution."""
    dense: Annotated[int, Interval(0, 8192)] = 0
    """Number of units of two hidden dense layers with dropout (4,096 in the original); 0: a single linear layer."""
    width: Annotated[float, Interval(0, 4, open_low=True)] = 1.0
    """Factor on the channels of every stage (1: the 64 to 512 of VGG-16); not a number of channels."""


@dataclass(frozen=True)
class Settings(cifar10.Settings):
    """Everything that can be set."""

    net: Net = field(default_factory=Net)


VERSIONS = (
    Version(
        "log", change="as logged: no batch norm, one epoch at learning rate 0.001 (Adam assumed), batch 100"
    ),
    Version(
        "full",
        parent="bn",
        change="200 epochs of SGD on a cosine, with random crops and flips",
        patch=cifar10.FULL,
        reported={"accuracy": 0.9264},
        source="kuangliu/pytorch-cifar, 200 epochs",
    ),
    # The last one is what `epochal run vgg16-cifar10` trains: minutes on two cores.
    Version(
        "bn",
        parent="log",
        change="batch norm after every convolution: without it 13 layers hardly train at this rate",
        patch={"net.batch_norm": True},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier."""
    from epochal.systems.nets.vgg import VGG16

    net = settings.net
    return {cifar10.NET: VGG16(batch_norm=net.batch_norm, dense=net.dense, width=net.width)}


RECIPE = Recipe(
    name="vgg16-cifar10",
    summary="VGG-16 for 32x32 colour images, with and without batch norm",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    sources=("cifar10",),
    minutes=5.0,
    **cifar10.parts(),
)
