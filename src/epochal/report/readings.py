"""A recording of hours or days in one picture: the signal, what its windows are read as, and how surely.

However long it is, about as many points are drawn as the picture has columns: of the signal the least and the largest
value of each, so that no peak is lost; of the activities the share of each, of the confidence its range and mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from epochal.report.curves import COLOURS, EDGE, dress
from epochal.report.text import BODY, DPI, FAINT, INK, SMALL, Head
from epochal.training.task import Reading

WIDE = 9.0
"""Inches across."""
LANE, ROW, SURE = 0.75, 0.25, 1.1
"""Inches down: of a channel, of a class, of the confidence."""
COLUMNS = 1000
"""Into how many a long recording is gathered: about a pixel each."""
PALEST = 0.3
"""Opacity of what takes the least share of a column: a short while in a long one must be seen."""
SOFT = COLOURS[:-1]
"""Colours of the rows, without black."""
LONGEST = 28
"""Letters of a class that are written."""
UNITS = (
    (300.0, "seconds", 1.0, (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)),
    (3 * 3600.0, "minutes", 60.0, (0.5, 1, 2, 5, 10, 15)),
    (3 * 86400.0, "hours", 3600.0, (0.25, 0.5, 1, 2, 3, 6)),
    (inf, "days", 86400.0, (0.5, 1, 2, 7, 14, 28)),
)
"""Up to which length, in seconds, time is counted in what, of how many seconds, and how far apart ticks may be."""
TICKS = 12
"""How many at most."""
Numbers = NDArray[np.float64]


def reading_figure(reading: Reading, *, subtitle: str = "") -> Figure:
    """A figure over one axis of time: a lane a channel, a row a class, and the confidence of every window.

    Beside its name stands each class's share of the windows' time. All channels have the same scale.

    Raises:
        ValueError: no window, windows whose starts, ends, answers and confidences differ in number, or a stretch of
            signal that is not (n, channels).
    """
    _insist(reading)
    end = max([float(reading.ends[-1])] + [last for _, last, _ in reading.signal])
    edges = np.linspace(0, end, COLUMNS + 1)
    heights = [*[LANE] * len(reading.channels), max(ROW * len(reading.classes), SURE), SURE]
    figure, axes = _panels(heights, Head(reading.title, subtitle, WIDE * DPI - 2 * EDGE))
    *lanes, rows, sure = axes
    unit = _time(sure, end, reading.begins)
    _signal(lanes, reading, edges, unit)
    _activities(rows, reading, edges, unit)
    _confidence(sure, reading, edges, unit)
    sure.set_xlim(0, end / unit)
    for panel in axes[:-1]:
        panel.tick_params(bottom=False, labelbottom=False)
        panel.spines["bottom"].set_visible(False)
    return figure


def envelope(
    signal: Sequence[tuple[float, float, Any]], channel: int, edges: Numbers
) -> tuple[Numbers, Numbers]:
    """Least and largest value of a channel between each two edges (seconds, ascending); NaN where no sample is."""
    low, high = np.full((2, len(edges) - 1), np.nan)
    for first, last, values in signal:
        step = (last - first) / max(len(values) - 1, 1) or 1.0
        bounds = np.clip(np.ceil((edges - first) / step - 1e-6), 0, len(values)).astype(np.int64)
        bounds[-1] = len(values) if last <= edges[-1] else bounds[-1]
        held = np.flatnonzero(np.diff(bounds))
        if not len(held):
            continue
        column = np.asarray(values)[: bounds[-1], channel]
        low[held] = np.fmin(low[held], np.minimum.reduceat(column, bounds[held]))
        high[held] = np.fmax(high[held], np.maximum.reduceat(column, bounds[held]))
    return low, high


def shares(reading: Reading, edges: Numbers) -> Numbers:
    """(classes, columns): the share of the time between each two edges (seconds) that is read as each class."""
    starts, ends = np.asarray(reading.starts, np.float64), np.asarray(reading.ends, np.float64)
    answers = np.asarray(reading.answers)
    found = np.zeros((len(reading.classes), len(edges) - 1))
    for number in np.unique(answers):
        mine = answers == number
        lasted = np.cumsum(ends[mine] - starts[mine])
        times = np.column_stack([starts[mine], ends[mine]]).ravel()
        until = np.column_stack([np.concatenate([[0.0], lasted[:-1]]), lasted]).ravel()
        found[number] = np.diff(np.interp(edges, times, until)) / np.diff(edges)
    return found


def _insist(reading: Reading) -> None:
    counts = [len(column) for column in (reading.starts, reading.ends, reading.answers, reading.confidence)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(
            f"windows need as many starts, ends, answers and confidences, at least one, but got {counts}"
        )
    for _, _, values in reading.signal:
        if np.ndim(values) != 2 or np.shape(values)[1] != len(reading.channels):
            raise ValueError(
                f"a signal of the channels {', '.join(reading.channels)} must be (n, {len(reading.channels)}), "
                f"but got {np.shape(values)}"
            )


def _panels(heights: Sequence[float], head: Head) -> tuple[Figure, list[Axes]]:
    """Panels below each other, on one axis of time, below the title."""
    above = (EDGE + head.height) / DPI
    tall = sum(heights) + 0.12 * len(heights) + 0.5 + above
    figure = Figure(figsize=(WIDE, tall), dpi=DPI, facecolor="white", layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - above / tall), w_pad=0.06, h_pad=0.03)  # type: ignore[call-arg]
    head.draw(figure, EDGE, EDGE)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    axes: list[Axes] = []
    for row in range(len(heights)):
        axes.append(figure.add_subplot(grid[row], sharex=axes[0] if axes else None))
        dress(axes[-1])
    return figure, axes


def _time(axes: Axes, end: float, begins: str) -> float:
    """Names the axis of time and sets its ticks; returns the seconds of its unit."""
    _, what, unit, steps = next(row for row in UNITS if end <= row[0])
    step = next((step for step in steps if end / unit <= TICKS * step), steps[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.set_xlabel(f"{what} since {begins}" if begins else what, fontsize=BODY, color=INK, parse_math=False)
    return unit


def _signal(lanes: Sequence[Axes], reading: Reading, edges: Numbers, unit: float) -> None:
    """A lane a channel: every sample where they are few, else the range of each column."""
    short = sum(len(values) for _, _, values in reading.signal) <= 2 * COLUMNS
    middles = (edges[1:] + edges[:-1]) / 2 / unit
    for channel, (lane, name) in enumerate(zip(lanes, reading.channels, strict=True)):
        if short:
            for first, last, values in reading.signal:
                times = np.linspace(first, last, len(values)) / unit
                lane.plot(times, np.asarray(values)[:, channel], color=COLOURS[0], linewidth=1.0)
        else:
            both = np.column_stack(envelope(reading.signal, channel, edges)).ravel()
            lane.plot(np.repeat(middles, 2), both, color=COLOURS[0], linewidth=0.7)
        lane.set_ylabel(f"{name}, {reading.unit}", fontsize=BODY, color=INK, parse_math=False)
        lane.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    limits = [lane.get_ylim() for lane in lanes]
    for lane in lanes:
        lane.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _activities(rows: Axes, reading: Reading, edges: Numbers, unit: float) -> None:
    """A row a class, filled where windows are read as it; paler where it has but a share of the time."""
    share = shares(reading, edges)
    count = len(reading.classes)
    colours = np.array([to_rgb(SOFT[number % len(SOFT)]) for number in range(count)])
    picture = np.ones((count, len(edges) - 1, 4))
    picture[..., :3] = colours[:, None]
    picture[..., 3] = np.where(share > 1e-6, PALEST + (1 - PALEST) * share, 0)
    rows.imshow(
        picture,
        aspect="auto",
        interpolation="nearest",
        extent=(0, edges[-1] / unit, count - 0.5, -0.5),
        zorder=1.5,
    )
    rows.set_facecolor("#f4f4f4")
    rows.grid(False, axis="y")
    for edge in range(1, count):
        rows.axhline(edge - 0.5, color="white", linewidth=2.5, zorder=1.6)
    lasted = np.asarray(reading.ends, np.float64) - np.asarray(reading.starts, np.float64)
    total = np.bincount(reading.answers, weights=lasted, minlength=count) / lasted.sum()
    rows.set_yticks(range(count), list(map(_named, reading.classes, total.tolist())))
    for label, part in zip(rows.get_yticklabels(), total, strict=True):
        label.set(color=INK if part else FAINT, parse_math=False, fontsize=SMALL)
    rows.tick_params(axis="y", length=0)
    many = len(lasted) > COLUMNS
    rows.set_ylabel("read as\n(paler: more rarely)" if many else "read as", fontsize=BODY, color=INK)


def _named(name: str, share: float) -> str:
    """A class and its share of the time; only its name where it never occurs."""
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    percent = "< 1" if 0 < share < 0.005 else f"{100 * share:.0f}"
    return f"{short}  {percent} %" if share else short


def _confidence(sure: Axes, reading: Reading, edges: Numbers, unit: float) -> None:
    """A step a window; where they are many, their mean and range in each column."""
    starts, ends = np.asarray(reading.starts, np.float64), np.asarray(reading.ends, np.float64)
    values = np.asarray(reading.confidence, np.float64)
    if len(values) <= COLUMNS:
        gap = np.append(starts[1:] > ends[:-1] + 1e-6, False)
        times = np.column_stack([starts, ends, ends]).ravel() / unit
        steps = np.column_stack([values, values, np.where(gap, np.nan, values)]).ravel()
        sure.plot(times, steps, color=COLOURS[0], linewidth=1.5 if len(values) <= COLUMNS / 4 else 0.8)
        words = "confidence"
    else:
        column = np.minimum(np.searchsorted(edges, (starts + ends) / 2, side="right") - 1, len(edges) - 2)
        held, first = np.unique(column, return_index=True)
        least, most, mean = np.full((3, len(edges) - 1), np.nan)
        least[held] = np.minimum.reduceat(values, first)
        most[held] = np.maximum.reduceat(values, first)
        mean[held] = np.add.reduceat(values, first) / np.diff([*first, len(values)])
        middles = (edges[1:] + edges[:-1]) / 2 / unit
        sure.fill_between(middles, least, most, color=COLOURS[5], alpha=0.5, linewidth=0)
        sure.plot(middles, mean, color=COLOURS[0], linewidth=1.2)
        words = "confidence\n(mean, range)"
    sure.set_ylim(0, 1.02)
    sure.set_yticks([0, 0.5, 1])
    sure.set_ylabel(words, fontsize=BODY, color=INK)
