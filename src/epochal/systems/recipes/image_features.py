"""image-features: the classifier through whose eyes generated images are compared with real ones.

Its pooled last activations are the features that FD, KID, precision and recall are measured on where no Inception
weights are at hand. It is trained on the labels of the data at hand, then frozen, and known by the hash of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.systems.recipes import _classifier as classifier
from epochal.training.schedules import one_cycle
from epochal.training.task import Batch, Metric, Optimiser, Phase, Recipe, Task, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Nets, Trained

NET = "classifier"
LABELLED = ("mnist", "cifar10")
"""Sources whose kind of data has one class an image."""
FITTED = 5000
"""Training images that mean and deviation of the channels are taken from."""


@dataclass(frozen=True)
class Net:
    """Size of the classifier."""

    width: Annotated[int, Interval(1, 256)] = 32
    """Number of channels of the first convolution; there are four times as many features."""
    halvings: Annotated[int, Interval(0, 4)] = 0
    """Strided convolutions before that one: 1 for images of about 64 pixels, 2 for about 120."""


@dataclass(frozen=True)
class Optim:
    """SGD with Nesterov's momentum 0.9 in one cycle: up over the first 30 % of the steps, then down to nothing."""

    lr: Annotated[float, Interval(0, open_low=True)] = 0.1
    """Highest learning rate."""
    weight_decay: Annotated[float, Interval(0)] = 5e-4
    """On the kernels and matrices; biases and norms are left alone."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 3
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 128
    """Items a step."""
    data: HeldOutDataSettings = field(default_factory=HeldOutDataSettings)
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier; how many outputs it has is the catalogue's word on the source.

    Raises:
        UsageError: a source without classes.
    """
    from epochal.errors import UsageError
    from epochal.systems import data
    from epochal.systems.data.catalogue import SOURCES
    from epochal.systems.nets.feature_classifier import FeatureClassifier

    source = SOURCES[data.resolve(settings.data.source, settings.data.dir)]
    kinds = {SOURCES[name].kind for name in LABELLED}
    if source.kind not in kinds:
        fitting = ", ".join(name for name, one in SOURCES.items() if one.kind in kinds)
        raise UsageError(
            f"The data source {source.name!r} has no classes of images, from which features are learned.",
            hint=f"Choose one of {fitting}.",
        )
    return {NET: FeatureClassifier(len(source.classes), settings.net.width, settings.net.halvings)}


def prepare(batch: Batch) -> Batch:
    """Images (B, H, W[, 3]) uint8 → x (B, 1 or 3, H, W) in [0, 1], and their labels."""
    images = batch["images"]
    x = images[:, None] if images.dim() == 3 else images.permute(0, 3, 1, 2)
    return Batch(x=x.float().div_(255), labels=batch["labels"].long())


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train."""
    found = read(settings)
    train = found.splits["train"]
    nets[NET].fit(train["images"][:FITTED])
    colour = train["images"].ndim == 4
    steps = classifier.total_steps(settings, len(train["images"]))

    def change(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        from epochal.systems.data import augment

        x = augment.crop(x, rng, pad=x.shape[-1] // 8)
        return augment.flip(x, rng) if colour else x  # digits do not mirror

    return Task(
        train={name: train[name] for name in ("images", "labels")},
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name=NET,
                trains=(NET,),
                loss=classifier.loss(NET, augment=change),
                optimiser=Optimiser(
                    "sgd",
                    lr=settings.optim.lr,
                    momentum=0.9,
                    nesterov=True,
                    weight_decay=settings.optim.weight_decay,
                    decay_on=lambda name, shape: len(shape) > 1,
                    schedule=one_cycle(steps),
                ),
                definition=classifier.definition(),
            )
        ],
        validate=classifier.validate(NET, found.splits.get("validation"), prepare),
        data=classifier.about(found),
    )


def read(settings: Settings) -> Dataset:
    """The labelled images."""
    from epochal.systems import data

    chosen = settings.data
    return data.load(chosen.source, folder=chosen.dir, limit=chosen.limit, hold_out=chosen.hold_out)


def evaluate(trained: Trained, split: str) -> Mapping[str, float]:
    """Accuracy with its interval, likelihood and calibration."""
    return classifier.evaluate(trained, NET, read(trained.settings), split, prepare)


RECIPE = Recipe(
    name="image-features",
    summary="classifier of small images whose features measure how good generated ones are",
    settings=Settings,
    versions=(Version("v1", change="a stem and three stages of strided and residual 3x3 convolutions"),),
    nets=nets,
    build=build,
    metrics=(Metric("accuracy", "higher", "share of test images read right", margin=0.002),),
    evaluate=evaluate,
    data="MNIST, CIFAR-10 or whatever has labels; drawn glyphs offline",
    sources=LABELLED,
    minutes=2.0,
)
