"""Figures as PNG files: any picture of a recipe, and all pictures of a run."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from epochal.journal import atomic
from epochal.report import study, timeline
from epochal.report.curves import Sheet, curves_figure, mark, plot, spans_decades
from epochal.report.grids import grid_figure
from epochal.report.history import history_figure
from epochal.report.markdown import listed, upper_first
from epochal.report.matrices import matrix_figure
from epochal.report.readings import reading_figure
from epochal.report.shares import shares_figure
from epochal.report.text import BODY, DPI, INK
from epochal.settings import from_dict
from epochal.training.task import Curves, ImageGrid, Matrix, Reading

if TYPE_CHECKING:
    import os

    from epochal.journal import Run
    from epochal.training.task import Figure as Picture
    from epochal.training.task import Recipe, Trained

Points = Sequence[tuple[int, float]]
SPLITS = ("training", "validation")
Axis = Literal["epoch", "step"]

RATES = ("lr", "items_per_s", "images_per_s", "seconds")
"""Values that logs hold beside the loss and that are no part of it."""

WORDS = {
    "kl": ("KL divergence", "nats"),
    "kl_a": ("KL divergence from teacher A", "nats"),
    "kl_b": ("KL divergence from teacher B", "nats"),
    "ce": ("cross-entropy", "nats"),
    "sp": ("similarity gap", ""),
    "balanced_accuracy": ("balanced accuracy", "mean over classes"),
    "distortion": ("distortion", "nats"),
    "mmd": ("squared MMD", ""),
    "mse": ("MSE", ""),
    "relative": ("loss relative to the mean's", ""),
    "cross_entropy": ("cross-entropy", "nats"),
    "nll": ("negative log-likelihood", "nats"),
    "accuracy": ("accuracy", "share of items"),
    "bound": ("reconstruction + KL divergence", ""),
    "reconstruction": ("reconstruction", "squared error"),
    "grey": ("grey loss", ""),
    "l2": ("L2 penalty", ""),
    "dice_loss": ("Dice loss", ""),
    "iou": ("IoU", ""),
    "psnr": ("PSNR", "dB"),
}
"""What figures call a value of the log, and its unit; any other is called by its own name."""


def draw(value: Picture, path: str | os.PathLike[str], *, subtitle: str = "") -> Path:
    """Draws any figure of a recipe as a PNG file, whole or not at all; returns its path.

    Args:
        value: what to draw.
        path: file to write; its folder must exist.
        subtitle: a smaller line below the title (which run, which data).

    Raises:
        ValueError: pictures, curves, a matrix or a recording of a wrong shape; names it.
        TypeError: none of the four.
        EpochalError: the disk refuses.
    """
    match value:
        case ImageGrid():
            figure = grid_figure(value, subtitle=subtitle)
        case Curves():
            figure = curves_figure(value, subtitle=subtitle)
        case Matrix():
            figure = matrix_figure(value, subtitle=subtitle)
        case Reading():
            figure = reading_figure(value, subtitle=subtitle)
        case _:
            what = type(value).__name__
            raise TypeError(f"a figure is an ImageGrid, Curves, a Matrix or a Reading, but got {what}")
    return save(figure, Path(path))


def draw_run(recipe: Recipe, run: Run, trained: Trained) -> list[Path]:
    """Draws what a run measured while it trained, and its recipe's figures, into its `figures/`; returns their paths.

    Raises:
        EpochalError: the disk refuses.
    """
    drawn = []
    losses = loss_figure(recipe, run)
    if losses is not None:
        drawn.append(save(losses, run.figures_dir / "loss.png"))
    measured = shares_figure(
        values_over(run.probes(), "step", scope="step", split="train"),
        across=f"step{_epoch_each(run.metrics())}",
        subtitle=study.run_title(run),
    )
    if measured is not None:
        drawn.append(save(measured, run.figures_dir / "gradient_share.png"))
    samples = timeline.grids(run)
    course = timeline.figure(samples)
    if course is not None:
        title, where = study.run_title(run), run.figures_dir
        drawn.append(draw(course, where / "timeline.png", subtitle=title))
        moving = timeline.animate(samples, where / "animation.png", f"{course.title}, animated: {title}")
        drawn += [moving] if moving is not None else []
    if recipe.figures is not None:
        for stem, value in recipe.figures(trained).items():
            drawn.append(draw(value, run.figures_dir / f"{stem}.png", subtitle=study.run_title(run)))
    return drawn


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as a PNG file, whole or not at all; the file carries its title for who lists it."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    title = " ".join(text.get_text() for text in figure.texts if text.get_gid() == "title")
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None, "Title": title or None})
    atomic.write_bytes(path, buffer.getvalue())
    return path


def loss_figure(recipe: Recipe, run: Run) -> Figure | None:
    """What a run measured of itself while it trained, a panel each: training, validation, reported reference.

    Over epochs; a run of one or two epochs over steps, which show more. None when it wrote no value at all. The
    reference stands beside a run only where the two compare: the version's own settings, no drawn data.
    """
    if recipe.history is not None:
        return _history(recipe, run)
    lines = [line for line in run.metrics() if "member" not in line]  # a fleet's members are drawn together
    epochs = {line.get("epoch") for line in lines if line.get("scope") == "epoch"}
    axis: Axis = "epoch" if len(epochs) > 2 else "step"
    train = values_over(lines, axis, scope=axis, split="train")
    validation = values_over(lines, axis, scope="epoch", split="validation")
    if _is_cross_entropy(run) and "loss" not in validation and "cross_entropy" not in train:
        # One panel for one quantity: the gap between training and validation is what it is drawn for.
        validation = {"loss" if name == "cross_entropy" else name: y for name, y in validation.items()}
    validation = {_in_training(name, train): points for name, points in validation.items()}
    names = [name for name in dict.fromkeys(["loss", *train, *validation]) if name not in RATES]
    names = [name for name in names if name in train or name in validation]
    # The only part of a loss is the loss.
    names = [
        name for name in names if name == "loss" or name in validation or train[name] != train.get("loss")
    ]
    if not names:
        return None
    shown = ((f"{SPLITS[0]} (means over items)", train), (SPLITS[1], validation))
    splits = [name for name, values in shown if values]
    drawn = [split for split, values in zip(SPLITS, (train, validation), strict=True) if values]
    marks = [one for one in _marks(recipe, run, lines, axis) if one.points.keys() & set(names)]
    labels = [one.label(names) for one in marks]
    sheet = Sheet(
        len(names),
        f"{upper_first(_counted([title_word(name) for name in names]))} over {axis}s: {listed(splits)}",
        " · ".join(filter(None, (study.run_title(run), _definition(run) if "loss" in names else ""))),
        columns=2 if len(names) in (2, 4) else min(3, len(names)),
        size=(3.4, 2.7) if len(names) > 1 else (6.4, 4.0),
        lines=drawn if len(drawn) > 1 or marks else (),
        marks=labels,
    )
    upwards = {metric.name for metric in recipe.metrics if metric.better == "higher"}
    across = f"epoch{_steps_each(lines)}" if axis == "epoch" else axis
    for panel, name in zip(sheet.axes, names, strict=True):
        both = zip(SPLITS, (train.get(name, ()), validation.get(name, ())), strict=True)
        series = {label: _unzipped(points) for label, points in both if points}
        values = [value for _, y in series.values() for value in y]
        plot(panel, series, log_y=name not in upwards and spans_decades(values), among=SPLITS)
        for shape, (label, one) in enumerate(zip(labels, marks, strict=True)):
            if name in one.points:
                mark(panel, label, one.points[name], shape=shape)
        panel.set_xlabel(across, fontsize=BODY, color=INK)
        panel.set_ylabel(axis_word(name), fontsize=BODY, color=INK, parse_math=False)
    left, right = (list(edge) for edge in zip(*(panel.get_xlim() for panel in sheet.axes), strict=True))
    for panel in sheet.axes:
        # A part that starts later starts later in its panel too.
        panel.set_xlim(min(left), max(right))
    sheet.name()
    return sheet.figure


def _in_training(name: str, train: Mapping[str, Points]) -> str:
    """What training calls a validation value: "autoencoder/mse" where one phase alone has the "mse"."""
    phases = [logged for logged in train if logged.endswith(f"/{name}")]
    return phases[0] if name not in train and len(phases) == 1 else name


def _history(recipe: Recipe, run: Run) -> Figure | None:
    """The training log over steps, in the recipe's own panels."""
    assert recipe.history is not None
    panels = recipe.history(from_dict(recipe.settings, run.settings))
    lines = run.metrics()
    return history_figure(
        panels,
        values_over(lines, "step", scope="step", split="train"),
        across=f"step{_epoch_each(lines)}",
        title=f"{upper_first(listed([panel.y_axis.partition(',')[0] for panel in panels]))} over steps: {SPLITS[0]}",
        subtitle=" · ".join(filter(None, (study.run_title(run), _definition(run)))),
    )


