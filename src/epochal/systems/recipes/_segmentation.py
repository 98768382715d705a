"""What recipes of segmentation share: plain functions over columns `images` and `masks`.

Images are as stored: uint8, (n, H, W) grey or (n, H, W, 3); masks (n, H, W) hold a class, or 255 for void. Training
sees random crops, drawn on the device inside the loss; everything else sees whole pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings, RecipeSettings
from epochal.training import schedules
from epochal.training.task import ImageGrid, Matrix, Metric, Optimiser, Phase, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from torch import Tensor

    from epochal.evidence.metrics.segmentation import Overlap, RandScore
    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Batch, Figure, LossFunction, Nets, Trained

SHAPES = {"nuclei": (1, 2), "membranes": (1, 2), "voc2012": (3, 21)}
"""Channels and classes of what may be wanted, and of whatever takes its place."""
VOID = 255
MEMBRANE = "membrane"
"""Where a class is called so, the regions between are measured too."""


@dataclass(frozen=True)
class DataSettings(HeldOutDataSettings):
    """Which pictures, how many of them watch the training, and what is cut out of them."""

    hold_out: Annotated[int, Interval(0)] = 4
    """Keep the last training pictures, in stored order, aside as the validation split; 0: none."""
    wanted: Literal["nuclei", "membranes", "voc2012"] = "membranes"
    """What `--data.source auto` takes where it is found, else its drawn stand-in: cells, tissue, stained-cells."""
    crop: Annotated[int, Interval(16)] | None = 128
    """Side of the random squares that training sees, in pixels; none: as large as the pictures' shorter side."""
    positions: Literal["upright", "mirrored", "any"] = "any"
    """How a crop may lie: as it is, also mirrored, or in all eight positions of a square."""
    haze: Annotated[float, Interval(0, 1)] = 0.0
    """Most stray light, as a share of full brightness, that is added to one crop in five: few pictures have it."""


@dataclass(frozen=True)
class LossSettings:
    """What is minimised."""

    kind: Literal["cross-entropy", "dice", "both"] = "both"
    """Cross-entropy, Dice loss, or the sum of both."""
    border: Literal["void", "class"] = "void"
    """Void pixels count for nothing, or are one class more to be learnt (as a logged network had it)."""


