"""Curves: lines over a common axis, told apart by colour (safe for the colour-blind) and by dashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from epochal.report.text import BODY, DPI, INK, SMALL, Head
from epochal.training.task import Curves

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without its yellow, which is too faint on white."""
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shapes that tell series of dots apart where colour does not."""
POINTS = ("D", "s", "^", "v", "P", "X", "o")
"""Shapes of single points to compare with; drawn hollow and black, as no series is."""
FEW = 16
"""Points up to which each is marked, so that a single one, or one between gaps, is seen."""
EDGE = 12
"""Output pixels between the figure's edge and what is drawn."""

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def curves_figure(curves: Curves, *, subtitle: str = "") -> Figure:
    """A figure of the curves at natural size (6.4 x 4 inches and what the title takes).

    Raises:
        ValueError: a series whose x and y differ in length.
    """
    figure, axes = panels(1, curves.title, subtitle, columns=1, size=(6.4, 4.0))
    plot(axes[0], curves.series, log_y=curves.log_y, dots=curves.dots)
    for index, (name, point) in enumerate(curves.marks.items()):
        mark(axes[0], name, point, shape=index)
    x = [float(v) for xs, _ in curves.series.values() for v in xs] + [x for x, _ in curves.marks.values()]
    if curves.log_x and any(value > 0 for value in x):
        axes[0].set_xscale("log", nonpositive="mask")
    axes[0].set_xlabel(curves.x_axis, fontsize=BODY, parse_math=False)
    axes[0].set_ylabel(curves.y_axis, fontsize=BODY, parse_math=False)
    if len(curves.series) > 1 or curves.marks:
        legend(axes[0])
    return figure


def panels(
    count: int, title: str, subtitle: str, *, columns: int, size: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes below a title, each `size` inches wide and high, laid out without overlap."""
    rows = ceil(count / columns)
    wide = size[0] * min(count, columns)
    head = Head(title, subtitle, wide * DPI - 2 * EDGE)
    tall = size[1] * rows + (head.height + EDGE) / DPI
    figure = Figure(figsize=(wide, tall), dpi=DPI, facecolor="white", layout="constrained")
    below = 1 - (head.height + EDGE) / (tall * DPI)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, below), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    head.draw(figure, EDGE, EDGE)
    return figure, [figure.add_subplot(rows, min(count, columns), index + 1) for index in range(count)]


def plot(
    axes: Axes, series: Series, *, log_y: bool = False, dots: bool = False, among: Sequence[str] = ()
) -> None:
    """Draws the series: a line each, with dots while they are few; gaps where a value is not finite.

    Colours and dashes go by a series' place in `among` (by default all that are drawn), so that a name looks alike
    in panels that lack others. With `dots` each series is points of its own shape, without a line. A logarithmic
    axis is only used where there is a positive value to show.

    Raises:
        ValueError: a series whose x and y differ in length.
    """
    places = {name: index for index, name in enumerate(among or series)}
    for name, (x, y) in series.items():
        index = places[name]
        if len(x) != len(y):
            raise ValueError(f"series {name!r} has {len(x)} x values and {len(y)} y values")
        axes.plot(
            x,
            y,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            linestyle="" if dots else DASHES[index % len(DASHES)],
            linewidth=1.8,
            marker=MARKERS[index % len(MARKERS)] if dots else "o" if len(x) <= FEW else "",
            markersize=4,
        )
    values = [float(v) for _, y in series.values() for v in y if isfinite(v)]
    if not values:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes, fontsize=BODY)
    if log_y and any(value > 0 for value in values):
        axes.set_yscale("log", nonpositive="mask")
    if all(float(v).is_integer() for x, _ in series.values() for v in x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    dress(axes)


def mark(axes: Axes, name: str, point: tuple[float, float], *, shape: int = 0) -> None:
    """Draws a single point to compare with: hollow and black, with its own entry in the legend."""
    axes.plot(
        [point[0]],
        [point[1]],
        label=name,
        color=COLOURS[6],
        linestyle="",
        marker=POINTS[shape % len(POINTS)],
        markersize=6,
        markerfacecolor="none",
        markeredgewidth=1.6,
        zorder=3,
    )


def dress(axes: Axes) -> None:
    """Sets readable tick labels, a faint grid, and no box."""
    axes.tick_params(labelsize=SMALL, colors=INK, which="both")
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(axes: Axes) -> None:
    """Names the lines where they cover least."""
    axes.legend(fontsize=SMALL, frameon=True, framealpha=0.85, edgecolor="none", handlelength=2.6)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows more: all values positive, the largest over 30 times the smallest."""
    finite = np.array([value for value in values if isfinite(value)])
    return bool(finite.size and finite.min() > 0 and finite.max() > 30 * finite.min())
