"""What the CIFAR-10 recipes share: settings of data, augmentation, loss and optimiser, and how they become a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.systems.recipes import _classifier as classifier
from epochal.training import schedules
from epochal.training.task import Optimiser, Phase, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from epochal.training.task import Figure, Nets, Trained

NET = "classifier"
OptimiserName = Literal["adam", "sgd"]
ScheduleName = Literal["constant", "cosine", "one-cycle"]
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of each channel over the 50,000 training images, pixels in [0, 1]."""


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images, a whole batch at once on the device."""

    crop: Annotated[int, Interval(0, 16)] = 0
    """Pad so many zero pixels on each side and cut out 32x32 at a random place."""
    flip: bool = False
    """Mirror left and right with probability 1/2."""
    cutout: Annotated[int, Interval(0, 32)] = 0
    """Blank a square of this side at a random place (DeVries and Taylor 2017)."""


@dataclass(frozen=True)
class Loss:
    """Cross-entropy."""

    smoothing: Annotated[float, Interval(0, 1, open_high=True)] = 0.0
    """Share of each label that is spread evenly over all classes (Szegedy et al. 2016)."""


@dataclass(frozen=True)
class Optim:
    """Optimiser and learning-rate schedule."""

    name: OptimiserName = "adam"
    """Adam, or SGD with Nesterov's momentum."""
    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Largest learning rate."""
    momentum: Annotated[float, Interval(0, 1, open_high=True)] = 0.9
    """Of SGD."""
    weight_decay: Annotated[float, Interval(0)] = 0.0
    """On the kernels and matrices; biases and norms are left alone."""
    schedule: ScheduleName = "constant"
    """Constant as logged; half a cosine down to 0; or up and down again, for short trainings."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """What every CIFAR-10 recipe can be told besides its network."""

    batch_size: Annotated[int, Interval(1)] = 100
    """Items a step."""
    data: HeldOutDataSettings = field(default_factory=HeldOutDataSettings)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)


FULL = {
    "augment.crop": 4,
    "augment.flip": True,
    "optim.name": "sgd",
    "optim.lr": 0.1,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "cosine",
    "batch_size": 128,
    "epochs": 200,
}
"""The schedule with which the published accuracies were reached (kuangliu/pytorch-cifar)."""


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train."""
    found = classifier.read(settings, wanted="cifar10")
    prepare = classifier.scale(MEAN, DEVIATION)
    smoothing = settings.loss.smoothing
    return Task(
        train=found.splits["train"],
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name=NET,
                trains=(NET,),
                loss=classifier.loss(NET, smoothing=smoothing, augment=augmentation(settings.augment)),
                optimiser=optimiser(settings, len(found.splits["train"]["labels"])),
                definition=classifier.definition(smoothing=smoothing),
            )
        ],
        validate=classifier.validate(NET, found.splits.get("validation"), prepare),
        keep_best=classifier.BEST,
        data=classifier.about(found),
    )


def augmentation(wanted: Augment) -> Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None:
    """The changes in the order crop, flip, cutout; None for none."""
    if not (wanted.crop or wanted.flip or wanted.cutout):
        return None

    def change(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        from epochal.systems.data import augment

        if wanted.crop:
            x = augment.crop(x, rng, pad=wanted.crop)
        if wanted.flip:
            x = augment.flip(x, rng)
        if wanted.cutout:
            x = augment.cutout(x, rng, size=wanted.cutout)
        return x

    return change


def optimiser(settings: Settings, items: int) -> Optimiser:
    """The optimiser with its schedule over the whole training on `items` images."""
    wanted, steps = settings.optim, classifier.total_steps(settings, items)
    schedule = None
    if wanted.schedule == "cosine":
        schedule = schedules.cosine(steps)
    elif wanted.schedule == "one-cycle":
        schedule = schedules.one_cycle(steps)
    return Optimiser(
        wanted.name,
        lr=wanted.lr,
        momentum=wanted.momentum,
        nesterov=wanted.momentum > 0,
        weight_decay=wanted.weight_decay,
        decay_on=lambda name, shape: len(shape) > 1,
        schedule=schedule,
    )


def evaluate(trained: Trained, split: str) -> Mapping[str, float]:
    """Accuracy with its interval, top-5, likelihood and calibration on a split."""
    found = classifier.read(trained.settings, wanted="cifar10")
    return classifier.evaluate(trained, NET, found, split, classifier.scale(MEAN, DEVIATION))


def figures(trained: Trained) -> dict[str, Figure]:
    """Confusion, calibration, first-layer filters, and the surest answers."""
    found = classifier.read(trained.settings, wanted="cifar10")
    return classifier.figures(trained, NET, found, classifier.scale(MEAN, DEVIATION))


def parts() -> dict[str, Any]:
    """What their `Recipe`s have in common."""
    return {
        "build": build,
        "metrics": classifier.METRICS,
        "evaluate": evaluate,
        "figures": figures,
        "data": "CIFAR-10; drawn shapes offline",
    }
