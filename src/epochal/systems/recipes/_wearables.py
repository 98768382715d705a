"""What the recipes of wearables share: windows by subject, one network that reads them, and how good it is.

An example is a window of a worn sensor (channels, samples) in the sensor's own unit, the persistence images of its
channels (channels, 64, 64), or, with `data.name cifar10`, a picture (32, 32, 3). Every network is called `network` and
scales its input itself, so that a trained one takes what the sensor gives.
Read from top to bottom: settings, networks, examples, training, measuring, drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import EpochalError, UsageError
from epochal.settings import Interval, common
from epochal.systems.recipes import _classifier as classifier
from epochal.training import schedules
from epochal.training.task import Batch, Curves, Metric, Optimiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch

    from epochal.systems.data import Dataset
    from epochal.systems.data.recordings import Recordings
    from epochal.training.task import Array, Figure, Nets, Trained

NET = "network"
WEARABLES, PICTURES = "wisdm-watch", "cifar10"
RECORDINGS = ("geneactiv-folder", "arrays-folder", WEARABLES, "chest", "pamap2", "basicmotions")
"""Sources in the order in which a named folder is searched for them."""
SECONDS = 5
"""Length of a window where none is given."""
OUTSIDE = 0.01
"""Share of the training samples that a persistence image clips at each end of a channel's range."""
CHUNK = 250
"""Examples a forward pass where nothing is trained."""
Reads = Literal["signal", "persistence"]


@dataclass(frozen=True)
class DataSettings(common.DataSettings):
    """Which recordings, how they are cut into windows, and who of the people trains, validates and tests."""

    name: Literal["wearables", "cifar10"] = "wearables"
    """What is classified: windows of a worn sensor, or the pictures of CIFAR-10 (with 2-D networks)."""
    limit: Annotated[int, Interval(1)] | None = None
    """Use at most this many training windows, evenly spaced over people and time."""
    window: Annotated[int, Interval(8)] | None = None
    """Samples of a window; by default five seconds."""
    step: Annotated[int, Interval(1)] | None = None
    """Samples from one window's start to the next; by default a window's length, so that none overlap."""
    purity: Annotated[float, Interval(0, 1, open_low=True)] = 1.0
    """Least share of a window's samples that bear its label; other windows are left out."""
    scaling: Literal["standard", "minmax"] = "standard"
    """What each channel is brought to, by the windows to train on: mean 0 and deviation 1, or the range [0, 1]."""
    folds: Annotated[int, Interval(3)] = 5
    """Groups that the people are shuffled into; one tests, the next one validates, the others train."""
    fold: Annotated[int, Interval(0)] = 0
    """Which group tests."""
    test_subject: str | None = None
    """Leave this person out, by name or number, as the only one to test (instead of folds); a fifth of the others
    validate."""
    split_seed: Annotated[int, Interval(0)] = 0
    """Decides who is in which group: the same in every run unless changed, whatever the run's own seed is."""
    hold_out: Annotated[int, Interval(0)] = 5000
    """Of CIFAR-10: how many training pictures, the last ones, validate."""


@dataclass(frozen=True)
class Augment:
    """Random changes of the training examples, each batch anew."""

    noise: Annotated[float, Interval(0)] = 0.0
    """Of windows: Gaussian noise of so many standard deviations of a channel."""
    crop: Annotated[int, Interval(0, 16)] = 0
    """Of pictures: pad so many zero pixels on each side and cut out 32x32 at a random place."""
    flip: bool = False
    """Of pictures: mirror left and right with probability 1/2."""


@dataclass(frozen=True)
class Optim:
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum, as the published reference program; Adam, as the log says."""
    lr: Annotated[float, Interval(0, open_low=True)] = 0.05
    """Learning rate at the first step."""
    momentum: Annotated[float, Interval(0, 1, open_high=True)] = 0.9
    """Of SGD."""
    weight_decay: Annotated[float, Interval(0)] = 1e-4
    """On all parameters."""
    schedule: Literal["log", "cosine", "constant"] = "log"
    """`log`: of E epochs the rate for the first E // 18 (at least one), a fifth of it until E // 3, a fiftieth until
    2E // 3, then a 500th; half a cosine down to 0; or constant."""


