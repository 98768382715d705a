"""cnn-digits: reads handwritten digits with two conv–pool stages and two dense layers, in two structures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.systems.recipes import _classifier as classifier
from epochal.training.schedules import one_cycle
from epochal.training.task import Optimiser, Phase, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from epochal.training.task import Figure, Nets


@dataclass(frozen=True)
class Net:
    """Sizes of the classifier."""

    width: Annotated[int, Interval(1, 512)] = 16
    """Number of channels of the first stage; the second has twice as many."""
    convolutions: Annotated[int, Interval(1, 8)] = 1
    """Convolutions in each of the two stages."""
    kernel: Literal[1, 3, 5, 7] = 5
    """Height and width of the kernels."""
    batch_norm: bool = False
    """Batch norm after every convolution."""
    dense: Annotated[int, Interval(1, 8192)] = 128
    """Number of units of the hidden dense layer."""
    dropout: Annotated[float, Interval(0, 1, open_high=True)] = 0.3
    """Dropout before both dense layers."""


@dataclass(frozen=True)
class Optim:
    """Adam in one cycle: the learning rate rises over the first 30 % of the steps, then falls to nothing."""

    lr: Annotated[float, Interval(0, open_low=True)] = 3e-3
    """Highest learning rate."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 6
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 64
    """Items a step."""
    data: HeldOutDataSettings = field(default_factory=lambda: HeldOutDataSettings(hold_out=5000))
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        "v1",
        change="one 5x5 convolution a stage",
        reported={"train/accuracy": 0.998, "accuracy": 0.992},
        source="experiment log, cnn-digits",
    ),
    Version(
        "v2",
        parent="v1",
        change="two 3x3 convolutions with batch norm a stage: a lower training loss, for more time",
        patch={"net.convolutions": 2, "net.kernel": 3, "net.batch_norm": True},
        reported={"train/accuracy": 0.998, "accuracy": 0.991},
        source="experiment log, cnn-digits",
    ),
)


prepare = classifier.scale((0.0,), (1.0,))  # pixels in [0, 1]


def nets(settings: Settings) -> dict[str, Any]:
    """The classifier."""
    from epochal.systems.nets.digits_cnn import DigitsCNN

    net = settings.net
    return {
        "classifier": DigitsCNN(
            net.width,
            convolutions=net.convolutions,
            kernel=net.kernel,
            batch_norm=net.batch_norm,
            dense=net.dense,
            dropout=net.dropout,
        )
    }


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the digits and says how to train; the held-out ones choose the best epoch."""
    found = classifier.read(settings, "mnist")
    train = found.splits["train"]
    steps = classifier.total_steps(settings, len(train["labels"]))
    return Task(
        train={name: train[name] for name in ("images", "labels")},
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name="classifier",
                trains=("classifier",),
                loss=classifier.loss("classifier"),
                optimiser=Optimiser("adam", lr=settings.optim.lr, schedule=one_cycle(steps)),
                definition=classifier.definition(),
            )
        ],
        validate=classifier.validate("classifier", found.splits.get("validation"), prepare),
        keep_best=classifier.BEST,
        data=classifier.about(found),
    )


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Accuracy, likelihood and calibration on a split."""
    found = classifier.read(trained.settings, "mnist")
    return classifier.evaluate(trained, "classifier", found, split, prepare)


def figures(trained: Trained) -> dict[str, Figure]:
    """Confusion, calibration, the first layer's kernels, and the surest answers, on test images."""
    found = classifier.read(trained.settings, "mnist")
    return classifier.figures(trained, "classifier", found, prepare)


RECIPE = Recipe(
    name="cnn-digits",
    summary="reads handwritten digits: two conv–pool stages and two dense layers",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=classifier.METRICS,
    evaluate=evaluate,
    figures=figures,
    data="MNIST; drawn glyphs offline",
    sources=("mnist",),
    minutes=1.5,
)
