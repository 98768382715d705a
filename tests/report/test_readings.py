"""Recordings with their answers: no peak lost, no moment read as what it was not, and little to draw however long."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from epochal.report import figures
from epochal.report.readings import COLUMNS, envelope, reading_figure, shares
from epochal.training.task import Reading

CLASSES = ("lying", "walking", "climbing stairs")


def made(
    seconds: float, *, rate: float = 20.0, window: float = 5.0, gap: tuple[float, float] | None = None
) -> Reading:
    """Noise of so many seconds, its windows read as one class after the other; nothing was measured in the gap."""
    rng = np.random.default_rng(0)
    stretches = [(0.0, seconds)] if gap is None else [(0.0, gap[0]), (gap[1], seconds)]
    signal = [
        (begin, end, rng.normal(size=(round((end - begin) * rate), 3)).astype(np.float32))
        for begin, end in stretches
    ]
    starts = np.concatenate([begin + window * np.arange((end - begin) // window) for begin, end in stretches])
    return Reading(
        signal=signal,
        channels=("x", "y", "z"),
        unit="g",
        starts=starts,
        ends=starts + window,
        answers=np.arange(len(starts)) % 2,
        confidence=rng.uniform(0.4, 1, len(starts)),
        classes=CLASSES,
        title="a recording read as lying and walking",
        begins="2011-10-09 10:25:02",
    )


def texts(figure: Figure, gid: str | None = None) -> list[str]:
    """All texts of a figure (those marked `gid`)."""
    return [t.get_text() for t in figure.findobj(Text) if t.get_text() and gid in (None, t.get_gid())]


def points(figure: Figure) -> int:
    """How many points its lines have."""
    return sum(len(line.get_xdata()) for axes in figure.axes for line in axes.lines)  # type: ignore[arg-type]


def test_it_says_what_it_shows() -> None:
    """Title, run, channels with their unit, every class with its share of the time, and since when."""
    figure = reading_figure(made(60), subtitle="har-classifier wrn16-1, seed 0")
    assert texts(figure, "title") == ["a recording read as lying and walking"]
    assert texts(figure, "subtitle") == ["har-classifier wrn16-1, seed 0"]
    *lanes, rows, sure = figure.axes
    assert [lane.get_ylabel() for lane in lanes] == ["x, g", "y, g", "z, g"]
    named = [label.get_text() for label in rows.get_yticklabels()]
    assert named == ["lying  50 %", "walking  50 %", "climbing stairs"]
    assert (rows.get_ylabel(), sure.get_ylabel()) == ("read as", "confidence")
    assert sure.get_xlabel() == "seconds since 2011-10-09 10:25:02"
    assert len({lane.get_ylim() for lane in lanes}) == 1, "the channels compare only on one scale"


@pytest.mark.parametrize(
    ("seconds", "unit", "last"),
    [
        (2.5, "seconds", 2.5),
        (300, "seconds", 300),
        (3600, "minutes", 60),
        (86400, "hours", 24),
        (6e5, "days", 6.94),
    ],
)
def test_time_is_counted_in_a_fitting_unit(seconds: float, unit: str, last: float) -> None:
    """A day is no 86,400 seconds to a reader; a dozen ticks at most."""
    axes = reading_figure(made(seconds, rate=0.5 if seconds > 1e4 else 20, window=seconds / 5)).axes[-1]
    assert axes.get_xlabel().startswith(unit) and axes.get_xlim() == pytest.approx((0, last), rel=1e-3)
    assert 4 <= len([tick for tick in axes.get_xticks() if 0 <= tick <= last + 1e-9]) <= 13


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0.1, 30))
def test_the_envelope_is_that_of_the_samples(seed: int, rows: int, rate: float) -> None:
    """In each column the least and the largest sample, as a plain loop finds them; nothing where there is none."""
    rng = np.random.default_rng(seed)
    first = float(rng.uniform(0, 5))
    times = first + np.arange(rows) / rate
    values = rng.normal(size=(rows, 2))
    edges = np.linspace(0, times[-1] + rng.uniform(0.01, 3), 23)
    low, high = envelope([(first, float(times[-1]), values)], 1, edges)
    for column in range(22):
        inside = values[(times >= edges[column]) & (times < edges[column + 1]), 1]
        wanted = (inside.min(), inside.max()) if len(inside) else (np.nan, np.nan)
        np.testing.assert_array_equal((low[column], high[column]), wanted)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_shares_are_those_of_the_time(seed: int, count: int) -> None:
    """What each column is read as adds up to each class's seconds, and nowhere to more than the whole column."""
    rng = np.random.default_rng(seed)
    edge = np.cumsum(rng.uniform(0.1, 3, 2 * count))
    reading = replace(
        made(60), starts=edge[::2], ends=edge[1::2], answers=rng.integers(0, 3, count), confidence=edge[::2]
    )
    edges = np.linspace(0, edge[-1], 17)
    share = shares(reading, edges)
    assert share.min() >= -1e-9 and share.sum(0).max() <= 1 + 1e-9
    seconds = np.bincount(reading.answers, edge[1::2] - edge[::2], minlength=3)
    np.testing.assert_allclose(share @ np.diff(edges), seconds, atol=1e-9)