def _epoch_each(lines: Sequence[Mapping[str, Any]]) -> str:
    """How many steps make an epoch, for the axis."""
    each = next((line["step"] for line in lines if line.get("scope") == "epoch" and line["epoch"] == 1), 0)
    return f" ({each:,} an epoch)" if each else ""


def title_word(name: str) -> str:
    """What a value of the log is called in a sentence: "cross-entropy", "autoencoder's loss"."""
    phase, _, value = name.rpartition("/")
    word = WORDS[value][0] if value in WORDS else value.replace("_", " ")
    return f"{phase}'s {word}" if phase else word


def axis_word(name: str) -> str:
    """What a value of the log is called on its axis: "cross-entropy, nats"."""
    unit = WORDS.get(name.rpartition("/")[2], ("", ""))[1]
    return ", ".join(filter(None, (title_word(name), unit)))


def _counted(names: Sequence[str]) -> str:
    """Names in a title; the rest of many are counted, their panels name them."""
    many = len(names) > 5
    return f"{names[0]} and {len(names) - 1} values beside it" if many else listed(names)


def _is_cross_entropy(run: Run) -> bool:
    """Whether the run's loss is the cross-entropy, with nothing added, smoothed or weighted."""
    return [*(run.meta.get("loss_definition") or {}).values()] == ["mean over images of cross-entropy, nats"]


