"""A recipe's own panels: what belongs together stands together, with lines to read it by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from epochal.journal import Run
from epochal.report import figures
from epochal.report.history import MOST, history_figure
from epochal.training.task import Panel, Recipe

PANELS = (
    Panel("loss, nats", {"one": "a/loss", "other": "b/loss"}, lines={"bounds": (0.3, 0.7)}),
    Panel("accuracy", {"right": "b/accuracy"}, lines={"guessing": (0.5,)}, share=True),
    Panel("never logged", {"nothing": "c/loss"}),
)
VALUES = {
    "a/loss": [(1, 0.5), (2, 0.4)],
    "b/loss": [(1, 1.2), (2, 1.1)],
    "b/accuracy": [(1, 0.4), (2, 0.9)],
    "loss": [(1, 1.7), (2, 1.5)],
}


def drawn(values: Any = VALUES) -> Figure:
    """The figure of the panels, laid out."""
    figure = history_figure(PANELS, values, across="step", title="A history", subtitle="of a toy")
    assert figure is not None
    FigureCanvasAgg(figure).draw()
    return figure


def test_each_panel_has_its_series_and_lines() -> None:
    """Points as logged, lines at their heights; a panel without values is left out, and so is what none asks for."""
    losses, accuracy = drawn().axes
    assert [axes.get_ylabel() for axes in (losses, accuracy)] == ["loss, nats", "accuracy"]
    found = {str(line.get_label()): list(line.get_ydata()) for line in losses.lines}
    assert found["one"] == [0.5, 0.4] and found["other"] == [1.2, 1.1]
    heights = [line.get_ydata()[0] for line in losses.lines if line.get_label() == "bounds"]
    assert heights == [0.3, 0.7]
    low, high = losses.get_ylim()
    assert low < 0.28 and high > 1.2, "a line below all values is off the axis, too"
    assert {str(line.get_label()) for line in accuracy.lines} == {"right", "guessing"}
    low, high = accuracy.get_ylim()
    assert low < 0 and high > 1, "a share fills its axis, whatever the values are"


def test_all_names_stand_once_in_the_legend() -> None:
    """Series and lines of all panels, a colour each: no two panels' curves look alike."""
    figure = drawn()
    names = [text.get_text() for legend in figure.findobj(Legend) for text in legend.get_texts()]
    assert names == ["one", "other", "right", "bounds", "guessing"]
    series = [
        line for axes in figure.axes for line in axes.lines if line.get_label() in ("one", "other", "right")
    ]
    assert len({line.get_color() for line in series}) == 3


def test_without_values_there_is_no_figure() -> None:
    """A run that was stopped before its first line has no history."""
    assert history_figure(PANELS, {}, across="step", title="t", subtitle="") is None


def test_a_recipe_with_a_history_is_drawn_by_it(recipe: Recipe, make: Callable[..., Run]) -> None:
    """`loss_figure` asks the recipe, with the run's own settings, and takes its step lines."""
    asked: list[Any] = []

    def history(settings: Any) -> tuple[Panel, ...]:
        asked.append(settings)
        return (Panel("loss, nats", {"both": "loss"}),)

    run = make("v2")
    figure = figures.loss_figure(dataclasses.replace(recipe, history=history), run)
    assert figure is not None
    assert asked[0].loss.grey_weight == 0.32
    (axes,) = figure.axes
    logged = [line["values"]["loss"] for line in run.metrics() if line["scope"] == "step"]
    assert list(axes.lines[0].get_ydata()) == logged and logged


def test_a_long_log_is_drawn_as_means_and_their_range() -> None:
    """4,000 jagged points are 200 means; what lies between them is shaded, and no spike is lost."""
    jagged = {"b/accuracy": [(step, 0.5 + 0.1 * (-1) ** step) for step in range(1, 4001)]}
    jagged["b/accuracy"][1234] = (1235, 0.9)
    figure = drawn(VALUES | jagged)
    _, accuracy = figure.axes
    (line,) = [line for line in accuracy.lines if line.get_label() == "right"]
    means = list(map(float, line.get_ydata()))
    assert len(means) == MOST and sum(abs(mean - 0.5) > 1e-9 for mean in means) == 1
    x = list(map(float, line.get_xdata()))
    assert 1 < x[0] < 20 and 3980 < x[-1] < 4000
    shade = accuracy.collections[0].get_paths()[0].get_extents()
    assert (round(shade.y0, 6), round(shade.y1, 6)) == (0.4, 0.9)
    assert any("means of 20 points" in text.get_text().replace("\n", " ") for text in figure.texts)
    assert not drawn().axes[0].collections, "a log of few points is drawn as it is"
