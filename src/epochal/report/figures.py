"""Figures as PNG files: any picture of a recipe, and all pictures of a run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from epochal.journal import atomic
from epochal.report import study
from epochal.report.curves import curves_figure, legend, mark, panels, plot, spans_decades
from epochal.report.grids import grid_figure
from epochal.report.matrices import matrix_figure
from epochal.report.text import BODY, DPI
from epochal.training.task import Curves, ImageGrid, Matrix

if TYPE_CHECKING:
    import os

    from epochal.journal import Run
    from epochal.training.task import Figure as Picture
    from epochal.training.task import Recipe, Trained

Points = Sequence[tuple[int, float]]

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
    """Draws a run's loss by part and its recipe's figures into its `figures/`; returns their paths.

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
    """Writes a figure as a PNG file, whole or not at all."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    atomic.write_bytes(path, buffer.getvalue())
    return path


def loss_figure(recipe: Recipe, run: Run) -> Figure | None:
    """Loss and its parts over epochs, a panel each: training, validation, and the reported reference.

    A run that ended inside its first epoch is drawn over steps; None when it wrote no value at all. The
    reference stands beside a run only where the two compare: the version's own settings, no drawn data.
    """
    train: Mapping[str, Points] = run.epoch_values("train")
    validation: Mapping[str, Points] = run.epoch_values("validation")
    axis = "epoch"
    if not train and not validation:
        train, axis = step_values(run), "step"
    names = [name for name in dict.fromkeys([*train, *validation]) if name not in RATES]
    if not names:
        return None
    compares = not (study.is_drawn(run) or study.overrides(recipe, run))
    reference = study.reported(recipe, run) if compares and axis == "epoch" else {}
    figure, axes = panels(
        len(names),
        "Loss by part, mean over items",
        study.run_title(run),
        columns=2 if len(names) in (2, 4) else min(3, len(names)),
        size=(3.4, 2.7) if len(names) > 1 else (6.4, 4.0),
    )
    for panel, name in zip(axes, names, strict=True):
        lines = {"training": train.get(name, ()), "validation": validation.get(name, ())}
        series = {label: _unzipped(points) for label, points in lines.items() if points}
        plot(panel, series, log_y=spans_decades([value for _, y in series.values() for value in y]))
        if name in reference:
            point = study.reported_epoch(recipe, run), reference[name]
            mark(panel, f"reported: {reference[name]:g}", point)
        panel.set_xlabel(axis, fontsize=BODY)
        panel.set_ylabel(name, fontsize=BODY, parse_math=False)
        if len(panel.lines) > 1:
            legend(panel)
    left, right = (list(edge) for edge in zip(*(panel.get_xlim() for panel in axes), strict=True))
    for panel in axes:
        # A part that starts later starts later in its panel too.
        panel.set_xlim(min(left), max(right))
    return figure


def step_values(run: Run) -> Mapping[str, Points]:
    """The curves over steps: value name → [(step, value), …]."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in run.metrics():
        if line.get("scope") == "step" and line.get("split") == "train":
            for name, value in line.get("values", {}).items():
                curves.setdefault(name, []).append((int(line["step"]), float(value)))
    return curves


def _unzipped(points: Points) -> tuple[list[float], list[float]]:
    return [float(x) for x, _ in points], [y for _, y in points]