def _definition(run: Run) -> str:
    """The formulas of the run's loss, set for reading: "Σ_784" gets a small index."""
    formulas = run.meta.get("loss_definition") or {}
    said = [formula if len(formulas) == 1 else f"{name} {formula}" for name, formula in formulas.items()]
    small = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    text = re.sub(r"_(\d+)", lambda found: found[1].translate(small), "; ".join(said))
    return f"loss: {text.replace('_', ' ').replace(' - ', ' − ')}" if text else ""


def _steps_each(lines: Sequence[Mapping[str, Any]]) -> str:
    """How many steps an epoch has, for the axis; the last one may have been stopped inside."""
    ends = {line["epoch"]: line["step"] for line in lines if line.get("scope") == "epoch"}
    each, last = ends.get(1, 0), max(ends, default=0)
    even = all(step == epoch * each for epoch, step in ends.items() if epoch < last)
    return f" ({each:,} step{'s' * (each != 1)} each)" if each and even else ""


def values_over(
    lines: Sequence[Mapping[str, Any]], axis: Axis, *, scope: str, split: str
) -> Mapping[str, Points]:
    """Curves of some lines of metrics.jsonl over their epoch or step: value name → [(epoch or step, value), …]."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        if line.get("scope") == scope and line.get("split") == split:
            for name, value in line.get("values", {}).items():
                curves.setdefault(name, []).append((int(line[axis]), float(value)))
    return curves


@dataclass(frozen=True)
class _Mark:
    """Points of one kind to compare with, by value: what was reported after the version's last epoch."""

    what: str
    points: dict[str, tuple[float, float]]
    numbers: bool = True

    def label(self, names: Sequence[str]) -> str:
        """The kind and its numbers, each with its value's name where there are several panels."""
        of = {name: y for name, (_, y) in self.points.items() if name in names}
        several = len(names) > 1
        numbers = ", ".join(f"{title_word(name)} {y:g}" if several else f"{y:g}" for name, y in of.items())
        return f"{self.what}: {numbers}" if self.numbers else self.what


def _marks(recipe: Recipe, run: Run, lines: Sequence[Mapping[str, Any]], axis: Axis) -> list[_Mark]:
    """What the version's reference reports of training and validation.

    Over steps, what compares is the run's own mean over that epoch: it stands beside the reported number.
    """
    if study.is_drawn(run) or study.overrides(recipe, run):
        return []
    epoch = study.reported_epoch(recipe, run)
    last = [line for line in lines if line.get("scope") == "epoch" and line.get("epoch") == epoch]
    said = {"train": _Mark("reported", {}), "validation": _Mark("reported for validation", {})}
    mean = _Mark(f"mean of epoch {epoch}", {}, numbers=False)
    for (split, name), value in study.reported(recipe, run).items():
        own = values_over(last, "step", scope="epoch", split=split).get(name)
        if split in said and axis == "epoch":
            said[split].points[name] = (epoch, value)
        elif split in said and own:
            said[split].points[name] = (own[-1][0], value)
            if split == "train":
                mean.points[name] = own[-1]
    return [one for one in (*said.values(), mean) if one.points]


def _unzipped(points: Points) -> tuple[list[float], list[float]]:
    return [float(x) for x, _ in points], [y for _, y in points]