@dataclass(frozen=True)
class OptimSettings:
    """Adam, its learning rate falling to zero along half a cosine."""

    lr: Annotated[float, Interval(0, open_low=True)] = 2e-3
    """Learning rate at the first step."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """What both recipes can be told."""

    epochs: Annotated[int, Interval(1)] = 10
    """Epochs in total, those before a resume included."""
    crops: Annotated[int, Interval(1)] = 40
    """Random crops of every picture in an epoch."""
    batch_size: Annotated[int, Interval(1)] = 16
    """Crops a step."""
    average: bool = False
    """Answers are the mean over all positions that `data.positions` allows a crop; validation looks once."""
    data: DataSettings = field(default_factory=DataSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)


METRICS = (
    Metric(
        "iou", "higher", "IoU of class 1 (of several: mean over classes), all pixels pooled", margin=0.005
    ),
    Metric("iou_image", "higher", "the same of each image, mean over images", margin=0.005),
    Metric("dice", "higher", "Dice overlap, over the classes that iou is over", margin=0.005),
    Metric("mean_iou", "higher", "mean of the IoU of all classes, background included", margin=0.005),
    Metric("pixel_accuracy", "higher", "share of pixels whose class is right", margin=0.002),
    Metric("pixel_error", "lower", "share of pixels whose class is wrong", margin=0.002),
    Metric(
        "rand", "higher", "foreground-restricted Rand score, borders thinned, mean over images", margin=0.01
    ),
    Metric("rand_split", "higher", "its share of pairs that are not split", margin=0.01),
    Metric("rand_merge", "higher", "its share of pairs that are not merged", margin=0.01),
    Metric("rand_unthinned", "higher", "rand_half with border pixels as regions of their own", margin=0.01),
)
BEST = Metric("iou", "higher", "IoU on the held-out images: of class 1, of several classes their mean")
"""Chooses the best checkpoint, among what `validate` measures."""


# --- data
# --------------------------------------------------------------------------------------------------


def read(settings: Settings) -> Dataset:
    """The pictures that `settings.data` (a `DataSettings`) names.

    Raises:
        UsageError: no such source, one of another kind, too many held out, or a crop larger than the pictures.
    """
    from epochal.systems import data

    chosen = settings.data
    found = data.load(
        chosen.source, wanted=chosen.wanted, folder=chosen.dir, limit=chosen.limit, hold_out=chosen.hold_out
    )
    shortest = min(found.splits["train"]["masks"].shape[1:])
    if chosen.crop is not None and chosen.crop > shortest:
        raise UsageError(
            f"data.crop is {chosen.crop}, but the pictures of {found.name} are {shortest} pixels across.",
            hint=f"Choose at most {shortest}, or none for the whole shorter side.",
        )
    return found


def about(found: Dataset) -> dict[str, Any]:
    """What a run remembers of its data."""
    return {"name": found.name, "source": found.origin, "drawn": found.drawn, "sha256": found.sha256}


def split_of(found: Dataset, split: str) -> Mapping[str, Array]:
    """The columns of a split.

    Raises:
        UsageError: the validation split of a run that held nothing out.
    """
    if split not in found.splits:
        raise UsageError(
            f"This run held no training images out, so there is no split {split!r}.",
            hint=f"Choose {' or '.join(found.splits)}; --data.hold-out N keeps N images out of a new run.",
        )
    return found.splits[split]


def outputs(settings: Settings) -> tuple[int, int]:
    """Channels that the network reads, and logits that it gives: the border is one more where it is a class."""
    channels, classes = SHAPES[settings.data.wanted]
    return channels, classes + (settings.loss.border == "class")


# --- training
# --------------------------------------------------------------------------------------------------


def task(net: str, settings: Settings) -> Task:
    """Reads the pictures and says how to train the network of that name."""
    from math import ceil

    found = read(settings)
    train = found.splits["train"]
    steps = settings.epochs * settings.crops * ceil(len(train["masks"]) / settings.batch_size)
    return Task(
        train={name: train[name] for name in ("images", "masks")},
        batch_size=settings.batch_size,
        repeat=settings.crops,
        phases=[
            Phase(
                name=net,
                trains=(net,),
                loss=loss(net, settings),
                optimiser=Optimiser(lr=settings.optim.lr, schedule=schedules.cosine(steps)),
                definition=definition(settings),
            )
        ],
        validate=validate(net, settings, found),
        keep_best=BEST,
        data=about(found),
    )


def network_input(images: Any) -> Any:
    """Pictures (B, H, W[, 3]) uint8 → (B, channels, H, W) float32 in [0, 1].

    Their brightness is kept: in the nuclei it tells one laboratory's pictures, and outlines, from another's.
    """
    x = images[:, None] if images.dim() == 3 else images.permute(0, 3, 1, 2)
    return x.float() / 255


def loss(net: str, settings: Settings) -> LossFunction:
    """The loss of a phase, on one random crop of every picture of the batch."""

    def function(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        from epochal.systems.data.crops import random_crops, with_haze

        images, masks = batch["images"], batch["masks"]
        side = settings.data.crop or min(masks.shape[1:])
        positions = settings.data.positions
        images, masks = random_crops(
            images, masks, side, rng, mirror=positions != "upright", turn=positions == "any"
        )
        x = network_input(images)
        if settings.data.haze:
            x = with_haze(x, settings.data.haze, rng)
        return terms(nets[net](x), masks, settings)

    return function


def terms(logits: Any, masks: Any, settings: Settings) -> tuple[Any, dict[str, Any]]:
    """The loss and its parts, of logits (B, classes, H, W) and masks (B, H, W)."""
    from epochal.systems.losses import segmentation

    kind = settings.loss.kind
    if settings.loss.border == "class":
        masks = masks.where(masks != VOID, logits.shape[1] - 1)
    parts = {}
    if kind != "dice":
        parts["cross_entropy"] = segmentation.cross_entropy(logits, masks)
    if kind != "cross-entropy":
        parts["dice_loss"] = segmentation.dice(logits, masks)
    return sum(parts.values()), parts


def definition(settings: Settings) -> str:
    """The loss as a formula."""
    said = {
        "cross-entropy": "mean over labelled pixels of cross-entropy, nats",
        "dice": "1 - mean over classes of (2·Σ p·g + 1) / (Σ p² + Σ g² + 1)",
    }
    kind = settings.loss.kind
    text = " + ".join(said.values()) if kind == "both" else said[kind]
    return f"{text}; void pixels {'left out' if settings.loss.border == 'void' else 'are a class'}"


def validate(
    net: str, settings: Settings, found: Dataset
) -> Callable[[Nets, torch.Generator], Mapping[str, float]] | None:
    """`Task.validate`: loss and IoU on whole held-out pictures.

    Without any (`--data.hold-out 0`) nothing is validated: the last checkpoint is the best one.
    """
    columns = found.splits.get("validation")
    if columns is None:
        return None

    def function(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        from epochal.evidence.metrics.segmentation import Tally

        tally, sums, count = Tally(len(found.classes)), 0.0, 0
        for logits, truth in whole(nets[net], columns, rng.device):
            total, _ = terms(logits, truth, settings)
            sums, count = sums + float(total) * len(truth), count + len(truth)
            for mask, answer in zip(truth.cpu(), _answers(logits, found).cpu(), strict=True):
                tally.add(mask, answer)
        return {"loss": sums / count, "iou": of_interest(tally.overlap().iou)}

    return function


def of_interest(values: Any) -> float:
    """Class 1 of two classes, the mean over those that are somewhere of more."""
    import numpy as np

    return float(values[1] if len(values) == 2 else np.nanmean(values))


# --- whole pictures
# --------------------------------------------------------------------------------------------------

_PIXELS = 2**19  # of a batch of whole pictures
_TILE, _MARGIN = 1024, 128
"""Larger pictures are cut into tiles; each is seen with so much around it, more than U-Net's field of view."""


