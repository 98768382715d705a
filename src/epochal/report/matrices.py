"""Matrices: numbers in rows and columns as colours, with the numbers written in, or a surface over two axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from epochal.report.text import BODY, DPI, FAINT, INK, SMALL, Head, height, width
from epochal.training.task import Matrix

COLOURS = "cividis"
"""Perceptually uniform, and made for people with and without colour-vision deficiency (Nuñez et al., 2018)."""
WIDE, TALL, NARROW = 240, 110, 54
"""Output pixels of a cell: width and height of the largest, and the side of the smallest unless labels need more."""
PLOT = 840
"""Output pixels that a matrix's longer side takes where its cells may be chosen freely."""
BAR = 26
"""Output pixels across the colour bar."""
RIMMED = (("black", 3.8), ("white", 1.6))
"""Colour and width of what is drawn upon each other for the line at `Matrix.contour`: seen on every colour."""
PAD = 16
"""Output pixels at the edges and between labels."""
NARROWEST = 600
"""Output pixels over which a title may run even when the picture below is narrower."""
MARKS = (
    ("o", "white"),
    ("s", "black"),
    ("^", "#D55E00"),
    ("D", "#CC79A7"),
    ("v", "#56B4E9"),
    ("P", "#E69F00"),
)
"""Shape and filling of the points upon a surface, set by set; all have a rim of the opposite lightness."""


@dataclass(frozen=True)
class _Ticks:
    """Where an axis has labels (in data units), what they say, and whether they stand upright."""

    places: Sequence[float]
    labels: Sequence[str]
    upright: bool = False

    def widest(self) -> float:
        """Output pixels of the longest label."""
        return max((width(label, SMALL) for label in self.labels), default=0.0)


def matrix_figure(matrix: Matrix, *, subtitle: str = "") -> Figure:
    """A figure of the matrix with a colour bar: labelled cells, or a surface where it has an extent.

    Columns are named below, rows at the left; the numbers that `write` asks for stand in black or white,
    whichever is easier to read on the cell's colour. Cells that are not finite stay white and empty.

    Raises:
        ValueError: `values` is not two-dimensional or empty, labels do not fit in number, an extent is empty
            or comes with labels, a scale is empty, or points differ in their numbers of x and y values.
    """
    values = checked(matrix)
    low, high = matrix.scale or limits(values)
    written = _written(matrix, values)
    down, across = _cells(matrix, values.shape, written)
    tall, wide = down * values.shape[0], across * values.shape[1]
    left, bottom = _axis_ticks(matrix, values.shape, across)
    scale = ticks(low, high)
    line = _line_name(matrix, values)
    legend = _legend_rows([*matrix.points, *filter(None, [line])], wide)

    head_room = wide + PAD + BAR
    labels = ceil(left.widest() + PAD) + (ceil(height(BODY)) if matrix.row_axis else 0)
    beside = PAD + BAR + 16 + ceil(scale.widest()) + (ceil(height(BODY)) if matrix.unit else 0)
    below = ceil(bottom.widest() if bottom.upright else height(SMALL)) + 12
    below += ceil(height(BODY)) if matrix.column_axis else 0
    head = Head(matrix.title, subtitle, max(labels + head_room, NARROWEST))
    x, y = PAD + labels, ceil(PAD + head.height + len(legend) * height(SMALL) * 1.2)
    size = ceil(max(x + wide + beside, PAD + head.width)) + PAD, y + tall + below + PAD

    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    head.draw(figure, PAD, PAD)
    axes = figure.add_axes((x / size[0], 1 - (y + tall) / size[1], wide / size[0], tall / size[1]))
    colours = _paint(axes, matrix, values, Normalize(low, high))
    _write(axes, written, colours.to_rgba(values))
    _dress(axes, matrix, left, bottom, (wide, tall), labels, below)
    if line:
        _contour(axes, matrix, values)
    _points(axes, matrix, legend, line)
    if np.isfinite(values).any():
        place = ((x + wide + PAD) / size[0], 1 - (y + tall) / size[1])
        bar = figure.add_axes((*place, BAR / size[0], tall / size[1]))
        _bar(bar, colours, matrix.unit, scale, beside - PAD)
    else:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes, fontsize=BODY)
    return figure


