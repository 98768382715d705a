"""two-layer: affine – ReLU – affine – softmax with L2, the network of CS231n's first assignment.

    epochal run two-layer toy                                       five samples, learnt by heart
    epochal run two-layer cifar-first                               100 steps at a learning rate that is too low
    epochal run two-layer grid --grid optim.lr=5e-4,1e-3,2e-3 --grid optim.reg=0.25,0.5,1 --seeds 6

The network, with its formulas, is `epochal/systems/scratch/two_layer.py`. Unlike the course's program, which draws
every batch with replacement, an epoch shuffles the images and sees each once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import DataSettings, RecipeSettings
from epochal.systems.recipes import _classifier as classifier
from epochal.training.task import Batch, Matrix, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from epochal.systems.data import Dataset
    from epochal.systems.scratch.two_layer import TwoLayerFleet, TwoLayerNet
    from epochal.training.task import Array, Figure, Member, Nets

TOY = "toy"


@dataclass(frozen=True)
class Data(DataSettings):
    """Which images, and how they are divided, in their stored order."""

    source: str = TOY
    """`toy`: CS231n's five samples; `auto`: CIFAR-10 where it is found, else a drawn stand-in."""
    hold_out: Annotated[int, Interval(0)] = 0
    """Validation images: those that follow the training images."""
    test: Annotated[int, Interval(1)] | None = None
    """Use only the first so many test images; none: all that are there."""


@dataclass(frozen=True)
class Net:
    """Size and beginning of the network."""

    hidden: Annotated[int, Interval(1, 100_000)] = 10
    """Hidden units."""
    std: Annotated[float, Interval(0)] = 1e-1
    """Standard deviation of the normal initial weights."""


@dataclass(frozen=True)
class Optim:
    """Stochastic gradient descent on cross-entropy + reg · Σ w²."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-1
    """Learning rate of the first epoch."""
    decay: Annotated[float, Interval(0, 1, open_low=True)] = 0.95
    """Factor on the learning rate from epoch to epoch."""
    reg: Annotated[float, Interval(0)] = 5e-6
    """Weight of the L2 penalty reg · (Σ W1² + Σ W2²)."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 100
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 200
    """Items a step."""
    clip_grad_norm: float | None = None
    """Refused: two-layer takes its gradients as they are."""
    data: Data = field(default_factory=Data)
    net: Net = field(default_factory=Net)
    optim: Optim = field(default_factory=Optim)