def test_a_day_is_as_quickly_drawn_as_an_hour(tmp_path: Path) -> None:
    """2 million samples and 17,280 windows become as many points as the picture has columns; the peak stays."""
    day = made(86_400, rate=25)
    day.signal[0][2][1_000_000, 1] = 8.0
    figure = reading_figure(day)
    assert points(figure) <= 10 * COLUMNS
    assert figure.axes[1].get_ylim()[1] > 8 and np.nanmax(figure.axes[1].lines[0].get_ydata()) == 8.0
    named = [axes.get_ylabel().split("\n")[-1] for axes in figure.axes[3:]]
    assert named == ["(paler: more rarely)", "(mean, range)"]
    with Image.open(figures.draw(day, tmp_path / "day.png")) as picture:
        assert picture.width == 1350


@pytest.mark.parametrize("seconds", [100, 20_000])
def test_nothing_is_drawn_in_a_gap(seconds: int) -> None:
    """Where nothing was measured there is neither signal, activity nor confidence, in short and long recordings."""
    reading = made(seconds, gap=(0.4 * seconds, 0.6 * seconds))
    figure = reading_figure(reading)
    for axes in (*figure.axes[:3], figure.axes[-1]):
        line = [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in axes.lines]
        drawn = np.concatenate([np.append(one, [[np.nan, np.nan]], axis=0) for one in line])
        right = axes.get_xlim()[1]
        inside = (drawn[:, 0] > 0.41 * right) & (drawn[:, 0] < 0.59 * right)
        assert not np.isfinite(drawn[inside, 1]).any()
        last = np.flatnonzero(np.isfinite(drawn[:, 1]) & (drawn[:, 0] < right / 2))[-1]
        assert np.isnan(drawn[last + 1, 1]), "no line leads over the gap"
    share = shares(reading, np.linspace(0, seconds, 11))
    assert share[:, 4:6].sum() == pytest.approx(0, abs=1e-9)


def test_every_label_is_on_the_picture() -> None:
    """Fourteen classes with long names: nothing is cut off, no two names overlap, the longest is shortened."""
    classes = [f"a rather long activity, number {index}" for index in range(14)]
    figure = reading_figure(replace(made(60), classes=classes), subtitle="a run with a long name " * 8)
    FigureCanvasAgg(figure).draw()
    box = figure.bbox
    labels = figure.axes[3].get_yticklabels()
    for text in (*labels, *(text for text in figure.texts), figure.axes[-1].xaxis.label):
        extent = text.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= box.x1 and extent.y0 >= 0 and extent.y1 <= box.y1, text
    heights = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in labels)
    assert all(upper[0] >= lower[1] - 1 for lower, upper in pairwise(heights))
    assert labels[0].get_text().startswith("a rather long activity, num…")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"starts": []}, r"but got \[0, "),
        ({"confidence": [0.5]}, "as many starts, ends, answers and confidences"),
        ({"signal": [(0, 1, np.zeros((4, 2)))]}, r"must be \(n, 3\), but got \(4, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    """Columns of unequal length and signals with other channels, by their shape."""
    with pytest.raises(ValueError, match=said):
        reading_figure(replace(made(60), **change))
