"""The history of a run as its recipe groups it: several values of the log in one panel, with lines to read them by."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from epochal.report.curves import COLOURS, Sheet, level, plot, spans_decades
from epochal.report.text import BODY, INK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epochal.training.task import Panel

    Points = Sequence[tuple[int, float]]

MOST = 200
"""Points of a curve: more of a jagged one than this are a smear of ink."""


def history_figure(
    panels: Sequence[Panel], values: Mapping[str, Points], *, across: str, title: str, subtitle: str
) -> Figure | None:
    """The panels one below another, so that what happens at one time stands in one column; None without values.

    Of a log of over `MOST` points, lines are means of equally many points each, shades their range.

    Args:
        panels: what each shows; those without a value are left out.
        values: of the log, by name: [(epoch or step, value), …].
        across: what the x axis counts.
        title: of the figure.
        subtitle: a smaller line below it.
    """
    shown = [panel for panel in panels if any(name in values for name in panel.series.values())]
    if not shown:
        return None
    names = list(dict.fromkeys(name for panel in shown for name in panel.series))
    lines = list(dict.fromkeys(name for panel in shown for name in panel.lines))
    each = -(
        -max(len(values[name]) for panel in shown for name in panel.series.values() if name in values) // MOST
    )
    if each > 1:
        reading = f"lines: means of {each:,} points of the log, shades: their range"
        subtitle = f"{subtitle} · {reading}" if subtitle else reading
    sheet = Sheet(len(shown), title, subtitle, columns=1, size=(7.2, 2.9), lines=names, marks=lines)
    for axes, panel in zip(sheet.axes, shown, strict=True):
        found = {label: values[name] for label, name in panel.series.items() if name in values}
        series = {label: _means(points, each) for label, points in found.items()}
        if each > 1:
            for label, points in found.items():
                x, _ = series[label]
                colour = COLOURS[names.index(label) % len(COLOURS)]
                axes.fill_between(x, *_ranges(points, each), color=colour, alpha=0.2, linewidth=0)
        every = [y for points in found.values() for _, y in points]
        plot(axes, series, log_y=not panel.share and spans_decades(every), among=names)
        for name, heights in panel.lines.items():
            for height in heights:
                level(axes, name, height, shape=lines.index(name))
        if panel.share:
            axes.set_ylim(-0.03, 1.03)
        elif panel.lines and axes.get_yscale() == "linear":  # a line on the axis would not be seen
            low, high = axes.get_ylim()
            ends = [height for heights in panel.lines.values() for height in heights]
            room = 0.04 * (max(high, *ends) - min(low, *ends))
            axes.set_ylim(min(low, *(end - room for end in ends)), max(high, *(end + room for end in ends)))
        axes.set_xlabel(across, fontsize=BODY, color=INK)
        axes.set_ylabel(panel.y_axis, fontsize=BODY, color=INK, parse_math=False)
    sheet.name()
    return sheet.figure


def _means(points: Points, each: int) -> tuple[list[float], list[float]]:
    """Mean y of `each` points at a time (the last may be fewer) over the x in their middle."""
    parts = [points[i : i + each] for i in range(0, len(points), each)]
    return [float(part[len(part) // 2][0]) for part in parts], [fmean(y for _, y in part) for part in parts]


def _ranges(points: Points, each: int) -> tuple[list[float], list[float]]:
    """Least and greatest y of the same points."""
    parts = [[y for _, y in points[i : i + each]] for i in range(0, len(points), each)]
    return [min(part) for part in parts], [max(part) for part in parts]