def whole(
    net: Callable[[Tensor], Tensor], columns: Mapping[str, Array], device: Any
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (B, classes, H, W) and masks (B, H, W) of all pictures, batch by batch, in stored order."""
    import torch

    step = max(1, _PIXELS // columns["masks"][0].size)
    for start in range(0, len(columns["masks"]), step):
        images, masks = (
            torch.from_numpy(columns[name][start : start + step]).to(device) for name in ("images", "masks")
        )
        yield logits_of(net, images), masks


def answering(trained: Trained, net: str) -> Callable[[Tensor], Tensor]:
    """The network as `Settings.average` wants it asked: once, or in every position, from which it returns logits.

    The mean of the probabilities is taken (Ronneberger et al. 2015 averaged seven rotations); its logarithm has the
    form of logits.
    """
    settings = trained.settings
    asked: Callable[[Tensor], Tensor] = trained.nets[net]
    turns = {"upright": (0,), "mirrored": (0,), "any": (0, 1, 2, 3)}[settings.data.positions]
    mirrors = (False,) if settings.data.positions == "upright" else (False, True)
    if not settings.average:
        return asked

    def mean(x: Tensor) -> Tensor:
        import torch

        total = torch.zeros(())
        for turn in turns:
            for mirror in mirrors:
                seen = x.rot90(turn, (2, 3))
                answer = asked(seen.flip(3) if mirror else seen).float().softmax(1)
                total = total + (answer.flip(3) if mirror else answer).rot90(-turn, (2, 3))
        return (total / (len(turns) * len(mirrors))).log()

    return mean


def logits_of(net: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits (B, classes, H, W) of pictures (B, H, W[, 3]) uint8 of any size, the large ones tile by tile."""
    import torch

    x = network_input(images)
    height, width = x.shape[2:]
    with torch.no_grad():
        if max(height, width) <= _TILE + 2 * _MARGIN:
            return net(x)
        rows = []
        for top in range(0, height, _TILE):
            row = []
            for left in range(0, width, _TILE):
                up, before = min(top, _MARGIN), min(left, _MARGIN)
                window = x[:, :, top - up : top + _TILE + _MARGIN, left - before : left + _TILE + _MARGIN]
                row.append(net(window)[:, :, up : up + _TILE, before : before + _TILE])
            rows.append(torch.cat(row, 3))
        return torch.cat(rows, 2)


def _answers(logits: Tensor, found: Dataset) -> Tensor:
    """The likeliest class of each pixel (B, H, W); a learnt border is not among the answers."""
    return logits[:, : len(found.classes)].argmax(1)


# --- measuring
# --------------------------------------------------------------------------------------------------


def evaluate(trained: Trained, net: str, found: Dataset, split: str) -> dict[str, float]:
    """The `METRICS` that apply, on whole pictures of a split; of each class its IoU.

    `…_low` and `…_high` are the 95 % bootstrap interval over images. Regions are measured where one of two classes
    is the membrane between them.

    Raises:
        UsageError: the validation split of a run that held nothing out.
    """
    from epochal.evidence.metrics import segmentation as m

    truths, answers = answered(trained, net, found, split_of(found, split))
    tally = m.Tally(len(found.classes))
    for truth, answer in zip(truths, answers, strict=True):
        tally.add(truth, answer)
    overlap = tally.overlap()
    low, high = m.over_images(overlap.each, lambda counts: of_interest(m.iou(counts.sum(0))))
    each = image_scores(overlap)
    each_low, each_high = m.over_images(each, lambda values: float(values.mean()))
    measured = {
        "images": float(overlap.n),
        "iou": of_interest(overlap.iou),
        "iou_low": low,
        "iou_high": high,
        "iou_image": float(each.mean()),
        "iou_image_low": each_low,
        "iou_image_high": each_high,
        "dice": of_interest(overlap.dice),
        "mean_iou": overlap.mean_iou,
        "pixel_accuracy": overlap.pixel_accuracy,
        "pixel_error": 1 - overlap.pixel_accuracy,
    }
    if MEMBRANE in found.classes:
        measured |= regions(trained, net, found, split)
    # A class that is neither in the truth nor in any answer has no IoU.
    of_class = {f"iou_{name}": float(v) for name, v in zip(found.classes, overlap.iou, strict=True) if v == v}
    return {**measured, **of_class}


def answered(trained: Trained, net: str, found: Dataset, columns: Mapping[str, Array]) -> tuple[Array, Array]:
    """Masks and answers (n, H, W) uint8 of all pictures."""
    import numpy as np

    truths, answers = [], []
    for logits, truth in whole(answering(trained, net), columns, trained.device):
        truths.append(truth.cpu().numpy())
        answers.append(_answers(logits, found).byte().cpu().numpy())
    return np.concatenate(truths), np.concatenate(answers)


def image_scores(overlap: Overlap) -> Array:
    """IoU of interest of each image (n,); 1 where the image has nothing of it and nothing was answered."""
    import numpy as np

    from epochal.evidence.metrics import segmentation as m

    each = m.iou(overlap.each)
    scores = each[:, 1] if each.shape[1] == 2 else np.nanmean(each, 1)
    return np.nan_to_num(scores, nan=1.0)


THRESHOLDS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)
"""Probabilities from which on a pixel may count as membrane: one gap in it merges two regions."""