def checked(matrix: Matrix) -> NDArray[np.float64]:
    """The matrix's values as an array.

    Raises:
        ValueError: as `matrix_figure`.
    """
    values = np.asarray(matrix.values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"values must be of shape (rows, columns), but got {values.shape}")
    for name, labels, count in zip(
        ("rows", "columns"), (matrix.rows, matrix.columns), values.shape, strict=True
    ):
        if len(labels) not in (0, count):
            raise ValueError(f"{name} must hold no label or {count}, but got {len(labels)}")
    if matrix.extent is not None:
        left, right, bottom, top = matrix.extent
        if matrix.rows or matrix.columns:
            raise ValueError("a matrix has labels or an extent, not both")
        if not all(map(isfinite, matrix.extent)) or left == right or bottom == top:
            raise ValueError(
                f"extent must be (left, right, bottom, top) of some size, but got {matrix.extent}"
            )
    if matrix.scale is not None and not -float("inf") < matrix.scale[0] < matrix.scale[1] < float("inf"):
        raise ValueError(f"scale must be (low, high) with low < high, but got {matrix.scale}")
    for name, (x, y) in matrix.points.items():
        if len(x) != len(y):
            raise ValueError(f"points {name!r} have {len(x)} x values and {len(y)} y values")
    return values


def limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """The least and the largest finite value; set apart a little where they are one."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if high > low:
        return low, high
    apart = 0.1 * abs(low) or 1.0
    return low - apart, high + apart


def ticks(low: float, high: float) -> _Ticks:
    """Round numbers within a range, all with the decimals that tell them apart."""
    first, last = sorted((low, high))
    slack = 1e-9 * (last - first)
    places = [
        float(place)
        for place in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(first, last)
        if first - slack <= place <= last + slack
    ]
    # Decimals that give back each place to a thousandth of the range.
    near = 1e-3 * (last - first)
    for decimals in range(7):
        labels = [f"{place + 0.0:,.{decimals}f}".replace("-", "−") for place in places]
        if all(abs(round(place, decimals) - place) <= near for place in places):
            return _Ticks(places, labels)
    for digits in range(4, 16):
        labels = [f"{place + 0.0:.{digits}g}".replace("-", "−") for place in places]
        if len(set(labels)) == len(labels):
            break
    return _Ticks(places, labels)


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever contrasts more with an RGB colour (each 0 to 1): always 4.5 : 1 or more.

    Contrast as the Web Content Accessibility Guidelines 2.1 define it (W3C, 2018).
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), linear))
    return "black" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "white"


def _written(matrix: Matrix, values: NDArray[np.float64]) -> list[list[str]]:
    """The text of each cell; none where nothing is to be written or the value is not finite."""
    if not matrix.write:
        return []
    whole = np.asarray(matrix.values).dtype.kind in "iub"
    return [
        [
            matrix.write.format(int(value) if whole else value) if isfinite(value) else ""
            for value in row.tolist()
        ]
        for row in values
    ]


def _cells(matrix: Matrix, shape: tuple[int, int], written: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Height and width of a cell in output pixels; the cells of a surface may be fractions of a pixel."""
    if not (matrix.rows or matrix.columns or written):
        longer = max(shape)
        # A surface that is far longer than wide would be a line: never under a third.
        return tuple(PLOT / longer * max(1.0, longer / 3 / count) for count in shape)  # type: ignore[return-value]
    numbers = max((width(text, SMALL) + 14 for row in written for text in row), default=NARROW)
    side = max(min(PLOT / max(shape), TALL), NARROW, numbers)
    # Few columns take the width that a title needs anyway.
    across = max(min(PLOT / shape[1], WIDE), side)
    # Short names of columns are easier to read lying: the cells may grow for them a little.
    names = max((width(name, SMALL) + 12 for name in matrix.columns), default=0.0)
    if across < names <= min(1.35 * across, WIDE):
        across = names
    return ceil(side), ceil(across)


def _axis_ticks(matrix: Matrix, shape: tuple[int, int], across: float) -> tuple[_Ticks, _Ticks]:
    """Ticks of the rows and of the columns."""
    if matrix.extent is not None:
        left, right, bottom, top = matrix.extent
        return ticks(bottom, top), ticks(left, right)
    rows = _Ticks(range(shape[0]), matrix.rows) if matrix.rows else _counted(shape[0], PLOT)
    if not matrix.columns:
        return rows, _counted(shape[1], across * shape[1])
    upright = any(width(name, SMALL) + 8 > across for name in matrix.columns)
    return rows, _Ticks(range(shape[1]), matrix.columns, upright)


