"""Curves: lines over a common axis, told apart by colour (safe for the colour-blind) and by dashes.

What names them stands above the axes, never upon them: no legend can hide a curve.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import ceil, isfinite, log10

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter, StrMethodFormatter

from epochal.report.text import BODY, DPI, INK, SMALL, Head, height, width
from epochal.training.task import Curves

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without its yellow, which is too faint on white."""
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Shapes that tell series of dots apart where colour does not; one more than colours: pairs of them seldom repeat."""
POINTS = ("D", "s", "^", "v", "P", "X", "o")
"""Shapes of single points to compare with; drawn hollow and black, as no series is."""
FEW = 60
"""Points up to which each is marked, so that a single one, or one between gaps, is seen."""
EDGE = 12
"""Output pixels between the figure's edge and what is drawn."""
HANDLE, BETWEEN = 64, 30
"""Output pixels of a line or mark before its name in the legend, and between two of them."""

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


class Sheet:
    """A figure of panels below a title and the names of what is drawn in them.

    Attributes:
        figure: laid out without overlap.
        axes: the panels, row by row.
    """

    def __init__(
        self,
        count: int,
        title: str,
        subtitle: str,
        *,
        columns: int,
        size: tuple[float, float],
        lines: Sequence[str] = (),
        marks: Sequence[str] = (),
    ) -> None:
        """Lays out `count` panels of `size` (inches wide and high), with room for the names of lines and marks."""
        rows, columns = ceil(count / columns), min(count, columns)
        wide = size[0] * columns
        room = wide * DPI - 2 * EDGE
        head = Head(title, subtitle, room)
        self._names = legend_rows(lines, marks, room)
        self._top = EDGE + head.height
        above = self._top + 1.3 * height(SMALL) * len(self._names)
        tall = size[1] * rows + above / DPI
        self.figure = Figure(figsize=(wide, tall), dpi=DPI, facecolor="white", layout="constrained")
        engine = self.figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, 0, 1, 1 - above / (tall * DPI)), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
        head.draw(self.figure, EDGE, EDGE)
        self.axes = [self.figure.add_subplot(rows, columns, index + 1) for index in range(count)]

    def name(self) -> None:
        """Writes the names of lines and marks below the title; to be called when all are drawn."""
        wide, tall = self.figure.get_size_inches() * self.figure.dpi
        drawn = {str(line.get_label()): line for axes in self.axes for line in axes.lines}
        for index, names in enumerate(self._names):
            legend = self.figure.legend(
                [drawn.get(name, Line2D([], [])) for name in names],
                names,
                loc="upper left",
                bbox_to_anchor=(EDGE / wide, 1 - (self._top + 1.3 * height(SMALL) * index) / tall),
                ncols=len(names),
                fontsize=SMALL,
                labelcolor=INK,
                frameon=False,
                borderpad=0,
                borderaxespad=0,
                handlelength=2.6,
                columnspacing=BETWEEN * 72 / DPI / SMALL,
            )
            for text in legend.get_texts():
                text.set_parse_math(False)


def legend_rows(lines: Sequence[str], marks: Sequence[str], room: float) -> list[list[str]]:
    """Names in rows of `room` pixels: all in one where they fit, else the marks below the lines."""
    together = _in_rows([*lines, *marks], room)
    return together if len(together) < 2 else _in_rows(lines, room) + _in_rows(marks, room)


def _in_rows(names: Sequence[str], room: float) -> list[list[str]]:
    rows: list[list[str]] = []
    left = 0.0
    for name in names:
        needed = HANDLE + width(name, SMALL) + BETWEEN
        if not rows or needed - BETWEEN > left:
            rows.append([])
            left = room
        rows[-1].append(name)
        left -= needed
    return rows


def curves_figure(curves: Curves, *, subtitle: str = "") -> Figure:
    """A figure of the curves at natural size (6.4 x 4 inches and what title and legend take).

    Raises:
        ValueError: a series whose x and y differ in length.
    """
    named = len(curves.series) > 1 or bool(curves.marks)
    sheet = Sheet(
        1,
        curves.title,
        subtitle,
        columns=1,
        size=(6.4, 4.0),
        lines=list(curves.series) if named else (),
        marks=list(curves.marks),
    )
    (axes,) = sheet.axes
    plot(axes, curves.series, log_y=curves.log_y, dots=curves.dots)
    for index, (name, point) in enumerate(curves.marks.items()):
        mark(axes, name, point, shape=index)
    x = [float(v) for xs, _ in curves.series.values() for v in xs] + [x for x, _ in curves.marks.values()]
    if curves.log_x and any(value > 0 for value in x):
        axes.set_xscale("log", nonpositive="mask")
        log_ticks(axes.xaxis, x)
    axes.set_xlabel(curves.x_axis, fontsize=BODY, color=INK, parse_math=False)
    axes.set_ylabel(curves.y_axis, fontsize=BODY, color=INK, parse_math=False)
    sheet.name()
    return sheet.figure


def plot(
    axes: Axes, series: Series, *, log_y: bool = False, dots: Collection[str] = (), among: Sequence[str] = ()
) -> None:
    """Draws the series: a line each, with dots while they are few; gaps where a value is not finite.

    Colours and dashes go by a series' place in `among` (by default all that are drawn), so that a name looks alike
    in panels that lack others. Those in `dots` are points of a shape of their own, without a line. A logarithmic
    axis is only used where there is a positive value to show.

    Raises:
        ValueError: a series whose x and y differ in length.
    """
    places = {name: index for index, name in enumerate(among or series)}
    for name, (x, y) in series.items():
        index = places[name]
        if len(x) != len(y):
            raise ValueError(f"series {name!r} has {len(x)} x values and {len(y)} y values")
        few = len(x) <= FEW and len(set(x)) == len(x)  # the corners of a staircase are no points
        axes.plot(
            x,
            y,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            linestyle="" if name in dots else DASHES[index % len(DASHES)],
            linewidth=1.8,
            marker=MARKERS[index % len(MARKERS)] if name in dots else "o" * few,
            markersize=4 if name in dots or len(x) <= FEW // 3 else 3,
        )
    values = [float(v) for _, y in series.values() for v in y if isfinite(v)]
    if not values:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes, fontsize=BODY)
    # "+2.302" above an axis would have to be added to every number on it.
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    if log_y and any(value > 0 for value in values):
        axes.set_yscale("log", nonpositive="mask")
        log_ticks(axes.yaxis, values)
    if all(float(v).is_integer() for x, _ in series.values() for v in x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    dress(axes)


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis: 1, 2, 5 of each decade where there are few, written out where that is short."""
    positive = [value for value in values if value > 0 and isfinite(value)]
    low, high = min(positive), max(positive)
    decades = log10(high / low)
    if decades < 1:  # it may hold no 1, 2 or 5 of a decade
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    elif decades <= 2:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if low >= 1e-4 and high < 1e6:
        axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


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


def level(axes: Axes, name: str, height: float, *, shape: int = 0) -> None:
    """Draws a horizontal line to read a curve by: thin and black, with its own entry in the legend."""
    axes.axhline(height, label=name, color=COLOURS[6], linestyle=DASHES[1 + shape % 3], linewidth=1.0)


def dress(axes: Axes) -> None:
    """Sets readable tick labels, a faint grid, and no box."""
    axes.tick_params(labelsize=SMALL, colors=INK, which="both")
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows more: all values positive, the largest over 30 times the smallest."""
    finite = np.array([value for value in values if isfinite(value)])
    return bool(finite.size and finite.min() > 0 and finite.max() > 30 * finite.min())