def regions(trained: Trained, net: str, found: Dataset, split: str) -> dict[str, float]:
    """Rand scores of the regions between membranes, means over images, with the interval of the first.

    Pixels count as membrane from the threshold on that has the highest score on the validation images (a half where
    there are none); `rand_half` and `rand_unthinned` are those of a half.
    """
    import numpy as np

    from epochal.evidence.metrics import segmentation as m

    threshold = 0.5
    if "validation" in found.splits:
        held_out = membrane_probabilities(trained, net, found, "validation")
        # Of equal ones the first, that is the largest.
        threshold = max(THRESHOLDS, key=lambda t: np.mean([one.score for one in rand_scores(*held_out, t)]))
    truths, probabilities = membrane_probabilities(trained, net, found, split)
    thinned = rand_scores(truths, probabilities, threshold)
    scores = np.array([one.score for one in thinned])
    low, high = m.over_images(scores, lambda values: float(values.mean()))
    return {
        "rand": float(scores.mean()),
        "rand_low": low,
        "rand_high": high,
        "rand_split": float(np.mean([one.split for one in thinned])),
        "rand_merge": float(np.mean([one.merge for one in thinned])),
        "rand_threshold": threshold,
        "rand_half": float(np.mean([one.score for one in rand_scores(truths, probabilities, 0.5)])),
        "rand_unthinned": float(
            np.mean([one.score for one in rand_scores(truths, probabilities, 0.5, thin=False)])
        ),
    }


