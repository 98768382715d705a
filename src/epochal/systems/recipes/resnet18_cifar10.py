"""resnet18-cifar10: a strong quick baseline; one epoch, or thirty with stronger augmentation (`full`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from epochal.settings import Interval
from epochal.systems.recipes import _cifar10 as cifar10
from epochal.training.task import Recipe, Version


@dataclass(frozen=True)
class Net:
    """The network."""

    width: Annotated[int, Interval(1, 512)] = 64
    """Number of channels of the stem; the last stage has eight times as many."""


@dataclass(frozen=True)
class Optim(cifar10.Optim):
    """SGD with Nesterov's momentum on a one-cycle schedule."""

    name: cifar10.OptimiserName = "sgd"
    """Adam, or SGD with Nesterov's momentum."""
    lr: Annotated[float, Interval(0, open_low=True)] = 0.1
    """Largest learning rate."""
    weight_decay: Annotated[float, Interval(0)] = 5e-4
    """On the kernels and matrices; biases and norms are left alone."""
    schedule: cifar10.ScheduleName = "one-cycle"
    """Constant; half a cosine down to 0; or up and down again, for short trainings."""


@dataclass(frozen=True)
class Augment(cifar10.Augment):
    """Random changes of the training images, a whole batch at once on the device."""

    crop: Annotated[int, Interval(0, 16)] = 4
    """Pad so many zero pixels on each side and cut out 32x32 at a random place."""
    flip: bool = True
    """Mirror left and right with probability 1/2."""


@dataclass(frozen=True)
class Settings(cifar10.Settings):
    """Everything that can be set."""

    net: Net = field(default_factory=Net)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "full",
        parent="quick",
        change="30 epochs with cutout and smoothed labels, batch 512",
        patch={"epochs": 30, "batch_size": 512, "optim.lr": 0.4, "augment.cutout": 8, "loss.smoothing": 0.1},
        reported={"accuracy": 0.9302},
        source="kuangliu/pytorch-cifar, 200 epochs",
    ),
    # The last one is what `epochal run resnet18-cifar10` trains: minutes on two cores.
    Version("quick", change="one epoch of SGD on a one-cycle schedule, with random crops and flips"),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier."""
    from epochal.systems.nets.resnet import ResNet18

    return {cifar10.NET: ResNet18(width=settings.net.width)}


RECIPE = Recipe(
    name="resnet18-cifar10",
    summary="ResNet-18 on 32x32 colour images: a strong quick baseline",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    sources=("cifar10",),
    minutes=8.0,
    **cifar10.parts(),
)