def _counted(count: int, room: float) -> _Ticks:
    """Ticks of rows or columns that have no names: their numbers from 0, as many as `room` pixels allow."""
    most = max(1, min(10, int(room // 60)))
    places = MaxNLocator(nbins=most, integer=True, steps=[1, 2, 5, 10]).tick_values(0, count - 1)
    kept = [int(place) for place in places if 0 <= place < count]
    return _Ticks(kept, [str(place) for place in kept])


def _paint(axes: Axes, matrix: Matrix, values: NDArray[np.float64], norm: Normalize) -> ScalarMappable:
    image = axes.imshow(
        np.ma.masked_invalid(values),
        cmap=colormaps[COLOURS].with_extremes(bad="white"),
        norm=norm,
        interpolation="nearest",
        aspect="auto",
        extent=matrix.extent,
    )
    return image


def _write(axes: Axes, written: Sequence[Sequence[str]], colours: Any) -> None:
    """Writes the numbers into the cells, each in the colour that is easier to read."""
    for row, texts in enumerate(written):
        for column, text in enumerate(texts):
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center_baseline",
                fontsize=SMALL,
                color=readable_on(colours[row, column]),
                parse_math=False,
                gid="cell",
            )


def _dress(
    axes: Axes,
    matrix: Matrix,
    left: _Ticks,
    bottom: _Ticks,
    side: tuple[float, float],
    labels: float,
    below: float,
) -> None:
    """Names rows and columns, and both axes; `labels` and `below` are the pixels that they have."""
    style: dict[str, Any] = {"fontsize": SMALL, "color": INK, "parse_math": False}
    turned: dict[str, Any] = {"rotation": 90, "va": "top"} if bottom.upright else {}
    axes.set_xticks(list(bottom.places), list(bottom.labels), **style, **turned)
    axes.set_yticks(list(left.places), list(left.labels), **style)
    axes.tick_params(length=3 if matrix.extent else 0, pad=4, color=FAINT)
    axes.spines[:].set_color(FAINT)
    wide, tall = side
    named: dict[str, Any] = {"fontsize": BODY, "color": INK, "parse_math": False}
    axes.set_xlabel(matrix.column_axis, va="bottom", **named)
    axes.xaxis.set_label_coords(0.5, -below / tall)
    axes.set_ylabel(matrix.row_axis, va="top", **named)
    axes.yaxis.set_label_coords(-labels / wide, 0.5)


def _line_name(matrix: Matrix, values: NDArray[np.float64]) -> str:
    """What the line at `contour` is called; "" where the surface does not cross it."""
    level = matrix.contour
    # False where a value is not finite.
    crossed = level is not None and matrix.extent is not None and values.min() < level < values.max()
    return f"{matrix.unit or 'value'} {level:g}" if crossed and min(values.shape) > 1 else ""


def _contour(axes: Axes, matrix: Matrix, values: NDArray[np.float64]) -> None:
    """Draws the line where a surface crosses `matrix.contour`."""
    assert matrix.extent is not None and matrix.contour is not None
    left, right, bottom, top = matrix.extent
    x, y = ((np.arange(n) + 0.5) / n for n in reversed(values.shape))  # the middles of the cells
    across, up = left + x * (right - left), top - y * (top - bottom)
    axes.autoscale(False)
    for colour, thickness in RIMMED:
        axes.contour(across, up, values, [matrix.contour], colors=colour, linewidths=thickness)


def _legend_rows(names: Sequence[str], wide: float) -> list[list[str]]:
    """Names of points and line in lines that fit above the surface."""
    lines: list[list[str]] = []
    room = 0.0
    for name in names:
        needed = width(name, SMALL) + 60
        if not lines or needed > room:
            lines.append([])
            room = wide
        lines[-1].append(name)
        room -= needed
    return lines


def _points(axes: Axes, matrix: Matrix, legend: Sequence[Sequence[str]], line: str) -> None:
    """Draws the points upon the surface, and names them and the line above it."""
    if not legend:
        return
    axes.autoscale(False)
    drawn: list[Any] = []
    for index, (x, y) in enumerate(matrix.points.values()):
        shape, filling = MARKS[index % len(MARKS)]
        points = axes.scatter(
            x,
            y,
            s=64 if len(x) <= 30 else 25,
            marker=shape,
            color=filling,
            edgecolors="white" if filling == "black" else "black",
            linewidths=1.2,
            clip_on=False,
            zorder=3,
        )
        drawn.append(points)
    if line:
        drawn.append(tuple(Line2D([], [], color=colour, linewidth=wide) for colour, wide in RIMMED))
    axes.legend(
        drawn,
        [*matrix.points, *filter(None, [line])],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=max(map(len, legend)),
        fontsize=SMALL,
        frameon=False,
        borderaxespad=0.2,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def _bar(axes: Axes, colours: ScalarMappable, unit: str, scale: _Ticks, beside: float) -> None:
    """The colour bar; `beside` are the pixels from its left edge to its label's right edge."""
    axes.figure.colorbar(colours, cax=axes)
    axes.set_yticks(list(scale.places), list(scale.labels), fontsize=SMALL, color=INK, parse_math=False)
    axes.tick_params(length=3, pad=3, color=FAINT)
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(unit, fontsize=BODY, color=INK, parse_math=False, va="bottom")
    axes.yaxis.set_label_coords(beside / BAR, 0.5)