def membrane_probabilities(trained: Trained, net: str, found: Dataset, split: str) -> tuple[Array, Array]:
    """Which pixels are membrane (n, H, W) bool, and the probability that the network gives them (n, H, W)."""
    import numpy as np

    membrane = found.classes.index(MEMBRANE)
    truths, probabilities = [], []
    for logits, truth in whole(answering(trained, net), split_of(found, split), trained.device):
        truths.append((truth == membrane).cpu().numpy())
        chances = logits[:, : len(found.classes)].float().softmax(1)
        probabilities.append(chances[:, membrane].cpu().numpy())
    return np.concatenate(truths), np.concatenate(probabilities)


def rand_scores(
    truths: Array, probabilities: Array, threshold: float, *, thin: bool = True
) -> list[RandScore]:
    """Rand score of each image, with the pixels above `threshold` as membrane."""
    from epochal.evidence.metrics import segmentation as m

    return [
        m.rand_score(m.segments(~truth) * ~truth, m.segments(chance <= threshold, thin=thin))
        for truth, chance in zip(truths, probabilities, strict=True)
    ]


# --- drawing
# --------------------------------------------------------------------------------------------------

# Okabe and Ito's colours, which the colour-blind tell apart.
_TRUTH, _ANSWER = (86, 180, 233), (230, 159, 0)
_MISSED, _FALSE, _CONFUSED = (0, 114, 178), (213, 94, 0), (240, 228, 66)
_KINDS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)
_SHOWN = 256  # pixels of a picture's side in a figure
_LOOKED_AT = (
    100  # pictures that figures look at: VOC has 1,449, and a figure must not take longer than an epoch
)


def figures(trained: Trained, net: str, found: Dataset) -> dict[str, Figure]:
    """Overlays of the first 100 test pictures; of more than two classes also which is taken for which."""
    from epochal.evidence.metrics import segmentation as m

    columns = {name: column[:_LOOKED_AT] for name, column in split_of(found, "test").items()}
    truths, answers = answered(trained, net, found, columns)
    tally = m.Tally(len(found.classes))
    for truth, answer in zip(truths, answers, strict=True):
        tally.add(truth, answer)
    overlap = tally.overlap()
    drawn: dict[str, Figure] = {"overlays": overlays(columns["images"], truths, answers, overlap)}
    if len(found.classes) > 2:
        drawn["confusion"] = confusion_matrix(overlap.counts, found.classes)
    return drawn


