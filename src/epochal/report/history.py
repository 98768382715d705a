"""The history of a run as its recipe groups it: several values of the log in one panel, with lines to read them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from epochal.report.curves import Sheet, level, plot, spans_decades
from epochal.report.text import BODY, INK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epochal.training.task import Panel

    Points = Sequence[tuple[int, float]]


def history_figure(
    panels: Sequence[Panel], values: Mapping[str, Points], *, across: str, title: str, subtitle: str
) -> Figure | None:
    """The panels one below another, so that what happens at one time stands in one column; None without values.

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
    sheet = Sheet(len(shown), title, subtitle, columns=1, size=(7.2, 2.9), lines=names, marks=lines)
    for axes, panel in zip(sheet.axes, shown, strict=True):
        series = {
            label: ([float(x) for x, _ in values[name]], [y for _, y in values[name]])
            for label, name in panel.series.items()
            if name in values
        }
        every = [y for _, ys in series.values() for y in ys]
        plot(axes, series, log_y=not panel.share and spans_decades(every), among=names)
        for name, heights in panel.lines.items():
            for height in heights:
                level(axes, name, height, shape=lines.index(name))
        if panel.share:
            axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(across, fontsize=BODY, color=INK)
        axes.set_ylabel(panel.y_axis, fontsize=BODY, color=INK, parse_math=False)
    sheet.name()
    return sheet.figure