VERSIONS = (
    Version(
        TOY,
        change="5 samples of 4 numbers, 10 hidden units, 3 classes, 100 steps",
        reported={"loss": 0.017},
        source="CS231n, assignment 1",
    ),
    Version(
        "cifar-first",
        parent=TOY,
        change="19,000 images of CIFAR-10, 50 hidden units, 100 steps at a learning rate of 1e-4",
        patch={
            "data.source": "auto",
            "data.limit": 19_000,
            "data.hold_out": 1_000,
            "data.test": 1_000,
            "net.hidden": 50,
            "net.std": 1e-4,
            "optim.lr": 1e-4,
            "optim.reg": 0.25,
            "epochs": 2,
            "steps": 100,
        },
    ),
    Version(
        "grid",
        parent="cifar-first",
        change="2,000 steps; the best cell of a grid over learning rate and L2 penalty",
        patch={"epochs": 22, "steps": 2_000, "optim.lr": 2e-3, "optim.reg": 0.5},
        reported={"validation/accuracy": 0.462},
        source="coursework log, best of a 3x3 grid",
    ),
    Version(
        "wide",
        parent="grid",
        change="49,000 images, 400 hidden units, 12 epochs at a rate that begins lower and decays faster",
        patch={
            "data.limit": 49_000,
            "net.hidden": 400,
            "epochs": 12,
            "steps": None,
            "optim.lr": 1e-3,
            "optim.decay": 0.85,
            "optim.reg": 0.25,
        },
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    return {"network": _network(settings)}


def _network(settings: Settings) -> TwoLayerNet:
    from epochal.systems.scratch.two_layer import TwoLayerNet

    if settings.clip_grad_norm is not None:
        raise UsageError(
            f"clip_grad_norm = {settings.clip_grad_norm:g}: two-layer takes its gradients as they are.",
            hint="Leave it at none.",
        )
    inputs, classes = (4, 3) if settings.data.source == TOY else (3072, 10)
    return TwoLayerNet(
        inputs,
        settings.net.hidden,
        classes,
        std=settings.net.std,
        lr=settings.optim.lr,
        decay=settings.optim.decay,
        reg=settings.optim.reg,
    )


def read(settings: Settings) -> Dataset:
    """The data that the settings name, divided: training items, those after them for validation, test items."""
    chosen = settings.data
    found = _toy() if chosen.source == TOY else _pictures(chosen)
    items = found.splits["train"]
    n = len(items["labels"]) - chosen.hold_out
    if chosen.limit is not None:
        n = min(n, chosen.limit)
    if n < 1:
        raise UsageError(
            f"data.hold_out is {chosen.hold_out:,}, but {found.name} has {len(items['labels']):,} training items: "
            "none would be left.",
            hint="Hold fewer out.",
        )
    splits = {"train": {name: column[:n] for name, column in items.items()}}
    if chosen.hold_out:
        splits["validation"] = {name: column[n : n + chosen.hold_out] for name, column in items.items()}
    if "test" in found.splits:
        splits["test"] = {name: column[: chosen.test] for name, column in found.splits["test"].items()}
    return replace(found, splits=splits)


def _pictures(chosen: Data) -> Dataset:
    from epochal.systems import data

    items = None if chosen.limit is None else chosen.limit + chosen.hold_out
    return data.load(chosen.source, wanted="cifar10", folder=chosen.dir, limit=items)


def _toy() -> Dataset:
    """CS231n's five samples, from its own seed of NumPy's first generator; without a digest, as nothing is read."""
    import numpy as np

    from epochal.systems.data import Dataset

    images = (10 * np.random.RandomState(1).randn(5, 4)).astype(np.float32)
    columns: dict[str, Array] = {"images": images, "labels": np.array([0, 1, 2, 2, 1], dtype=np.uint8)}
    return Dataset(
        name=TOY,
        origin="CS231n's five samples",
        drawn=False,
        sha256="",
        classes=("0", "1", "2"),
        splits={"train": columns},
    )


def centred(found: Dataset) -> Callable[[Batch], Batch]:
    """`prepare`: images → x float32 (B, D), less the mean training image; the toy samples stay as they are."""
    import numpy as np

    images = found.splits["train"]["images"]
    flat = images.reshape(len(images), -1)
    mean = 0 if found.name == TOY else flat.mean(axis=0, dtype=np.float64).astype(np.float32)

    def prepare(batch: Batch) -> Batch:
        images = batch["images"].reshape(len(batch["images"]), -1)
        return Batch(x=np.subtract(images, mean, dtype=np.float32), y=batch["labels"])

    return prepare


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train."""
    found = read(settings)
    train, watched = found.splits["train"], found.splits.get("validation")
    prepare = centred(found)

    def validate(nets: Nets, rng: Any) -> dict[str, float]:
        from epochal.evidence.metrics import classification

        assert watched is not None
        read = classification.measure(scores(nets["network"], watched, prepare))
        return {"accuracy": read.top1, "cross_entropy": read.nll}

    return Task(
        train={name: train[name] for name in ("images", "labels")},
        batch_size=settings.batch_size,
        prepare=prepare,
        stepper=nets["network"],
        definition=f"mean over images of cross-entropy, nats + {settings.optim.reg:g}·(ΣW1² + ΣW2²)",
        validate=None if watched is None else validate,
        keep_best=classifier.BEST,
        data=classifier.about(found),
    )


def scores(
    network: TwoLayerNet, columns: Mapping[str, Array], prepare: Callable[[Batch], Batch]
) -> Iterator[tuple[Array, Array]]:
    """Scores (B, classes) and labels (B,) of all items, batch by batch, in stored order."""
    for start in range(0, len(columns["labels"]), classifier.CHUNK):
        part = {name: columns[name][start : start + classifier.CHUNK] for name in ("images", "labels")}
        yield network.forward(prepare(Batch(part))["x"])[1], part["labels"]


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Accuracy with its 95 % interval, likelihood and calibration on a split.

    Raises:
        UsageError: a split that there is not: the toy data are training samples only.
    """
    found = read(trained.settings)
    if found.name == TOY and split != "train":
        raise UsageError(f"The toy data have no split {split!r}.", hint="Choose train: --split train")
    columns = classifier.split_of(found, split)
    return _quality(scores(trained.nets["network"], columns, centred(found)), len(found.classes))


def _quality(read: Iterator[tuple[Array, Array]], classes: int) -> dict[str, float]:
    """The shared metrics of a classifier; five classes of three say nothing."""
    values = classifier.quality(read)
    return {name: value for name, value in values.items() if name != "top5" or classes > 5}


def figures(trained: Trained) -> dict[str, Figure]:
    """The first layer's weights as pictures, and answers to the test images; of the toy, its probabilities."""
    network: TwoLayerNet = trained.nets["network"]
    found = read(trained.settings)
    if found.name == TOY:
        return {"probabilities": _probabilities(network, found)}
    kernels = network.W1.T.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)  # (3072, H) → (H, 3, 32, 32)
    answered = list(scores(network, found.splits["test"], centred(found)))
    return {
        **classifier.answers(found, answered),
        "first_layer": classifier.filters(kernels, "hidden units' weights"),
    }


def _probabilities(network: TwoLayerNet, found: Dataset) -> Matrix:
    import numpy as np

    from epochal.systems.scratch.two_layer import log_softmax

    columns = found.splits["train"]
    return Matrix(
        np.exp(log_softmax(network.forward(columns["images"])[1])),
        title="Probability of each class for each toy sample",
        rows=[f"sample {i}, label {label}" for i, label in enumerate(columns["labels"], start=1)],
        columns=list(found.classes),
        row_axis="sample and its label",
        column_axis="class",
        unit="probability",
        scale=(0, 1),
        write="{:.3f}",
    )


def stack(settings: Sequence[Settings], seed_index: Sequence[int]) -> TwoLayerFleet:
    """The networks of these settings as one."""
    from epochal.systems.scratch.two_layer import TwoLayerFleet

    return TwoLayerFleet([_network(one) for one in settings], seed_index)


def fleet_figures(members: Sequence[Member]) -> dict[str, Figure]:
    """Where learning rate and penalty differ: the last epoch's validation accuracy over both, mean over the seeds."""
    import numpy as np

    rates = sorted({member.settings.optim.lr for member in members})
    weights = sorted({member.settings.optim.reg for member in members})
    if len(rates) * len(weights) == 1 or "validation/accuracy" not in members[0].final:
        return {}
    values = np.full((len(rates), len(weights)), np.nan)
    for i, lr in enumerate(rates):
        for j, reg in enumerate(weights):
            cell = [m for m in members if (m.settings.optim.lr, m.settings.optim.reg) == (lr, reg)]
            found = [m.final["validation/accuracy"] for m in cell if "validation/accuracy" in m.final]
            if found:
                values[i, j] = np.mean(found)
    seeds = len({member.seed for member in members})
    return {
        "grid": Matrix(
            values,
            title=f"Validation accuracy after {max(m.steps for m in members):,} steps",
            rows=[np.format_float_positional(lr, trim="-") for lr in rates],
            columns=[np.format_float_positional(reg, trim="-") for reg in weights],
            row_axis="learning rate",
            column_axis="weight of the L2 penalty",
            unit="accuracy" if seeds == 1 else f"accuracy, mean of {seeds} seeds",
            write="{:.3f}",
        )
    }


RECIPE = Recipe(
    name="two-layer",
    summary="reads small pictures: two dense layers in NumPy, every derivative by hand; whole grids at once",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=classifier.METRICS,
    evaluate=evaluate,
    figures=figures,
    stack=stack,
    stackable=("optim.lr", "optim.reg"),
    fleet_figures=fleet_figures,
    data="CIFAR-10; drawn shapes offline; the toy needs none",
    sources=("cifar10",),
    minutes=2.0,
)
