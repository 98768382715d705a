"""Figures as PNG files: any picture of a recipe, and all pictures of a run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from epochal.journal import atomic
from epochal.report import study
from epochal.report.curves import curves_figure, legend, mark, panels, plot, spans_decades
from epochal.report.grids import grid_figure
from epochal.report.markdown import upper_first
from epochal.report.matrices import matrix_figure
from epochal.report.text import BODY, DPI
from epochal.training.task import Curves, ImageGrid, Matrix

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


def draw(value: Picture, path: str | os.PathLike[str], *, subtitle: str = "") -> Path:
    """Draws a grid of pictures, curves or a matrix as a PNG file, whole or not at all; returns its path.

    Args:
        value: what to draw.
        path: file to write; its folder must exist.
        subtitle: a smaller line below the title (which run, which data).

    Raises:
        ValueError: pictures, curves or a matrix of a wrong shape; names it.
        TypeError: none of the three.
        EpochalError: the disk refuses.
    """
    match value:
        case ImageGrid():
            figure = grid_figure(value, subtitle=subtitle)
        case Curves():
            figure = curves_figure(value, subtitle=subtitle)
        case Matrix():
            figure = matrix_figure(value, subtitle=subtitle)
        case _:
            raise TypeError(f"a figure is an ImageGrid, Curves or a Matrix, but got {type(value).__name__}")
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
    lines = [line for line in run.metrics() if "member" not in line]  # a fleet's members are drawn together
    epochs = {line.get("epoch") for line in lines if line.get("scope") == "epoch"}
    axis: Axis = "epoch" if len(epochs) > 2 else "step"
    train = values_over(lines, axis, scope=axis, split="train")
    validation = values_over(lines, axis, scope="epoch", split="validation")
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
    figure, axes = panels(
        len(names),
        f"{upper_first(listed(names))} over {axis}s: {listed(splits)}",
        study.run_title(run),
        columns=2 if len(names) in (2, 4) else min(3, len(names)),
        size=(3.4, 2.7) if len(names) > 1 else (6.4, 4.0),
    )
    reference = _reference(recipe, run, lines, axis)
    upwards = {metric.name for metric in recipe.metrics if metric.better == "higher"}
    for panel, name in zip(axes, names, strict=True):
        both = zip(SPLITS, (train.get(name, ()), validation.get(name, ())), strict=True)
        series = {label: _unzipped(points) for label, points in both if points}
        values = [value for _, y in series.values() for value in y]
        plot(panel, series, log_y=name not in upwards and spans_decades(values), among=SPLITS)
        for label, point in reference.get(name, {}).items():
            mark(panel, label, point, shape=0 if label.startswith("reported") else 1)
        panel.set_xlabel(axis, fontsize=BODY)
        panel.set_ylabel(name, fontsize=BODY, parse_math=False)
        if len(panel.lines) > 1 or len(splits) > 1:
            legend(panel)
    left, right = (list(edge) for edge in zip(*(panel.get_xlim() for panel in axes), strict=True))
    for panel in axes:
        # A part that starts later starts later in its panel too.
        panel.set_xlim(min(left), max(right))
    return figure


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


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _reference(
    recipe: Recipe, run: Run, lines: Sequence[Mapping[str, Any]], axis: Axis
) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """Points to compare with, by value: what was reported after the version's last epoch.

    Over steps, what compares is the run's own mean over that epoch: it stands beside the reported number.
    """
    if study.is_drawn(run) or study.overrides(recipe, run):
        return {}
    found: dict[str, dict[str, tuple[float, float]]] = {}
    epoch = study.reported_epoch(recipe, run)
    last = [line for line in lines if line.get("scope") == "epoch" and line.get("epoch") == epoch]
    for (split, name), value in study.reported(recipe, run).items():
        label = f"reported{' for validation' * (split == 'validation')}: {value:g}"
        own = values_over(last, "step", scope="epoch", split=split).get(name)
        if split != "test" and axis == "epoch":
            found.setdefault(name, {})[label] = (epoch, value)
        elif split != "test" and own:
            mean = {f"mean of epoch {epoch}": own[-1]} if split == "train" else {}
            found.setdefault(name, {}).update({**mean, label: (own[-1][0], value)})
    return found


def _unzipped(points: Points) -> tuple[list[float], list[float]]:
    return [float(x) for x, _ in points], [y for _, y in points]
