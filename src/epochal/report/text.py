"""Text above and beside pictures: measured in output pixels, wrapped, and placed."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 150
BODY, HEADING, SMALL = 10.0, 12.0, 9.0
"""Font sizes in points at natural size."""
INK, FAINT = "#1a1a1a", "#555555"
LINE = 1.35
"""Line height in font sizes."""


@lru_cache(maxsize=4096)
def width(text: str, size: float) -> float:
    """Width of one line of text in pixels at `DPI`."""
    figure = Figure(dpi=DPI)
    FigureCanvasAgg(figure)
    return float(figure.text(0, 0, text, fontsize=size, parse_math=False).get_window_extent().width)


def height(size: float) -> float:
    """Height of one line of text in pixels at `DPI`."""
    return size * LINE * DPI / 72


def wrapped(text: str, room: float, size: float) -> list[str]:
    """The text in lines no wider than `room` pixels; a single word that is wider keeps its own line."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


class Head:
    """Title and subtitle at the top left of a figure, wrapped to `room` pixels.

    Attributes:
        width, height: pixels that they take, the space below them included.
    """

    def __init__(self, title: str, subtitle: str, room: float) -> None:
        self._lines = [(line, HEADING, INK, "title") for line in wrapped(title, room, HEADING)]
        self._lines += [(line, SMALL, FAINT, "subtitle") for line in wrapped(subtitle, room, SMALL)]
        self.width = max((width(text, size) for text, size, _, _ in self._lines), default=0.0)
        self.height = sum(height(size) for _, size, _, _ in self._lines) + height(SMALL) / 2

    def draw(self, figure: Figure, left: float, top: float) -> None:
        """Writes the lines downwards from (left, top), in pixels from the figure's top left corner."""
        wide, tall = figure.get_size_inches() * figure.dpi
        for text, size, colour, part in self._lines:
            figure.text(
                left / wide,
                1 - top / tall,
                text,
                fontsize=size,
                color=colour,
                ha="left",
                va="top",
                parse_math=False,
                gid=part,
            )
            top += height(size)