@dataclass(frozen=True)
class PaperCompat:
    """Faults of the reference programs, to show what they do."""

    choose_on_test: bool = False
    """Pick the best epoch by the people who test: their accuracy is then no longer one on people never seen."""
    persistence: bool = False
    """Persistence images with lifetimes in [-1, 1] and each image divided by its maximum."""


@dataclass(frozen=True)
class Settings(common.RecipeSettings):
    """What every recipe of wearables can be told."""

    epochs: Annotated[int, Interval(1)] = 60
    """Passes over the training data in total, those before a resume included; 200 as logged."""
    batch_size: Annotated[int, Interval(1)] = 64
    """Windows a step."""
    data: DataSettings = field(default_factory=DataSettings)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)
    paper_compat: PaperCompat = field(default_factory=PaperCompat)


# --- networks
# --------------------------------------------------------------------------------------------------


def network(name: str, about: Mapping[str, Any], checkpoint: str | None = None) -> Any:
    """A fresh network of that name for the channels and classes that a run noted of its data.

    Args:
        name: such as "wrn16-1" (`nets.classifiers`).
        about: `Examples.about`.
        checkpoint: weights to begin from: a run's folder, or a file.
    """
    from epochal.systems.nets import classifiers
    from epochal.systems.recipes import _teachers

    dims: Any = 2 if about["shape"] == "pictures" else 1
    net = classifiers.build(name, len(about["channels"]), len(about["classes"]), dims)
    if checkpoint is not None:
        _teachers.fill(net, checkpoint)
    return net


# --- examples
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """What a network is trained on and measured by.

    Attributes:
        found: the data set they come from.
        splits: "train", "validation" (where there is one) and "test", each with "x", "labels" (n,) int64 and
            "subject" (n,) int32, -1 where nobody says who.
        about: what a run notes of them (`Task.data`): name, source, classes, channels, shape ("signals" or "pictures"),
            and of windows rate_hz, unit, window, and who is in which split.
        remarks: what to say when training starts.
    """

    found: Dataset
    splits: Mapping[str, Mapping[str, Array]]
    about: Mapping[str, Any]
    remarks: tuple[str, ...]


def source_of(settings: Settings) -> str:
    """The source that `settings.data` stands for on this machine.

    Who names a folder and no source means what lies there, recordings of their own first.
    """
    from epochal.systems import data

    chosen = settings.data
    if chosen.name == "cifar10":
        return data.resolve(chosen.source, chosen.dir, wanted=PICTURES)
    if chosen.source == "auto" and chosen.dir is not None:
        home = Path(chosen.dir).expanduser()
        found = {one.name: one.found for one in data.sources(chosen.dir) if one.found}
        for name in RECORDINGS:
            if name in found and Path(found[name]).is_relative_to(home):
                return name
        raise UsageError(
            f"--data.dir is {chosen.dir!r}, where no recordings were found.",
            hint="GENEActiv exports need labels.csv beside them, arrays need about.json (docs/wearables.md); "
            "--data.source NAME says what is wrong with them. `--data.source wrist` needs no files.",
        )
    return data.resolve(chosen.source, chosen.dir, wanted=WEARABLES)


def read(settings: Settings, reads: Reads = "signal") -> Examples:
    """The examples that `settings.data` names, as windows or as their persistence images; or pictures.

    Raises:
        UsageError: the settings ask for what the data cannot give.
        EpochalError: the data are damaged, or somebody would train and test.
    """
    if settings.data.name == "cifar10":
        if reads != "signal":
            raise UsageError(
                "Pictures have no persistence images here.", hint="Leave out --data.name cifar10."
            )
        return _pictures(settings)
    return _windows(settings, reads)


