"""Image grids: pictures in rows and columns, every image pixel a whole number of output pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epochal.report.text import BODY, DPI, FAINT, INK, SMALL, Head, height, width
from epochal.training.task import ImageGrid

Pixels = NDArray[np.uint8]

CELL, WIDEST = 84, 2400
"""Output pixels that a picture may take, and a whole row of pictures, when they are enlarged."""
GAP, GROUP_GAP = 4, 20
"""Output pixels between pictures, and between groups of rows."""
FRAME = 153
"""Grey of the frames around pictures, one output pixel wide."""
PAD = 16
"""Output pixels at the edges and between labels."""
NARROWEST = 600
"""Output pixels over which a title may run even when the grid below is narrower."""

Group = tuple[str, int, int]
"""Name, first row, number of rows."""


def grid_figure(grid: ImageGrid, *, subtitle: str = "") -> Figure:
    """A figure of the grid at natural size, with title, row and column labels.

    Row labels of the form "style 1, t = −1" are bracketed as groups when they share their first half.

    Raises:
        ValueError: `images` is not uint8 of shape (rows, columns, H, W[, 3]), or labels do not fit in number.
    """
    images = checked(grid)
    groups, inner = grouped(grid.rows)
    canvas, lefts, tops, side = composed(images, groups)
    tall, wide = canvas.shape[:2]

    axis = height(BODY) + PAD / 2 if grid.row_axis else 0.0
    names = max((width(name, SMALL) for name, _, _ in groups), default=0.0)
    brackets = names + 2 * PAD if groups else 0.0
    labels = max((width(text, SMALL) for text in inner), default=0.0)
    left = ceil(PAD + axis + brackets + labels + PAD / 2)
    head = Head(grid.title, subtitle, max(left + wide - PAD, NARROWEST))
    widest = max((width(text, SMALL) for text in grid.columns), default=0.0)
    upright = widest > side[1]
    above = (widest + PAD / 2 if upright else height(SMALL)) * bool(grid.columns)
    above += height(BODY) * bool(grid.column_axis)
    top = ceil(PAD + head.height + above)
    size = ceil(max(left + wide, PAD + head.width)) + PAD, top + tall + PAD

    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    head.draw(figure, PAD, PAD)
    axes = figure.add_axes((left / size[0], PAD / size[1], wide / size[0], tall / size[1]))
    # A grey colour map would round one value in ten.
    colours = canvas if canvas.ndim == 3 else np.repeat(canvas[..., None], 3, axis=2)
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    _label(axes, grid, inner, lefts, tops, side, upright=upright)
    _bracket(axes, groups, tops, side[0], -(labels + PAD))
    if grid.row_axis:
        axes.set_ylabel(grid.row_axis, fontsize=BODY, color=INK, parse_math=False)
        axes.yaxis.set_label_coords(-(labels + brackets + PAD) / wide, 0.5)
    return figure


def checked(grid: ImageGrid) -> Pixels:
    """The grid's pictures as an array.

    Raises:
        ValueError: as `grid_figure`.
    """
    images = np.asarray(grid.images)
    colours = images.ndim == 5 and images.shape[-1] == 3
    if images.dtype != np.uint8 or images.size == 0 or not (images.ndim == 4 or colours):
        raise ValueError(
            f"images must be uint8 of shape (rows, columns, H, W[, 3]), but got {images.dtype} {images.shape}"
        )
    for name, labels, count in (
        ("rows", grid.rows, images.shape[0]),
        ("columns", grid.columns, images.shape[1]),
    ):
        if len(labels) not in (0, count):
            raise ValueError(f"{name} must hold no label or {count}, but got {len(labels)}")
    return images


def grouped(rows: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Groups of neighbouring rows whose labels share what stands before the first comma, and what follows it.

    No groups (and the labels as they are) unless every label has the form "group, label" and some group has
    several rows.
    """
    halves = [row.partition(", ") for row in rows]
    if not all(comma for _, comma, _ in halves):
        return [], list(rows)
    groups: list[Group] = []
    for name, members in groupby(halves, key=lambda half: half[0]):
        groups.append((name, sum(count for _, _, count in groups), len(list(members))))
    if all(count == 1 for _, _, count in groups):
        return [], list(rows)
    return groups, [label for _, _, label in halves]


def composed(images: Pixels, groups: Sequence[Group]) -> tuple[Pixels, list[int], list[int], tuple[int, int]]:
    """All pictures enlarged by a whole factor and framed, on one white canvas.

    Without a frame the white in a picture would be the white of the page. A picture that is white all over is an
    empty place, and stays one.

    Returns:
        The canvas, the left edge of each column and the top edge of each row in its pixels, and a picture's
        height and width.
    """
    rows, columns, tall, wide = images.shape[:4]
    factor = max(1, min(CELL // max(tall, wide), (WIDEST // columns - GAP) // wide))
    tall, wide = tall * factor, wide * factor
    starts = {first for _, first, _ in groups if first > 0}
    gaps = np.cumsum([0] + [GROUP_GAP if row in starts else GAP for row in range(1, rows)])
    tops = [1 + row * tall + int(gaps[row]) for row in range(rows)]
    lefts = [1 + column * (wide + GAP) for column in range(columns)]
    canvas = np.full((tops[-1] + tall + 1, lefts[-1] + wide + 1, *images.shape[4:]), 255, dtype=np.uint8)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            picture = images[row, column].repeat(factor, axis=0).repeat(factor, axis=1)
            if picture.min() < 255:
                canvas[top - 1 : top + tall + 1, left - 1 : left + wide + 1] = FRAME
            canvas[top : top + tall, left : left + wide] = picture
    return canvas, lefts, tops, (tall, wide)


def _label(
    axes: Axes,
    grid: ImageGrid,
    inner: Sequence[str],
    lefts: list[int],
    tops: list[int],
    side: tuple[int, int],
    *,
    upright: bool,
) -> None:
    """Writes the labels of columns above the grid, `upright` where they are wider, and of rows at its left."""
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    style: dict[str, Any] = {"fontsize": SMALL, "color": INK, "parse_math": False}
    columns = lefts if grid.columns else []
    turned: dict[str, Any] = {"rotation": 90} if upright else {}
    axes.set_xticks([left + side[1] / 2 - 0.5 for left in columns], list(grid.columns), **style, **turned)
    axes.set_yticks([top + side[0] / 2 - 0.5 for top in tops if inner], list(inner), **style)
    axes.tick_params(length=0, pad=4)
    if grid.column_axis:
        axes.set_xlabel(grid.column_axis, fontsize=BODY, color=INK, labelpad=4, parse_math=False)


def _bracket(axes: Axes, groups: Sequence[Group], tops: list[int], tall: int, x: float) -> None:
    """Draws each group's name and a bracket over its rows, `x` output pixels from the grid's left edge."""
    for name, first, count in groups:
        top, bottom = tops[first] + 4, tops[first + count - 1] + tall - 5
        line = ([x, x - PAD / 2, x - PAD / 2, x], [top, top, bottom, bottom])
        axes.plot(*line, color=FAINT, linewidth=1, clip_on=False, scalex=False, scaley=False)
        axes.text(
            x - PAD,
            (top + bottom) / 2,
            name,
            fontsize=SMALL,
            color=INK,
            ha="right",
            va="center",
            parse_math=False,
            gid="group",
        )
