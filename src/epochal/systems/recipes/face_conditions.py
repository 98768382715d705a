"""face-conditions: reads sex, hair darkness, mouth and eyes off a face; labels a folder where labels are missing.

Four small networks (after a log's four), trained side by side on the labelled part of the faces; each has its own loss,
optimiser and plateau. Labels may be missing: an image counts for the conditions that it has. The result of a network is
told beside always answering the mean: one that learnt no more than that has failed.
Read from top to bottom: settings, networks, labels, training, measuring, drawing, filling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.errors import EpochalError, UsageError
from epochal.settings import Interval, common
from epochal.training.task import (
    Batch,
    Curves,
    ImageGrid,
    Metric,
    Optimiser,
    Phase,
    Plateau,
    Recipe,
    Task,
    Trained,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Figure, LossFunction, Nets

PLACES = {"sex": slice(0, 2), "hair": slice(2, 3), "mouth": slice(3, 4), "eyes": slice(4, 5)}
"""Where in the five conditions stands what each network reads."""
WANTED = "faces-folder"
REGRESSIONS = ("hair", "mouth", "eyes")
NAMES = {"hair": "hair darkness", "mouth": "mouth openness", "eyes": "eye openness"}
CHUNK = 50
"""Images a forward pass where nothing is trained."""


@dataclass(frozen=True)
class DataSettings(common.DataSettings):
    """Which faces, from where, how many labelled ones."""

    limit: Annotated[int, Interval(1)] | None = 2000
    """Use at most this many training labels of each condition, evenly spaced in stored order, the held-out ones among
    them: where one is rare, all of it."""
    hold_out_every: Annotated[int, Interval(2)] = 10
    """Of each condition's training labels every so many-th, beginning with the first, is kept for validation."""


@dataclass(frozen=True)
class Net:
    """Size of the networks."""

    width: Annotated[int, Interval(1, 256)] = 32
    """Channels of the first two convolutions; all other layers grow with them."""


@dataclass(frozen=True)
class Augment:
    """Random changes of the training images."""

    blur: Annotated[float, Interval(0, 10)] = 0.0
    """Every image is blurred by a Gaussian of up to so many pixels' standard deviation. Networks that saw sharp images
    only misread blurred ones, such as a conditional VAE draws."""


@dataclass(frozen=True)
class Optim:
    """Adam; a network's learning rate falls where its validation loss no longer does."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Learning rate at the first step."""
    factor: Annotated[float, Interval(0, 1, open_low=True, open_high=True)] = 0.5
    """What it is multiplied by on a plateau."""
    wait: Annotated[int, Interval(1)] = 3
    """Epochs without a new least validation loss that make a plateau."""


@dataclass(frozen=True)
class Settings(common.RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 25
    """Passes over the training data at most; `stop.patience` ends the training earlier."""
    data: DataSettings = field(default_factory=DataSettings)
    net: Net = field(default_factory=Net)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)
    stop: common.StopSettings = field(default_factory=lambda: common.StopSettings(patience=8))


def nets(settings: Settings) -> dict[str, Any]:
    """The four networks."""
    from epochal.systems.nets.face_conditions import ConditionReader, SexReader

    readers = {what: ConditionReader(what, settings.net.width) for what in REGRESSIONS}
    return {"sex": SexReader(settings.net.width), **readers}


# --- labels
# --------------------------------------------------------------------------------------------------


def read(settings: Settings) -> Dataset:
    """The faces that `settings.data` names, as stored."""
    from epochal.systems import data

    chosen = settings.data
    name = data.resolve(chosen.source, chosen.dir, wanted=WANTED)
    # Drawn faces are all labelled, and those that are not used need not be drawn.
    limit = chosen.limit if name == "drawn-faces" else None
    return data.load(name, wanted=WANTED, folder=chosen.dir, limit=limit)