def overlays(images: Array, truths: Array, answers: Array, overlap: Overlap) -> ImageGrid:
    """Worst, middle and best test picture: image, truth, answer, errors."""
    import numpy as np

    scores = image_scores(overlap)
    order = np.argsort(scores, kind="stable")
    chosen = {"worst": order[0], "lower quartile": order[len(order) // 4], "median": order[len(order) // 2]}
    chosen["best"] = order[-1]
    rows = []
    for item in chosen.values():
        middle = tuple(slice((n - min(n, _SHOWN)) // 2, (n + min(n, _SHOWN)) // 2) for n in truths.shape[1:])
        image, truth, answer = images[item][middle], truths[item][middle], answers[item][middle]
        grey = shown(image)
        rows.append(
            [grey, marked(grey, truth, _TRUTH), marked(grey, answer, _ANSWER), errors(grey, truth, answer)]
        )
    classes = overlap.counts.shape[0]
    wrong = "missed: blue, false: orange" + (", another class: yellow" if classes > 2 else "")
    part = "" if max(truths.shape[1:]) <= _SHOWN else f" (middle {_SHOWN}x{_SHOWN} pixels)"
    return ImageGrid(
        np.stack([np.stack(row) for row in rows]),
        title=f"{overlap.n} test pictures, four of them by IoU{part}. Errors: {wrong}",
        rows=[f"{name}: {scores[item]:.3f}" for name, item in chosen.items()],
        columns=["picture", "truth", "answer", "errors"],
        row_axis="IoU of the picture",
    )


def shown(image: Array) -> Array:
    """A picture (H, W[, 3]) as (H, W, 3) uint8; a grey one stretched from its 1st to its 99.5th percentile."""
    import numpy as np

    if image.ndim == 3:
        return image
    low, high = np.percentile(image, [1, 99.5])
    grey = np.clip((image.astype(np.float32) - low) / max(high - low, 1), 0, 1)
    return np.repeat(np.rint(255 * grey).astype(np.uint8)[..., None], 3, 2)


def marked(picture: Array, mask: Array, colour: tuple[int, int, int]) -> Array:
    """The picture with the rims of a mask's regions; two classes in `colour`, more in a colour each, tinted inside."""
    import numpy as np

    several = mask[mask != VOID].max(initial=0) > 1
    colours = np.array([_KINDS[(c - 1) % len(_KINDS)] for c in range(256)] if several else [colour] * 256)
    of_pixel = colours[mask].astype(np.float32)
    inside = (mask != 0) & (mask != VOID)
    tinted = picture.astype(np.float32)
    if several:
        tinted = np.where(inside[..., None], 0.45 * tinted + 0.55 * of_pixel, tinted)
    return np.where((_rim(mask) & inside)[..., None], of_pixel, tinted).astype(np.uint8)


def _rim(mask: Array) -> Array:
    """Pixels with a neighbour of another class."""
    import numpy as np

    rim = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        differs = np.diff(mask.astype(np.int16), axis=axis) != 0
        ahead, behind = ((0, 1), (0, 0)), ((1, 0), (0, 0))
        for sides in (ahead, behind):
            rim |= np.pad(differs, sides if axis == 0 else sides[::-1])
    return rim


def errors(picture: Array, truth: Array, answer: Array) -> Array:
    """The picture, paler, with what was missed, falsely found, or taken for another class; void counts for nothing."""
    import numpy as np

    counted = truth != VOID
    pale = (0.5 * picture + 100).astype(np.uint8)
    for wrong, colour in (
        (counted & (truth != 0) & (answer == 0), _MISSED),
        (counted & (truth == 0) & (answer != 0), _FALSE),
        (counted & (truth != 0) & (answer != 0) & (truth != answer), _CONFUSED),
    ):
        pale[wrong] = colour
    return pale


def confusion_matrix(counts: Array, classes: Sequence[str]) -> Matrix:
    """Pixel counts (classes, classes) as shares of each true class, in percent; classes that are nowhere are blank."""
    import numpy as np

    total = counts.sum(1, keepdims=True)
    return Matrix(
        np.where(total > 0, 100 * counts / np.maximum(total, 1), np.nan),
        title=f"What {counts.sum():,} test pixels are taken for",
        rows=list(classes),
        columns=list(classes),
        row_axis="truth",
        column_axis="answer",
        unit="% of the class's pixels",
    )


# --- a picture of the user's own
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """Which picture to segment."""

    image: str | None = None
    """Picture file (PNG, JPEG, TIFF) to segment."""


def segment(trained: Trained, net: str, request: Request) -> ImageGrid:
    """The user's picture, and what was found on it. Photographs are scaled to 256x256, as training saw them.

    Raises:
        UsageError: no picture was named, or it cannot be read.
    """
    import numpy as np
    import torch

    from epochal.systems.data.catalogue import SOURCES
    from epochal.systems.data.voc import SIDE

    channels, classes = SHAPES[trained.settings.data.wanted]
    image = _picture(request.image, *(("L", None) if channels == 1 else ("RGB", SIDE)))
    logits = logits_of(answering(trained, net), torch.from_numpy(image)[None].to(trained.device))
    answer = logits[0, :classes].argmax(0).byte().cpu().numpy()
    picture = shown(image)
    # Two classes have the same names in the data and in what stands in for them; of more only the numbers are known.
    what = SOURCES[trained.settings.data.wanted].classes[1] if classes == 2 else "not background"
    return ImageGrid(
        np.stack([picture, marked(picture, answer, _ANSWER)])[None],
        title=f"{(answer != 0).mean():.1%} of the picture is {what}",
        columns=["picture", "answer"],
    )


def _picture(name: str | None, mode: str, side: int | None) -> Array:
    from pathlib import Path

    from epochal.errors import EpochalError
    from epochal.systems.data import masks

    if name is None:
        raise UsageError("No picture was named.", hint="epochal generate RUN --image FILE.png -o overlay.png")
    hint = "Give a PNG, JPEG or TIFF file."
    if not Path(name).is_file():
        raise UsageError(f"There is no picture {name}.", hint=hint)
    try:
        return masks.read(Path(name), mode, size=None if side is None else (side, side), hint=hint)
    except EpochalError as error:
        raise UsageError(error.what, hint=error.hint) from None
