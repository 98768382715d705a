"""cnn-scratch: reads handwritten digits with a convolutional network in NumPy, its derivatives written by hand.

The network, layer by layer with its formulas, is `epochal/systems/scratch/cnn.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.systems.recipes import _classifier as classifier
from epochal.training.task import Batch, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from epochal.training.task import Array, Figure, Nets


@dataclass(frozen=True)
class Net:
    """Sizes of the network."""

    first: Annotated[int, Interval(1, 512)] = 16
    """Number of kernels, and so of output channels, of the first convolution."""
    second: Annotated[int, Interval(1, 512)] = 32
    """Number of kernels, and so of output channels, of the second convolution."""


@dataclass(frozen=True)
class Optim:
    """Adam, with the learning rate lr / (1 + decay·step)."""

    lr: Annotated[float, Interval(0, open_low=True)] = 5e-3
    """Learning rate at the first step."""
    decay: Annotated[float, Interval(0)] = 1e-3
    """Decay of the learning rate a step: with 938 steps an epoch it halves in the first one."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 3
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 64
    """Items a step."""
    data: HeldOutDataSettings = field(default_factory=HeldOutDataSettings)
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    from epochal.systems.scratch.cnn import ConvolutionalNetwork

    return {
        "network": ConvolutionalNetwork(
            (settings.net.first, settings.net.second),
            lr=settings.optim.lr,
            decay=settings.optim.decay,
            clip_norm=settings.clip_grad_norm,
        )
    }


def prepare(batch: Batch) -> Batch:
    """Images (B, 28, 28) uint8 → x (B, 28, 28, 1) float32 from 0 to 1."""
    return Batch(x=batch["images"].astype("float32")[..., None] / 255, labels=batch["labels"])


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the digits and says how to train; held-out ones, where there are any, choose the best epoch."""
    found = classifier.read(settings, "mnist")
    train, watched = found.splits["train"], found.splits.get("validation")

    def validate(nets: Nets, rng: Any) -> dict[str, float]:
        from epochal.evidence.metrics import classification

        assert watched is not None
        read = classification.measure(scores(nets["network"], watched))
        return {"accuracy": read.top1, "loss": read.nll}

    return Task(
        train={name: train[name] for name in ("images", "labels")},
        batch_size=settings.batch_size,
        prepare=prepare,
        stepper=nets["network"],
        definition=classifier.definition(),
        validate=None if watched is None else validate,
        keep_best=classifier.BEST,
        data=classifier.about(found),
    )


def scores(network: Any, columns: Mapping[str, Array]) -> Iterator[tuple[Array, Array]]:
    """Scores (B, 10) and labels (B,) of all items, batch by batch, in stored order."""
    for start in range(0, len(columns["labels"]), classifier.CHUNK):
        part = {name: columns[name][start : start + classifier.CHUNK] for name in ("images", "labels")}
        yield network.scores(prepare(Batch(part))["x"]), part["labels"]


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Accuracy with its 95 % interval, likelihood and calibration on a split."""
    columns = classifier.split_of(classifier.read(trained.settings, "mnist"), split)
    return classifier.quality(scores(trained.nets["network"], columns))


def figures(trained: Trained) -> dict[str, Figure]:
    """Confusion, calibration and the surest answers on test images, and the first layer's kernels."""
    network = trained.nets["network"]
    found = classifier.read(trained.settings, "mnist")
    kernels = network.weights["conv1.w"].transpose(3, 2, 0, 1)  # (3, 3, 1, O) → (O, 1, 3, 3)
    return {
        **classifier.answers(found, list(scores(network, found.splits["test"]))),
        "first_layer": classifier.filters(kernels),
    }


RECIPE = Recipe(
    name="cnn-scratch",
    summary="reads handwritten digits: two convolutions in NumPy, every derivative by hand",
    settings=Settings,
    versions=(Version("v1", change="conv 3x3 – ReLU – max-pool, twice; dense; softmax; Adam"),),
    nets=nets,
    build=build,
    metrics=classifier.METRICS,
    evaluate=evaluate,
    figures=figures,
    data="MNIST; drawn glyphs offline",
    sources=("mnist",),
    minutes=2.0,
)