def labelled(settings: Settings, found: Dataset, split: str) -> dict[str, Array]:
    """Images (n, 120, 120, 3) that have a label of that split, and conditions (n, 5), NaN where they have not.

    What a network filled in earlier is no label. Training and validation divide the labels, not the images: a rarely
    labelled condition too has some in each, and no network sees the labels that it is validated on.
    """
    import numpy as np

    columns = found.splits["test" if split == "test" else "train"]
    conditions = columns["conditions"]
    known = ~np.isnan(conditions)
    if "predicted" in columns:
        known &= ~columns["predicted"]
    if split != "test":
        for column in known.T:
            rows = np.flatnonzero(column)
            used = min(settings.data.limit or len(rows), len(rows))
            column[:] = False
            # Evenly spaced: the first rows of a table sorted by sex would teach one sex only.
            column[rows[np.arange(used) * len(rows) // max(used, 1)]] = True
        held = known & ((known.cumsum(0) - 1) % settings.data.hold_out_every == 0)
        known = held if split == "validation" else known & ~held
    rows = np.flatnonzero(known.any(1))
    labels = np.where(known[rows], conditions[rows], np.nan).astype(np.float32)
    return {"images": columns["images"][rows], "conditions": labels}


# --- training
# --------------------------------------------------------------------------------------------------


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the labelled faces, notes each condition's mean, and says how to train."""
    import torch

    found = read(settings)
    train, held = (labelled(settings, found, split) for split in ("train", "validation"))
    for what, place in PLACES.items():
        labels = torch.from_numpy(train["conditions"][:, place])
        nets[what].labels.learn(labels[~labels.isnan().any(1)])
    taught = [what for what in PLACES if nets[what].labels.count]
    if not taught:
        raise EpochalError(
            f"No training image of {found.name} ({found.origin}) has a label that is not held out.",
            hint="Label some: about 2,000 images were labelled by hand for the log that this follows.",
        )

    def validate(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        return validation(nets, held, taught, rng.device)

    return Task(
        train=train,
        batch_size=settings.batch_size,
        prepare=prepare,
        phases=[
            Phase(
                name=what,
                trains=(what,),
                loss=sex_loss(settings) if what == "sex" else condition_loss(what, settings),
                optimiser=Optimiser(
                    "adam",
                    lr=settings.optim.lr,
                    plateau=Plateau(f"{what}/loss", settings.optim.factor, settings.optim.wait),
                ),
                definition=DEFINITIONS["sex" if what == "sex" else "other"],
            )
            for what in taught
        ],
        validate=validate,
        keep_best=BEST,
        remarks=[remark(what, nets[what].labels, held) for what in PLACES],
        data={"name": found.name, "source": found.origin, "drawn": found.drawn, "sha256": found.sha256},
    )


LEAST_ERROR = 1e-5
"""Loss of always answering the mean, at or below which labels do not vary."""
BEST = Metric(
    "relative",
    "lower",
    "mean over held-out labels of the network's validation loss as a share of that of always answering the training "
    "labels' mean",
)
DEFINITIONS = {
    "sex": "mean over the batch's labelled faces of -Σ_{male, female} p·log softmax(logits), nats; 0 in a "
    "batch without any",
    "other": "mean over the batch's labelled faces of (y - label)², 0 in a batch without any; the sex is the label or, "
    "without, the network's",
}


def remark(what: str, labels: Any, held: Mapping[str, Array]) -> str:
    """How many labels a network has to learn from."""
    import numpy as np

    if not labels.count:
        return f"{what}: no label to train on; it is not trained, and 0.5 is answered"
    watched = int((~np.isnan(held["conditions"][:, PLACES[what].start])).sum())
    return f"{what}: {int(labels.count):,} labels to train on, {watched:,} held out"


def prepare(batch: Batch) -> Batch:
    """Images (B, 120, 120, 3) uint8 → x (B, 3, 120, 120) in [0, 1]; conditions (B, 5) stay."""
    return Batch(x=batch["images"].permute(0, 3, 1, 2).float().div(255), conditions=batch["conditions"])


def mean_of_labelled(errors: Any, known: Any) -> Any:
    """Mean of errors (B,) where known (B,); 0 where nothing is."""
    return errors.where(known, 0).sum() / known.sum().clamp_min(1)


def sex_errors(logits: Any, wanted: Any) -> Any:
    """Cross-entropy (B,) in nats of logits (B, 2) and probabilities (B, 2)."""
    return -(wanted.nan_to_num() * logits.log_softmax(1)).sum(1)


def seen(settings: Settings, batch: Batch, rng: torch.Generator) -> Any:
    """The images as the networks are shown them: changed once, for all four."""
    from epochal.systems.data import augment

    if "seen" not in batch:
        batch["seen"] = augment.blur(batch["x"], rng, settings.augment.blur)
    return batch["seen"]


def sex_loss(settings: Settings) -> LossFunction:
    """Cross-entropy; leaves what the network reads in the batch, for the other three."""

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        logits, wanted = nets["sex"](seen(settings, batch, rng)), batch["conditions"][:, :2]
        batch["sex"] = logits.detach().softmax(1)
        return mean_of_labelled(sex_errors(logits, wanted), ~wanted.isnan().any(1)), {}

    return loss


def condition_loss(what: str, settings: Settings) -> LossFunction:
    """Mean squared error of one condition."""

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        conditions = batch["conditions"]
        known = conditions[:, :2]
        # Without any label of the sex its network is not trained, and nobody left its answer here.
        sex = known.where(~known.isnan(), batch["sex"] if "sex" in batch else nets["sex"].labels.mean)
        wanted = conditions[:, PLACES[what]][:, 0]
        errors = (nets[what](seen(settings, batch, rng), sex) - wanted.nan_to_num()).square()
        return mean_of_labelled(errors, ~wanted.isnan()), {}

    return loss


def answers(nets: Nets, x: Any) -> tuple[Any, Any]:
    """Conditions (B, 5) of faces x (B, 3, 120, 120) as the networks read them, and the logits (B, 2) of the sex.

    A network that had no label to learn from answers 0.5.
    """
    import torch

    logits = nets["sex"](x)
    sex = logits.softmax(1) if nets["sex"].labels.count else nets["sex"].labels.mean.expand(len(x), -1)
    others = [
        nets[what](x, sex) if nets[what].labels.count else nets[what].labels.mean.expand(len(x))
        for what in REGRESSIONS
    ]
    return torch.cat([sex, torch.stack(others, 1)], 1), logits


def validation(nets: Nets, columns: Mapping[str, Array], taught: list[str], device: Any) -> dict[str, float]:
    """Losses on held-out labels by network, their sum, accuracy, and `BEST`. Each of them has a held-out label.

    Where all labels of a condition are one number, the mean is never wrong: it has no share in `BEST`.
    """
    import torch

    found, logits, wanted = [], [], []
    for batch in batches(columns, device):
        read = answers(nets, batch["x"])
        found.append(read[0])
        logits.append(read[1])
        wanted.append(batch["conditions"])
    y, scores, c = torch.cat(found), torch.cat(logits), torch.cat(wanted)
    values, shares, labels = {}, [], []
    for what in taught:
        mean, target = nets[what].labels.mean, c[:, PLACES[what]]
        known = ~target.isnan().any(1)
        if what == "sex":
            errors = sex_errors(scores, target)
            guessed = sex_errors(mean.clamp_min(1e-6).log().expand_as(target), target)
            values["sex/accuracy"] = mean_of_labelled(
                ((y[:, 0] > 0.5) == (target[:, 0] > 0.5)).float(), known
            )
        else:
            errors = (y[:, PLACES[what]] - target)[:, 0].square()
            guessed = (mean - target)[:, 0].square()
        values[f"{what}/loss"] = mean_of_labelled(errors, known)
        guess = mean_of_labelled(guessed, known)
        shares.append(values[f"{what}/loss"] / guess.clamp_min(LEAST_ERROR))
        labels.append(known.sum() * (guess > LEAST_ERROR))
    total = torch.stack([values[f"{what}/loss"] for what in taught]).sum()
    n = torch.stack(labels)
    relative = (torch.stack(shares) * n).sum() / n.sum().clamp_min(1)
    return {"loss": total, **values, BEST.name: torch.where(n.sum() > 0, relative, total)}


def batches(columns: Mapping[str, Array], device: Any) -> Iterator[Batch]:
    """All items, prepared, in stored order."""
    import torch

    for start in range(0, len(columns["images"]), CHUNK):
        part = {name: torch.tensor(column[start : start + CHUNK]) for name, column in columns.items()}
        yield prepare(Batch({name: tensor.to(device) for name, tensor in part.items()}))


def conditions_of(trained: Trained, images: Array, rows: Array | None = None) -> Array:
    """Conditions (n, 5) float32 of faces (n, 120, 120, 3) uint8: p(male), p(female), hair darkness, mouth, eyes.

    0.5 where the run's faces had no label of a condition. With `rows` only these, of which few are read at a time: the
    images may be a file.

    Raises:
        ValueError: images of another shape or type.
    """
    import numpy as np
    import torch

    if images.dtype != np.uint8 or images.shape[1:] != (120, 120, 3):
        raise ValueError(
            f"images must be uint8 of shape (n, 120, 120, 3), but got {images.dtype} {images.shape}"
        )
    rows = np.arange(len(images)) if rows is None else rows
    read = [np.zeros((0, 5), np.float32)]
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            some = images[rows[start : start + CHUNK]]
            columns = {"images": some, "conditions": np.zeros((len(some), 5), np.float32)}
            (batch,) = batches(columns, trained.device)
            read.append(answers(trained.nets, batch["x"])[0].float().cpu().numpy())
    return np.concatenate(read)


# --- measuring
# --------------------------------------------------------------------------------------------------

METRICS = (
    Metric("sex_accuracy", "higher", "share of labelled images whose sex is read right", margin=0.005),
    *(
        metric
        for what, name in NAMES.items()
        for metric in (
            Metric(f"{what}_mse", "lower", f"mean (read - labelled)² of {name}", margin=0.001),
            Metric(f"{what}_mae", "lower", f"mean |read - labelled| {name}", margin=0.005),
            Metric(f"{what}_r2", "higher", f"R² of {name}", margin=0.02),
            Metric(
                f"{what}_gain",
                "higher",
                f"how many times smaller the MSE of {name} is than that of always answering the training labels' mean",
                margin=0.1,
            ),
        )
    ),
)


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """Each network's errors on a split's labels, beside always answering the training labels' mean.

    A network that does hardly better than the mean is said to.
    """
    import numpy as np

    from epochal.evidence.metrics import labels, regression

    columns = labelled(trained.settings, read(trained.settings), split)
    found, wanted = conditions_of(trained, columns["images"]), columns["conditions"]
    measured: dict[str, float | str] = {}
    for what, place in PLACES.items():
        known = ~np.isnan(wanted[:, place.start])
        about = trained.nets[what].labels
        if not about.count or not known.any():
            missing = "trained" if not about.count else "measured"
            measured[what] = (
                f"not {missing}: no {'training' if not about.count else split} image has its label"
            )
        elif what == "sex":
            male = wanted[known, 0] > 0.5
            right, n = int(((found[known, 0] > 0.5) == male).sum()), len(male)
            low, high = labels.wilson(right, n)
            commoner = max(male.mean(), 1 - male.mean())
            numbers = {"accuracy": right / n, "accuracy_low": low, "accuracy_high": high}
            measured |= {f"sex_{name}": value for name, value in numbers.items()}
            better = (
                "is read"
                if low > commoner
                else "is NOT read, no better than always answering the commoner sex"
            )
            measured[what] = (
                f"{better}: {right / n:.1%} right, the commoner sex is {commoner:.1%} (n = {n:,})"
            )
        else:
            error = regression.measure(
                found[known, place.start], wanted[known, place.start], float(about.mean)
            )
            numbers = {"mse": error.mse, "mae": error.mae, "r2": error.r2, "gain": error.gain}
            measured |= {f"{what}_{name}": value for name, value in numbers.items()}
            measured[what] = error.verdict()
    return measured


# --- drawing
# --------------------------------------------------------------------------------------------------

DRAWN, FACES = 400, 10
"""Test images whose reading is drawn as points, and as faces in a row."""


def figures(trained: Trained) -> dict[str, Figure]:
    """What is read over what is labelled, for each condition; and test faces in the order of what is read."""
    import numpy as np

    source = read(trained.settings)
    columns = labelled(trained.settings, source, "test")
    if not len(columns["images"]):  # no test image has a label: faces can be put in order all the same
        test = source.splits["test"]["images"]
        columns = {"images": test, "conditions": np.full((len(test), 5), np.nan, np.float32)}
    rows = np.unique(np.linspace(0, len(columns["images"]) - 1, DRAWN).round().astype(int))
    images, wanted = columns["images"][rows], columns["conditions"][rows]
    found = conditions_of(trained, images)
    drawn: dict[str, Figure] = {}
    for what, name in NAMES.items():
        place = PLACES[what].start
        known = ~np.isnan(wanted[:, place])
        if known.any() and trained.nets[what].labels.count:
            mean = float(trained.nets[what].labels.mean)
            drawn[what] = scatter(name, wanted[known, place], found[known, place], mean)
    return {**drawn, "faces": faces_in_order(images, found)}


def scatter(name: str, labels: Array, answers: Array, mean: float) -> Curves:
    """Answers over labels, beside right answers and the mean."""
    import numpy as np

    from epochal.evidence.metrics import regression

    even = np.linspace(0, 1, 101).tolist()  # many enough to be a line without marks at its ends
    return Curves(
        {
            "test image": (labels.tolist(), answers.tolist()),
            "right answer": (even, even),
            "mean of the training labels": (even, [mean] * len(even)),
        },
        title=f"{name.capitalize()} {regression.measure(answers, labels, mean).verdict()}",
        x_axis=f"{name}, labelled",
        y_axis=f"{name}, read",
        dots=("test image",),
    )


def faces_in_order(images: Array, found: Array) -> ImageGrid:
    """A row a condition: faces at equal steps of rank, from the least value read to the largest."""
    import numpy as np

    names = {"sex": "p(male)", **NAMES}
    places = [PLACES[what].start for what in names]
    steps = np.linspace(0, len(images) - 1, min(FACES, len(images))).round().astype(int)
    order = [np.argsort(found[:, place], kind="stable")[steps] for place in places]
    return ImageGrid(
        np.stack([images[rows] for rows in order]),
        title="Test faces in the order of what the networks read",
        rows=[
            f"{name} {found[rows[0], place]:.2f} to {found[rows[-1], place]:.2f}"
            for name, place, rows in zip(names.values(), places, order, strict=True)
        ],
        columns=["least", *[""] * (len(steps) - 2), "most"] if len(steps) > 1 else [],
        row_axis="condition as read",
    )


# --- filling
# --------------------------------------------------------------------------------------------------


def predict(trained: Trained, path: Path, out: Path) -> dict[str, Any]:
    """Writes the table of a folder of faces with its missing labels filled in; labels stay as they are written.

    What earlier networks filled in (the column `predicted` says it) is filled in anew.
    """
    import numpy as np

    from epochal.systems.data import faces_folder, faces_table

    if not path.is_dir():
        raise UsageError(
            f"{path} is no folder.", hint="Name the folder that holds the pictures and their table."
        )
    found = faces_folder.read(path)
    table = found.table
    lacking = np.isnan(table.conditions) | table.predicted
    rows = np.flatnonzero(lacking[found.order].any(axis=1))
    answers = np.full((len(table.rows), 5), np.nan, np.float32)
    answers[found.order[rows]] = conditions_of(trained, found.images, rows)
    for what, place in PLACES.items():
        if not trained.nets[what].labels.count:
            answers[:, place] = np.nan  # nothing was learnt: the cells stay empty
    header, cells, counts = faces_table.filled_in(table, answers)
    faces_table.write(out, header, cells)
    return {"pictures": len(cells), **{f"{name} filled in": count for name, count in counts.items()}}


RECIPE = Recipe(
    name="face-conditions",
    summary="reads sex, hair darkness, mouth and eyes off faces, and fills in missing labels",
    settings=Settings,
    versions=(
        Version(
            "v1",
            change="four small networks, each told the sex that the first one reads",
            reported={
                "sex_accuracy": 0.9433,
                "hair_mse": 0.0312,
                "hair_gain": 1.97,
                "mouth_mse": 0.0258,
                "mouth_gain": 7.9,
                "eyes_mse": 0.0205,
                "eyes_gain": 1.65,
            },
            source="reference log, on its validation split",
        ),
    ),
    nets=nets,
    build=build,
    metrics=METRICS,
    evaluate=evaluate,
    figures=figures,
    predict=predict,
    data="a folder of faces with a CSV; drawn faces offline",
    sources=("faces-folder",),
    minutes=9.0,
)
