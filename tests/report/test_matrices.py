"""Matrices: every cell in its place, its number readable, nothing cut off, nonsense refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from epochal.report import figures
from epochal.report.matrices import COLOURS, limits, matrix_figure, readable_on, ticks
from epochal.training.task import Matrix

NAN = float("nan")


def texts(figure: Figure, gid: str | None = None) -> list[str]:
    """All texts of a figure (those marked `gid`), in order of drawing."""
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and gid in (None, t.get_gid())]


def confusion(classes: int, *, names: str = "class", write: str = "{:d}") -> Matrix:
    """A table of counts, another number in every cell."""
    labels = [f"{names} {index}" for index in range(classes)]
    counts = np.arange(classes * classes).reshape(classes, classes)
    return Matrix(
        counts, "Confusion of test images", labels, labels, "true class", "predicted", "images", write
    )


def test_matrix_carries_its_words() -> None:
    """Title, subtitle, both axes, every label, every number and what colours mean: nothing is left to guess."""
    figure = matrix_figure(confusion(3), subtitle="toy v1, seed 0, MNIST")
    axes, bar = figure.axes
    assert texts(figure, "title") == ["Confusion of test images"]
    assert texts(figure, "subtitle") == ["toy v1, seed 0, MNIST"]
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("predicted", "true class", "images")
    names = ["class 0", "class 1", "class 2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert texts(figure, "cell") == [str(number) for number in range(9)]


def test_first_row_is_on_top(tmp_path: Path) -> None:
    """Cell (0, 1) is drawn top right in the colour of its value: the table reads as it was given."""
    path = figures.draw(Matrix([[0.0, 1.0], [NAN, 0.0]], "t"), tmp_path / "m.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    low, high = (np.round(np.multiply(colormaps[COLOURS](end)[:3], 255)) for end in (0.0, 1.0))
    side = matrix_figure(Matrix([[0.0, 1.0], [NAN, 0.0]], "t")).axes[0].get_position()
    x = [int(picture.width * (side.x0 + side.width * part)) for part in (0.25, 0.75)]
    y = [int(picture.height * (1 - side.y1 + side.height * part)) for part in (0.25, 0.75)]
    seen = [pixels[y[0], x[0]], pixels[y[0], x[1]], pixels[y[1], x[1]]]
    for colour, expected in zip(seen, (low, high, low), strict=True):
        assert np.abs(colour - expected).max() <= 1
    assert pixels[y[1], x[0]].tolist() == [255, 255, 255], "a value that is not finite is left blank"


@given(st.floats(0, 1))
def test_numbers_are_readable_on_every_colour(value: float) -> None:
    """On each colour of the map the number's contrast is at least 4.5 : 1, which WCAG asks of text."""
    colour = colormaps[COLOURS](value)[:3]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    light = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    ink = {"white": 1.0, "black": 0.0}[readable_on(colour)]
    assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) >= 4.5


@pytest.mark.parametrize("classes", [2, 10, 22])
@pytest.mark.parametrize("names", ["c", "a rather long class name"])
def test_nothing_is_cut_off_or_overlaps(classes: int, names: str) -> None:
    """Every text lies inside the picture at 9 points or more, no number leaves its cell, no labels meet."""
    figure = matrix_figure(
        confusion(classes, names=names, write="{:.3f}"), subtitle="what it was measured on " * 6
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 9
    axes = figure.axes[0]
    cell = axes.get_window_extent(renderer).width / classes
    for text in (t for t in figure.findobj(Text) if t.get_gid() == "cell"):
        assert text.get_window_extent(renderer).width <= cell
    for labels, along in ((axes.get_xticklabels(), "x"), (axes.get_yticklabels(), "y")):
        boxes = [label.get_window_extent(renderer) for label in labels]
        ends = sorted((getattr(b, f"{along}0"), getattr(b, f"{along}1")) for b in boxes)
        assert all(one[1] <= other[0] for one, other in pairwise(ends))


def test_surface_with_points() -> None:
    """A decision surface keeps its axes' own units, the points stand where they belong and are named."""
    surface = Matrix(
        np.linspace(0, 1, 50 * 60).reshape(50, 60),
        "Output over the two inputs",
        row_axis="input 2",
        column_axis="input 1",
        unit="output",
        extent=(-0.5, 1.5, -1.0, 2.0),
        points={"target 0": ([0, 1], [0, 1]), "target 1": ([0, 1], [1, 0])},
    )
    figure = matrix_figure(surface)
    axes = figure.axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 1.5), (-1.0, 2.0))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["−0.5", "0.0", "0.5", "1.0", "1.5"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["target 0", "target 1"]
    drawn: Any = axes.collections[1].get_offsets()
    assert np.asarray(drawn).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 300), (200, 30)])
