"""What recipes of image classifiers share: plain functions over columns `images` and `labels`.

Images are as stored: uint8, (n, H, W) grey or (n, H, W, 3). `prepare` (made by `scale`) turns a batch of them into
what the network reads, on whatever device they are; everything else takes that same function, so that training,
validation and evaluation see one picture.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from epochal.training.task import Batch, Curves, ImageGrid, Matrix, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Figure, LossFunction, Nets, Trained

    Prepare = Callable[[Batch], Batch]
    Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

CHUNK = 500
"""Images a forward pass where nothing is trained."""

FEW = 10
"""Answers in a bin of confidence below which its accuracy says too little to be drawn."""

METRICS = (
    Metric("accuracy", "higher", "share of images read right", margin=0.002),
    Metric("top5", "higher", "share of images whose label is among the five likeliest classes", margin=0.002),
    Metric("nll", "lower", "mean over images of -log p(label), nats", margin=0.01),
    Metric("ece", "lower", "expected calibration error, 15 bins of confidence", margin=0.005),
    Metric("brier", "lower", "mean over images of Σ_classes (p - [class is label])²", margin=0.005),
)

BEST = Metric("accuracy", "higher", "share of held-out images read right")
"""Chooses the best checkpoint, among what `validate` measures."""


def read(settings: Any, wanted: str) -> Dataset:
    """The data that `settings.data` (a `HeldOutDataSettings`) names; for "auto" `wanted` or its drawn stand-in."""
    from epochal.systems import data

    chosen = settings.data
    return data.load(
        chosen.source, wanted=wanted, folder=chosen.dir, limit=chosen.limit, hold_out=chosen.hold_out
    )


def about(found: Dataset) -> dict[str, Any]:
    """What a run remembers of its data."""
    return {"name": found.name, "source": found.origin, "drawn": found.drawn, "sha256": found.sha256}


def scale(mean: Sequence[float], deviation: Sequence[float]) -> Prepare:
    """`prepare`: images → x = (images / 255 - mean) / deviation, float32 (B, C, H, W); labels → int64.

    Args:
        mean: of each channel, of pixels in [0, 1].
        deviation: of each channel; 1 leaves it unscaled.
    """

    @cache  # copied to the device once: a copy in every step would wait for all that the device still has to do
    def constants(device: torch.device) -> Any:
        import torch

        return 255 * torch.tensor([mean, deviation], device=device)[:, :, None, None]

    def prepare(batch: Batch) -> Batch:
        images = batch["images"]
        images = images[:, None] if images.dim() == 3 else images.permute(0, 3, 1, 2)
        shift, width = constants(images.device)
        return Batch(x=images.float().sub_(shift).div_(width), labels=batch["labels"].long())

    return prepare


def total_steps(settings: Any, items: int) -> int:
    """Optimiser steps of the whole training on `items` images: what a schedule of the learning rate runs over."""
    steps: int = settings.epochs * -(-items // settings.batch_size)
    return steps if settings.steps is None else min(steps, settings.steps)


def loss(net: str, *, smoothing: float = 0.0, augment: Augment | None = None) -> LossFunction:
    """The loss of a phase: mean over images of cross-entropy, on images that `augment` has changed.

    Args:
        net: name of the network, (B, C, H, W) → logits (B, classes).
        smoothing: of the labels (`losses.classification.cross_entropy`).
        augment: `(x, rng) -> x`, on the whole batch at once.
    """

    def function(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        from epochal.systems.losses.classification import cross_entropy

        x, labels = batch["x"], batch["labels"]
        logits = nets[net](augment(x, rng) if augment is not None else x)
        right = (logits.detach().argmax(1) == labels).float().mean()
        return cross_entropy(logits, labels, smoothing=smoothing).mean(), {"accuracy": right}

    return function


def definition(*, smoothing: float = 0.0) -> str:
    """The loss as a formula."""
    text = "mean over images of cross-entropy, nats"
    return f"{text}, labels smoothed by {smoothing:g}" if smoothing else text


def validate(
    net: str, columns: Mapping[str, Array] | None, prepare: Prepare
) -> Callable[[Nets, torch.Generator], Mapping[str, float]] | None:
    """`Task.validate`: accuracy and cross-entropy (nats, labels not smoothed) on held-out images.

    Without columns (`--data.hold-out 0`) nothing is validated: the last checkpoint is the best one.
    """
    if columns is None:
        return None

    def function(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        from epochal.evidence.metrics import classification

        found = classification.measure(logits(nets[net], columns, prepare, rng.device))
        return {"accuracy": found.top1, "cross_entropy": found.nll}

    return function


def logits(
    net: Any, columns: Mapping[str, Array], prepare: Prepare, device: Any
) -> Iterator[tuple[torch.Tensor, Array]]:
    """Logits (B, classes) and labels (B,) of all items, batch by batch, in stored order."""
    import torch

    for start in range(0, len(columns["labels"]), CHUNK):
        part = {name: columns[name][start : start + CHUNK] for name in ("images", "labels")}
        batch = Batch({name: torch.from_numpy(column).to(device) for name, column in part.items()})
        with torch.no_grad():
            yield net(prepare(batch)["x"]), part["labels"]


def evaluate(trained: Trained, net: str, found: Dataset, split: str, prepare: Prepare) -> dict[str, float]:
    """The `METRICS` on a split, accuracy with its 95 % interval.

    Raises:
        UsageError: the validation split of a run that held nothing out.
    """
    columns = split_of(found, split)
    return quality(logits(trained.nets[net], columns, prepare, trained.device))


def quality(scores: Iterable[tuple[Any, Array]]) -> dict[str, float]:
    """The `METRICS` over batches of (logits (B, classes), labels (B,)), accuracy with its 95 % interval."""
    from epochal.evidence.metrics import classification

    read = classification.measure(scores)
    return {
        "accuracy": read.top1,
        "accuracy_low": read.low,
        "accuracy_high": read.high,
        "images": float(read.confusion.sum()),
        "top5": read.top5,
        "nll": read.nll,
        "ece": read.ece,
        "brier": read.brier,
    }


def figures(trained: Trained, net: str, found: Dataset, prepare: Prepare) -> dict[str, Figure]:
    """Confusion, calibration, first-layer filters, and the surest answers, all of test images."""
    from torch import nn

    network = trained.nets[net]
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    scores = list(logits(network, found.splits["test"], prepare, trained.device))
    return {**answers(found, scores), "first_layer": filters(first.weight.detach().float().cpu().numpy())}


def answers(found: Dataset, scores: Sequence[tuple[Any, Array]]) -> dict[str, Figure]:
    """Confusion, calibration and the surest answers, from batches of (logits, labels) of all test images."""
    from epochal.evidence.metrics import classification

    read = classification.measure(scores)
    return {
        "confusion": confusion_matrix(read.confusion, found.classes),
        "reliability": reliability_diagram(read),
        "answers": surest_answers(found.splits["test"]["images"], scores, found.classes),
    }


def confusion_matrix(counts: Any, classes: Sequence[str], items: str = "images") -> Matrix:
    """Counts (classes, classes) as shares of each label's items, in percent; NaN, blank, where there is none."""
    import numpy as np

    n = counts.sum()
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return Matrix(
        np.where(counts > 0, shares, np.nan),
        title=f"What {n:,} test {items} are read as; blank: none",
        rows=list(classes),
        columns=list(classes),
        row_axis="label",
        column_axis="answer",
        unit=f"% of the label's {items}",
        scale=(0, 100),
        write="{:.1f}",
    )