def _pictures(settings: Settings) -> Examples:
    """CIFAR-10: pictures (n, 32, 32, 3) uint8; nobody wears them."""
    import numpy as np

    from epochal.systems import data

    chosen = settings.data
    if chosen.test_subject is not None or chosen.fold:
        raise UsageError(
            "Nobody wears CIFAR-10: there are no people to leave out.",
            hint="--data.hold-out N says how many pictures validate.",
        )
    found = data.load(
        source_of(settings), wanted=PICTURES, folder=chosen.dir, limit=chosen.limit, hold_out=chosen.hold_out
    )
    splits = {
        split: {
            "x": columns["images"],
            "labels": columns["labels"].astype(np.int64),
            "subject": np.full(len(columns["labels"]), -1, np.int32),
        }
        for split, columns in found.splits.items()
    }
    about = {
        **classifier.about(found),
        "classes": list(found.classes),
        "channels": ["red", "green", "blue"],
        "shape": "pictures",
    }
    return Examples(found, *_watched(settings, splits, about))


def _windows(settings: Settings, reads: Reads) -> Examples:
    """Windows of recordings, divided by subject, and what to know of them."""
    from epochal.systems import data
    from epochal.systems.data import recordings, subjects

    chosen = settings.data
    found = data.load(source_of(settings), wanted=WEARABLES, folder=chosen.dir)
    everybody, tested = (recordings.of(found, split) for split in ("train", "test"))
    length = chosen.window or found.extras.get("window") or round(SECONDS * everybody.rate_hz)
    names = found.extras.get("subjects", ())
    divided, dropped = _divided(settings, everybody, tested, length, names)
    published = len(tested.samples) > 0
    subjects.insist_disjoint({name: one["subject"] for name, one in divided.items()}, allow_unknown=published)
    scale: dict[str, Any] = {}
    if reads == "persistence":
        divided, low, high = _as_images(settings, divided)
        scale = {"image_low": low.tolist(), "image_high": high.tolist()}
    about = {
        **classifier.about(found),
        "classes": list(found.classes),
        "channels": list(everybody.channels),
        "shape": "pictures" if reads == "persistence" else "signals",
        "rate_hz": everybody.rate_hz,
        "unit": everybody.unit,
        "window": length,
        "subjects": {name: sorted(set(one["subject"].tolist())) for name, one in divided.items()},
        **({"people": list(names)} if len(names) else {}),
        "dropped": dropped,
        **scale,
    }
    return Examples(found, *_watched(settings, divided, about))


def _divided(
    settings: Settings, everybody: Recordings, tested: Recordings, length: int, names: Sequence[str]
) -> tuple[dict[str, dict[str, Array]], dict[str, int]]:
    """Windows by split, people apart; and how many were left out, why."""
    from epochal.systems.data import subjects, windows
    from epochal.systems.data.rows import spaced

    chosen = settings.data
    cut = windows.cut(everybody, length=length, step=chosen.step, purity=chosen.purity)
    columns = {"x": cut.x, "labels": cut.labels, "subject": cut.subject}
    if len(tested.samples):
        _insist_on_published(chosen)
        held = _held_out(cut.subject, cut.recording, cut.labels, chosen)
        masks = {"train": ~held, "validation": held}
        split = {name: {k: v[mask] for k, v in columns.items()} for name, mask in masks.items()}
        test = windows.cut(tested, length=length, step=chosen.step, purity=chosen.purity)
        split["test"] = {"x": test.x, "labels": test.labels, "subject": test.subject}
    else:
        if chosen.test_subject is not None:
            left = _number(chosen.test_subject, names)
            people = subjects.leave_one_out(cut.subject, left, seed=chosen.split_seed)
        else:
            people = subjects.divide(
                cut.subject, folds=chosen.folds, fold=chosen.fold, seed=chosen.split_seed
            )
        split = {
            name: {k: v[subjects.rows(cut.subject, who)] for k, v in columns.items()}
            for name, who in people.items()
        }
    if chosen.limit is not None:
        split["train"] = {name: spaced(column, chosen.limit) for name, column in split["train"].items()}
    return split, dict(cut.dropped)