def test_tables_without_labels_are_counted(shape: tuple[int, int]) -> None:
    """Rows and columns without names get their numbers; a long narrow table is still wide enough to see."""
    figure = matrix_figure(Matrix(np.zeros(shape), "t"))
    axes = figure.axes[0]
    for labels, count in ((axes.get_yticklabels(), shape[0]), (axes.get_xticklabels(), shape[1])):
        assert all(0 <= int(label.get_text()) < count for label in labels)
    pixels = axes.get_position().size * figure.get_size_inches() * figure.dpi
    assert pixels.min() > 250


def test_values_without_a_range() -> None:
    """One value everywhere is drawn in the map's middle; no finite value at all says so and has no colour bar."""
    assert limits(np.full((2, 2), 3.0)) == pytest.approx((2.7, 3.3))
    assert limits(np.zeros((2, 2))) == (-1.0, 1.0)
    figure = matrix_figure(Matrix([[NAN, float("inf")]], "t", write="{:.1f}"))
    assert "no values" in texts(figure)
    assert len(figure.axes) == 1


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_told_apart(low: float, size: float) -> None:
    """Whatever the range, its ticks lie within it and no two read alike."""
    high = low + size
    found = ticks(low, high)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= place <= high + slack for place in found.places)
    assert len(set(found.labels)) == len(found.labels)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (Matrix([1.0, 2.0], "t"), r"shape \(rows, columns\), but got \(2,\)"),
        (Matrix(np.zeros((0, 2)), "t"), r"got \(0, 2\)"),
        (Matrix(np.zeros((2, 2)), "t", rows=["a"]), "rows must hold no label or 2, but got 1"),
        (Matrix(np.zeros((2, 2)), "t", columns=["a"] * 3), "columns must hold no label or 2, but got 3"),
        (Matrix(np.zeros((2, 2)), "t", extent=(0, 0, 0, 1)), r"extent .* got \(0, 0, 0, 1\)"),
        (Matrix(np.zeros((2, 2)), "t", rows=["a", "b"], extent=(0, 1, 0, 1)), "labels or an extent"),
        (Matrix(np.zeros((2, 2)), "t", points={"a": ([1], [])}), "'a' have 1 x values and 0 y values"),
    ],
)
def test_matrices_refused(matrix: Matrix, message: str) -> None:
    """A wrong shape, a wrong number of labels, an empty extent: refused, naming the value."""
    with pytest.raises(ValueError, match=message):
        matrix_figure(matrix)


def test_scale_and_contour() -> None:
    """Colours run over the scale asked for, so that pictures compare; the line stands where its value is."""
    values = np.linspace(0.2, 0.6, 41)[::-1, None].repeat(5, 1)  # grows upwards
    surface = Matrix(values, "t", unit="output", scale=(0, 1), contour=0.5, extent=(0, 1, 0, 1))
    figure = matrix_figure(surface)
    axes, bar = figure.axes
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["output 0.5"]
    line: Any = axes.collections[0]
    heights = np.concatenate([path.vertices[:, 1] for path in line.get_paths()])
    np.testing.assert_allclose(heights, (30 + 0.5) / 41, atol=1e-6)
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 1), (0, 1))


def test_a_level_that_is_not_crossed_has_no_line() -> None:
    """A surface of one value, however close to the contour, has neither line nor name."""
    for value in (0.5, 0.2, NAN):
        figure = matrix_figure(Matrix(np.full((4, 4), value), "t", contour=0.5, extent=(0, 1, 0, 1)))
        assert not figure.axes[0].collections and figure.axes[0].get_legend() is None


@pytest.mark.parametrize("scale", [(1, 0), (0, 0), (0, NAN), (0, float("inf"))])
def test_scales_refused(scale: tuple[float, float]) -> None:
    """A scale that has no range is refused, naming it."""
    with pytest.raises(ValueError, match=r"scale must be \(low, high\)"):
        matrix_figure(Matrix(np.zeros((2, 2)), "t", scale=scale))


def test_ticks_have_equal_decimals() -> None:
    """Ticks read as one column: "0.30", not "0.3" beside "0.35"."""
    assert ticks(0.18, 0.36).labels == ["0.20", "0.25", "0.30", "0.35"]
    assert ticks(0, 100).labels == ["0", "20", "40", "60", "80", "100"]
    assert ticks(0, 2.5e-9).labels[1] == "5e−10"


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (5, 3), (4, 6), (10, 10)])
def test_few_columns_are_wide_enough_for_a_title(rows: int, columns: int) -> None:
    """A small table takes the width that a title needs: a title of 45 letters stays on one line."""
    figure = matrix_figure(Matrix(np.ones((rows, columns)), "m" * 20 + " " + "i" * 24, write="{:.3f}"))
    assert len(texts(figure, "title")) == 1
    assert figure.get_size_inches()[0] * figure.dpi <= 1000