def reliability_diagram(read: Any, items: str = "images") -> Curves:
    """Accuracy over confidence of a `Classification`, beside the diagonal of a calibrated classifier."""
    import numpy as np

    bins = read.reliability
    least = min(FEW, bins.count.max())
    full = bins.count >= least
    even = np.linspace(0, 1, 101).tolist()
    return Curves(
        {
            "classifier": (bins.confidence[full].tolist(), bins.accuracy[full].tolist()),
            "perfectly calibrated": (even, even),
        },
        title=f"Are answers right as often as they claim? Expected calibration error {read.ece:.3f}",
        x_axis=f"confidence, mean of a bin of {least} test {items} or more",
        y_axis="accuracy, share of the bin",
    )


def filters(kernels: Array, what: str = "kernels") -> ImageGrid:
    """Kernels (O, C, h, w) of a first layer, at most 64: in colour where C is 3, else input by input.

    Each kernel fills its own range: middle grey is 0, black and white are minus and plus its largest weight,
    channel by channel in colour.
    """
    import math

    import numpy as np

    size = "x".join(str(side) for side in kernels.shape[2:])
    coloured = kernels.shape[1] == 3
    planes = kernels.transpose(0, 2, 3, 1) if coloured else kernels.reshape(-1, *kernels.shape[2:])
    kernels, many = planes[:64], len(planes)
    largest = np.abs(kernels).reshape(len(kernels), -1).max(1).reshape(-1, *[1] * (kernels.ndim - 1))
    pictures = np.round(127.5 + 127.5 * kernels / np.maximum(largest, 1e-12)).astype(np.uint8)
    columns = min(8, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    grid = np.full((rows * columns, *pictures.shape[1:]), 255, dtype=np.uint8)
    grid[: len(pictures)] = pictures
    return ImageGrid(
        grid.reshape(rows, columns, *pictures.shape[1:]),
        title=f"First layer: {f'{len(pictures)} of ' * (many > len(pictures))}{many} {what}, {size} "
        "(dark −, grey 0, bright +)",
    )


def surest_answers(images: Array, scores: Sequence[tuple[Any, Array]], classes: Sequence[str]) -> ImageGrid:
    """The image of each label that is read as each class with the highest probability; white: it never happens.

    The diagonal holds the surest right answers, everything else the surest mistakes.
    """
    import numpy as np

    from epochal.evidence.metrics import classification
    from epochal.evidence.metrics.arrays import numpy_of

    labels = np.concatenate([numpy_of(wanted) for _, wanted in scores]).astype(np.int64)
    log_p = np.concatenate([classification.log_softmax(given) for given, _ in scores])
    answers, confidence = log_p.argmax(1), log_p.max(1)
    grid = np.full((len(classes), len(classes), *images.shape[1:]), 255, dtype=np.uint8)
    # In ascending order, so that the surest one is what stays.
    for item in np.argsort(confidence, kind="stable"):
        grid[labels[item], answers[item]] = images[item]
    return ImageGrid(
        grid,
        title="Surest right answers (diagonal) and mistakes; blank: none",
        rows=list(classes),
        columns=list(classes),
        row_axis="label",
        column_axis="answer",
    )


def split_of(found: Dataset, split: str) -> Mapping[str, Array]:
    """The columns of a split.

    Raises:
        UsageError: the validation split of a run that held nothing out.
    """
    from epochal.errors import UsageError

    if split not in found.splits:
        raise UsageError(
            f"This run held no training images out, so there is no split {split!r}.",
            hint=f"Choose {' or '.join(found.splits)}; --data.hold-out N keeps N images out of a new run.",
        )
    return found.splits[split]