def _insist_on_published(chosen: DataSettings) -> None:
    """Refuses to divide anew what its publisher divided."""
    if chosen.test_subject is not None or chosen.fold:
        asked = "data.fold" if chosen.test_subject is None else "data.test_subject"
        raise UsageError(
            f"{asked} divides people, but whoever made these data has said who tests.",
            hint=f"Leave {asked} out, or take the division out of the data (split.npy).",
        )


def _held_out(subject: Array, recording: Array, labels: Array, chosen: DataSettings) -> Array:
    """Which windows of a published training split validate: a fifth of the people, or, where they are not named, the
    last fifth of each activity's recordings, since neighbours resemble each other."""
    import numpy as np

    from epochal.systems.data import subjects

    people = np.unique(subject)
    if people[0] >= 0 and len(people) >= 2:
        order = np.random.default_rng(chosen.split_seed).permutation(people)
        return subjects.rows(subject, order[: max(1, round(len(people) / 5))].tolist())
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.unique(recording[labels == label])
        held |= (labels == label) & np.isin(recording, own[len(own) - len(own) // 5 :])
    return held & ~np.isin(recording, recording[~held])  # a recording with two activities stays whole


def _number(person: str, names: Sequence[str]) -> int:
    """A person's number in the data, from the name or the number.

    Raises:
        UsageError: nobody has that name, and it is no number.
    """
    if person in names:
        return list(names).index(person)
    if person.isdecimal() and (not len(names) or int(person) < len(names)):
        return int(person)
    known = f"There are: {', '.join(map(str, names[:20]))}." if len(names) else "People are numbers here."
    raise UsageError(f"There is nobody called {person!r} to leave out.", hint=known)


def _watched(
    settings: Settings, splits: dict[str, dict[str, Array]], about: dict[str, Any]
) -> tuple[dict[str, dict[str, Array]], dict[str, Any], tuple[str, ...]]:
    """The splits with what validates, and what is to be said of them."""
    import numpy as np

    remarks = [
        f"data: {about['name']} ({about['source']})",
        "examples: "
        + ", ".join(f"{len(one['labels']):,} {name}" for name, one in splits.items() if len(one["labels"])),
    ]
    if "subjects" in about:
        who = {name: [one for one in people if one >= 0] for name, people in about["subjects"].items()}
        remarks[-1] += "; people: " + (
            ", ".join(f"{len(people)} {name}" for name, people in who.items())
            if all(who.values())
            else "not named, the publisher's division: the same may stand on both sides"
        )
        left_out = {why: count for why, count in about["dropped"].items() if count}
        if left_out:
            remarks.append("left out: " + ", ".join(f"{count:,} {why}" for why, count in left_out.items()))
    missing = sorted(set(range(len(about["classes"]))) - set(np.unique(splits["train"]["labels"]).tolist()))
    if missing:
        remarks.append("no training example is " + ", ".join(about["classes"][one] for one in missing))
    if settings.paper_compat.choose_on_test:
        splits = {**splits, "validation": splits["test"]}
        remarks.append(
            "the best epoch is chosen on those who test: their accuracy is none on people never seen"
        )
    return splits, about, tuple(remarks)


def _as_images(
    settings: Settings, divided: dict[str, dict[str, Array]]
) -> tuple[dict[str, dict[str, Array]], Array, Array]:
    """The same windows as persistence images (n, channels, 64, 64) float16, kept in the cache; and their scale.

    Signals are scaled to [-1, 1] by the windows to train on, of which a hundredth lies outside at each end: between
    their very extremes most pictures would be empty. What lies outside is clipped.
    """
    from epochal.systems.data.persistence_images import ranges
    from epochal.systems.data.persistence_kept import kept_images

    low, high = ranges(divided["train"]["x"], outside=OUTSIDE)
    compat = settings.paper_compat.persistence
    images = {
        name: {**one, "x": kept_images(one["x"], low=low, high=high, paper_compat=compat)}
        for name, one in divided.items()
    }
    return images, low, high


# --- training
# --------------------------------------------------------------------------------------------------


def prepare(batch: Batch) -> Batch:
    """Examples as stored → x float32, (B, channels, samples) or (B, channels, H, W); pixels in [0, 1]; labels int64."""
    x = batch["x"]
    x = x.permute(0, 3, 1, 2).float().div(255) if str(x.dtype) == "torch.uint8" else x.float()
    return Batch({**batch, "x": x})


def learn_scale(net: Any, settings: Settings, x: Array) -> None:
    """Tells a network what its channels are to be divided by, from the training examples as stored."""
    import numpy as np

    pictures = x.dtype == np.uint8
    axes = (0, 1, 2) if pictures else (0, *range(2, x.ndim))
    unit = 255.0 if pictures else 1.0
    if settings.data.scaling == "minmax" and x.ndim == 3:
        shift = x.min(axis=axes)
        width = x.max(axis=axes) - shift
    else:
        shift, width = x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
    width = np.where(width > 0, width, unit)  # a channel that never changes stays as it is
    net.scaled.learn(_tensor(shift / unit), _tensor(width / unit))


def _tensor(values: Any) -> torch.Tensor:
    import torch

    return torch.from_numpy(values.astype("float32"))


def augmented(wanted: Augment, x: Array) -> Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None:
    """The random changes of a batch (B, channels, …); None for none.

    Args:
        wanted: which.
        x: the training examples as stored, for the deviation of each channel.
    """
    if not (wanted.noise or wanted.crop or wanted.flip):
        return None
    size = wanted.noise * _tensor(x.std(axis=(0, 2))) if wanted.noise else None

    def change(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        import torch

        from epochal.systems.data import augment

        if size is not None:
            noise = torch.randn(x.shape, generator=rng, device=x.device)
            return x + noise * size.to(x.device)[:, None]
        if wanted.crop:
            x = augment.crop(x, rng, pad=wanted.crop)
        if wanted.flip:
            x = augment.flip(x, rng)
        return x

    return change


def check_augment(wanted: Augment, shape: str, reads: Reads = "signal") -> None:
    """Refuses changes that the examples do not know.

    Raises:
        UsageError: noise on pictures, crops of windows, or any change of persistence images.
    """
    if reads == "persistence" and (wanted.noise or wanted.crop or wanted.flip):
        raise UsageError("Persistence images are not changed at random.", hint="Leave out augment.")
    if shape == "signals" and (wanted.crop or wanted.flip):
        raise UsageError("Windows are neither cropped nor mirrored.", hint="augment.noise is for them.")
    if shape == "pictures" and wanted.noise:
        raise UsageError(
            "augment.noise is for windows.", hint="augment.crop and augment.flip are for pictures."
        )


def optimiser(settings: Settings, items: int) -> Optimiser:
    """The optimiser with its schedule over the whole training on `items` examples."""
    wanted, epochs = settings.optim, settings.epochs
    schedule = None
    if wanted.schedule == "log":
        # Of fewer than 18 epochs too the first one has the first rate: else nothing would be learnt.
        ends = (max(epochs // 18, 1), epochs // 3, 2 * epochs // 3)
        schedule = schedules.staircase((1.0, 0.2, 0.02, 0.002), ends)
    elif wanted.schedule == "cosine":
        schedule = schedules.cosine(classifier.total_steps(settings, items))
    return Optimiser(
        wanted.name,
        lr=wanted.lr,
        momentum=wanted.momentum,
        weight_decay=wanted.weight_decay,
        schedule=schedule,
    )


BEST = Metric("accuracy", "higher", "share of windows read right, of people who validate")


def best(examples: Examples) -> Metric | None:
    """What chooses the best epoch: nothing where nobody validates."""
    return BEST if len(examples.splits.get("validation", {}).get("labels", ())) else None


def validate(
    examples: Examples, settings: Settings, *, entropy: str = "cross_entropy"
) -> Callable[[Nets, torch.Generator], Mapping[str, float]] | None:
    """`Task.validate`: accuracy, balanced accuracy and cross-entropy (nats) on those who validate.

    The latter is called as the training calls it, so that both stand in one picture.
    """
    if best(examples) is None:
        return None
    columns = examples.splits["validation"]

    def function(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        from epochal.evidence.metrics import balance, classification

        found = classification.measure(answers(nets[NET], columns, rng.device, settings))
        return {
            "accuracy": found.top1,
            "balanced_accuracy": balance.balanced_accuracy(found.confusion),
            entropy: found.nll,
        }

    return function


def answers(
    net: Any, columns: Mapping[str, Array], device: Any, settings: Any = None
) -> Iterator[tuple[torch.Tensor, Array]]:
    """Logits (B, classes) and labels (B,) of all examples, batch by batch, in stored order.

    With the settings of a run whose loss saw standardised logits only, they are standardised: the size of its raw ones
    was never trained.
    """
    import torch

    from epochal.systems.losses.distillation import standardised

    standardise = getattr(getattr(settings, "loss", None), "standardise_logits", False)
    for start in range(0, len(columns["labels"]), CHUNK):
        x = torch.tensor(columns["x"][start : start + CHUNK]).to(device)
        with torch.no_grad():
            logits = net(prepare(Batch(x=x))["x"])
            yield (
                standardised(logits) if standardise else logits,
                columns["labels"][start : start + CHUNK],
            )


# --- measuring
# --------------------------------------------------------------------------------------------------

METRICS = (
    Metric("accuracy", "higher", "share of windows read right", margin=0.005),
    Metric("balanced_accuracy", "higher", "mean over classes of the share read right", margin=0.005),
    Metric("macro_f1", "higher", "mean over classes of F1", margin=0.005),
    Metric("worst_subject", "higher", "accuracy on the person with the lowest one", margin=0.02),
    Metric("subject_sd", "lower", "standard deviation over people of their accuracy", margin=0.02),
    Metric("nll", "lower", "mean over windows of -log p(label), nats", margin=0.01),
    Metric("ece", "lower", "expected calibration error, 15 bins of confidence", margin=0.005),
)


def read_again(trained: Trained, reads: Reads) -> Examples:
    """A run's examples, as they were when it was trained.

    Raises:
        EpochalError: the data have changed since: people are divided anew, and some who were trained on would test.
    """
    examples = read(trained.settings, reads)
    was = trained.data.get("sha256")
    if was and was != examples.about["sha256"]:
        raise EpochalError(
            f"{examples.found.name} has changed since this run was trained (SHA-256 {was[:12]}…, now "
            f"{examples.about['sha256'][:12]}…): who was trained on may test now.",
            hint="Put back the data it began with, or train anew.",
        )
    return examples


def evaluate(trained: Trained, split: str, reads: Reads = "signal") -> dict[str, float | str]:
    """The `METRICS` on a split, accuracy with its 95 % interval: over people where at least three are named, none of
    fewer; over examples where nobody is.

    Raises:
        UsageError: there is no such split.
        EpochalError: the data have changed since the run.
    """
    import numpy as np

    from epochal.evidence.metrics import balance, classification

    examples = read_again(trained, reads)
    if split not in examples.splits or not len(examples.splits[split]["labels"]):
        raise UsageError(f"There is no split {split!r} of these data.", hint="--data.hold-out N makes one.")
    columns = examples.splits[split]
    scores = list(answers(trained.nets[NET], columns, trained.device, trained.settings))
    found = classification.measure(scores)
    measured: dict[str, float | str] = {
        "accuracy": found.top1,
        "examples": float(found.n),
        "balanced_accuracy": balance.balanced_accuracy(found.confusion),
        "macro_f1": balance.macro_f1(found.confusion),
        "nll": found.nll,
        "ece": found.ece,
    }
    measured |= costs(trained.nets[NET], columns["x"][:1], trained.device)
    if (
        columns["subject"].min() < 0
    ):  # nobody says who is who: windows, or pictures, are all there is to count
        measured |= {"accuracy_low": found.low, "accuracy_high": found.high}
        return measured
    right = np.concatenate([given.argmax(1).cpu().numpy() == wanted for given, wanted in scores])
    spread = balance.by_subject(right, columns["subject"].astype(np.int64))
    names = [_name(one, trained.data) for one in spread.subjects.tolist()]
    measured["worst_subject"] = float(spread.accuracy.min())
    measured["lowest"] = f"{names[int(spread.accuracy.argmin())]} ({spread.accuracy.min():.1%})"
    measured["people"] = f"{len(names)} ({', '.join(names[:12])}{', …' * (len(names) > 12)})"
    if len(names) > 1:
        measured["subject_sd"] = spread.deviation
    if len(names) > 2:
        measured["accuracy_low"], measured["accuracy_high"] = spread.interval()
        measured["interval"] = "of accuracy: 95 %, over people like these"
    else:
        measured["interval"] = "none: with fewer than three people nothing is known of others"
    return measured


def costs(net: Any, x: Array, device: str) -> dict[str, float]:
    """What a network costs whoever wears it: its parameters, and multiply-accumulates for one example x (1, …)."""
    import torch

    from epochal.evidence.metrics import cost

    example = prepare(Batch(x=torch.tensor(x).to(device)))["x"]
    return {"parameters": float(cost.parameters(net)), "macs": float(cost.macs(net, example))}


def _name(person: int, about: Mapping[str, Any]) -> str:
    """What a person is called in the data."""
    names = about.get("people", ())
    return str(names[person]) if 0 <= person < len(names) else str(person)


# --- drawing
# --------------------------------------------------------------------------------------------------


def figures(trained: Trained, reads: Reads = "signal") -> dict[str, Figure]:
    """Confusion, calibration, and accuracy person by person, all of those who test."""
    import numpy as np

    from epochal.evidence.metrics import balance, classification

    examples = read_again(trained, reads)
    columns = examples.splits["test"]
    scores = list(answers(trained.nets[NET], columns, trained.device, trained.settings))
    found = classification.measure(scores)
    items = "pictures" if trained.settings.data.name == "cifar10" else "windows"
    drawn: dict[str, Figure] = {
        "confusion": classifier.confusion_matrix(found.confusion, examples.found.classes, items),
        "reliability": classifier.reliability_diagram(found, items),
    }
    if columns["subject"].min() >= 0 and len(set(columns["subject"].tolist())) > 1:
        right = np.concatenate([given.argmax(1).cpu().numpy() == wanted for given, wanted in scores])
        drawn["people"] = by_person(balance.by_subject(right, columns["subject"].astype(np.int64)))
    return drawn


def by_person(spread: Any) -> Curves:
    """Accuracy of each person, lowest first, beside their mean."""
    order = spread.accuracy.argsort(kind="stable")
    ranks = [float(rank + 1) for rank in range(len(order))]
    mean = float(spread.accuracy.mean())
    return Curves(
        {
            "a person": (ranks, spread.accuracy[order].tolist()),
            # A line of many points has no marks that could be taken for people.
            "their mean": ([0.5 + step * len(ranks) / 99 for step in range(100)], [mean] * 100),
        },
        title=f"Accuracy person by person: from {spread.accuracy.min():.0%} to {spread.accuracy.max():.0%}",
        x_axis="people who test, in order of accuracy",
        y_axis="accuracy, share of the person's windows",
        dots=("a person",),
    )


MADE_BY = (
    "epochal.systems.recipes._wearables",
    *(
        f"epochal.systems.data.{name}"
        for name in ("windows", "subjects", "persistence", "persistence_images")
    ),
    *(f"epochal.systems.nets.{name}" for name in ("signals", "wide_resnet", "small_resnet")),
)
"""Modules that decide what a teacher is, beside its recipe's own."""


def parts() -> dict[str, Any]:
    """What their `Recipe`s have in common."""
    from epochal.systems.recipes import _wearables_predict

    return {
        "metrics": METRICS,
        "made_by": MADE_BY,
        "predict": _wearables_predict.predict,
        "export": _wearables_predict.export,
        "data": "recordings of a worn sensor by subject, or CIFAR-10; a simulated wrist offline",
        "sources": (WEARABLES, PICTURES),
    }
