"""Figures: what stands on them, that pixels stay pixels, and that files are written whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

from epochal.errors import EpochalError
from epochal.journal import Run
from epochal.report import figures
from epochal.report.curves import curves_figure
from epochal.report.grids import composed, grid_figure, grouped
from epochal.report.pictures import title_of
from epochal.training.task import Curves, ImageGrid, Matrix, Recipe, Trained, Version

Maker = Callable[..., Run]


def texts(figure: Figure, gid: str | None = None) -> list[str]:
    """All texts of a figure (those marked `gid`), in order of drawing."""
    found = figure.findobj(Text)
    return [text.get_text() for text in found if text.get_text() and gid in (None, text.get_gid())]


def legend_texts(figure: Figure) -> list[str]:
    """The names in all legends of a figure."""
    return [text.get_text() for legend in figure.findobj(Legend) for text in legend.get_texts()]


def drawn(figure: Figure) -> FigureCanvasAgg:
    """The canvas of a figure that was laid out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def small(side: int = 5) -> ImageGrid:
    """Two rows, three columns, every picture another grey."""
    images = np.arange(10, 70, 10, dtype=np.uint8).reshape(2, 3, 1, 1).repeat(side, 2).repeat(side, 3)
    return ImageGrid(images, "Greys", rows=["a", "b"], columns=["x", "y", "z"], row_axis="r", column_axis="c")


def test_grid_carries_its_words() -> None:
    """Title, subtitle, both axes and every label stand on the figure: nothing is left to guess."""
    figure = grid_figure(small(), subtitle="toy v1, seed 0, MNIST")
    (axes,) = figure.axes
    assert texts(figure, "title") == ["Greys"]
    assert texts(figure, "subtitle") == ["toy v1, seed 0, MNIST"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("c", "r")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_pixels_stay_square_and_exact(tmp_path: Path) -> None:
    """In the PNG each image pixel is a block of equal pixels with its exact value: no resampling, no blur."""
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28), dtype=np.uint8)
    path = figures.draw(ImageGrid(images, "t"), tmp_path / "g.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    canvas, lefts, tops, (tall, wide) = composed(images, [])
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            block = images[row, column].repeat(tall // 28, 0).repeat(wide // 28, 1)
            assert np.array_equal(canvas[top : top + tall, left : left + wide], block)
    spots = [
        (top, left)
        for top, left in np.argwhere(pixels == canvas[0, 0])
        if np.array_equal(pixels[top : top + canvas.shape[0], left : left + canvas.shape[1]], canvas)
    ]
    assert len(spots) == 1


def test_white_pixels_end_where_the_picture_ends() -> None:
    """A frame runs around each picture, of which no pixel is lost; an empty place (white all over) has none."""
    images = np.full((2, 2, 5, 5), 255, np.uint8)
    images[:, 0, 2, 2] = 0
    canvas, lefts, tops, (tall, wide) = composed(images, [])
    for column, framed in enumerate((True, False)):
        for top in tops:
            inside = slice(lefts[column], lefts[column] + wide)
            around = [canvas[top - 1, inside], canvas[top + tall, inside]]
            around += [canvas[top : top + tall, x] for x in (lefts[column] - 1, lefts[column] + wide)]
            assert (np.concatenate(around) < 200).all() == framed
            assert (np.concatenate(around) == 255).all() != framed
            assert (canvas[top : top + tall, inside] == 0).sum() == framed * tall * wide / 25


def test_rows_are_bracketed_by_what_they_share() -> None:
    """Labels "style 1, t = −1" become groups with brackets; labels without common halves stay as they are."""
    groups, inner = grouped([f"style {s}, t = {t}" for s in (1, 2) for t in (-1, 0, 1)])
    assert groups == [("style 1", 0, 3), ("style 2", 3, 3)]
    assert inner == ["t = -1", "t = 0", "t = 1"] * 2
    assert grouped(["a, 1", "b, 2"]) == ([], ["a, 1", "b, 2"])
    assert grouped(["a, 1", "b"]) == ([], ["a, 1", "b"])
    figure = grid_figure(
        ImageGrid(np.zeros((2, 1, 8, 8), np.uint8), "t", rows=["style 1, thin", "style 1, thick"])
    )
    assert texts(figure, "group") == ["style 1"]


def test_nothing_is_cut_off_or_too_small() -> None:
    """Every text lies inside the figure and has 9 points or more, also long titles over tiny grids."""
    long = "A title that is far longer than the tiny grid below it, which therefore has to be wrapped " * 2
    grid = ImageGrid(
        np.zeros((2, 1, 8, 8), np.uint8),
        long,
        rows=["a rather long style name, thin", "a rather long style name, thick"],
        columns=["0"],
        row_axis="handwriting",
        column_axis="digit",
    )
    curves = Curves({"a": ([1, 2], [1.0, 2.0]), "b": ([1, 2], [2.0, 1.0])}, long, "epoch", "loss (nats)")
    for figure in (grid_figure(grid, subtitle=long), curves_figure(curves, subtitle=long)):
        FigureCanvasAgg(figure).draw()
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 9


def test_names_of_columns_do_not_run_into_each_other() -> None:
    """Names wider than their pictures stand upright above them, and still lie inside the figure."""
    names = ["airplane", "automobile", "a very long name of a class"]
    grid = ImageGrid(np.zeros((1, 3, 32, 32), np.uint8), "t", columns=names, column_axis="answer")
    figure = grid_figure(grid)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in figure.axes[0].get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    drawn, height = figure.get_tightbbox(), figure.get_size_inches()[1]
    assert drawn.y1 <= height
    (title,) = [text for text in figure.findobj(Text) if text.get_gid() == "title"]
    below = title.get_window_extent(canvas.get_renderer()).y0
    assert max(box.y1 for box in boxes) < below


def test_coloured_and_large_pictures() -> None:
    """RGB pictures are drawn; pictures larger than a cell keep their own size instead of losing pixels."""
    canvas, _, _, side = composed(np.zeros((1, 2, 200, 100, 3), np.uint8), [])
    assert side == (200, 100)
    assert canvas.shape[2] == 3
    grid_figure(ImageGrid(np.zeros((1, 2, 16, 16, 3), np.uint8), "t"))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (ImageGrid(np.zeros((2, 2, 4, 4)), "t"), r"uint8 .* got float64 \(2, 2, 4, 4\)"),
        (ImageGrid(np.zeros((2, 4, 4), np.uint8), "t"), r"\(2, 4, 4\)"),
        (ImageGrid(np.zeros((0, 2, 4, 4), np.uint8), "t"), r"\(0, 2, 4, 4\)"),
        (
            ImageGrid(np.zeros((2, 2, 4, 4), np.uint8), "t", rows=["a"]),
            "rows must hold no label or 2, but got 1",
        ),
    ],
)
def test_grids_refused(grid: ImageGrid, message: str) -> None:
    """Pictures of another kind, empty grids and a wrong number of labels are refused, naming the value."""
    with pytest.raises(ValueError, match=message):
        grid_figure(grid)


def test_curves_are_told_apart_twice() -> None:
    """Lines differ in colour and in dashes, carry their names, and the axes theirs."""
    series = {name: ([1, 2, 3], [1.0, 2.0, 3.0]) for name in "abcd"}
    figure = curves_figure(Curves(series, "t", "epoch", "loss (nats)"))
    (axes,) = figure.axes
    assert len(axes.lines) == 4
    assert len({line.get_color() for line in axes.lines}) == 4
    assert len({line.get_linestyle() for line in axes.lines}) == 4
    assert legend_texts(figure) == list("abcd")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss (nats)")


def test_curves_with_gaps_and_signs() -> None:
    """NaN leaves a gap; a log axis without positive values falls back to a linear one; no data says so."""
    nan = float("nan")
    (axes,) = curves_figure(Curves({"a": ([1, 2, 3], [1.0, nan, 2.0])}, "t", "x", "y", log_y=True)).axes
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_marker() == "o"
    (axes,) = curves_figure(Curves({"a": ([1, 2], [-1.0, 0.0])}, "t", "x", "y", log_y=True)).axes
    assert axes.get_yscale() == "linear"
    assert "no values" in texts(curves_figure(Curves({}, "t", "x", "y")))
    with pytest.raises(ValueError, match="'a' has 2 x values and 1 y values"):
        curves_figure(Curves({"a": ([1, 2], [1.0])}, "t", "x", "y"))


def test_marks_stand_beside_the_curves() -> None:
    """Single points to compare with have shapes of their own and entries in the legend, also beside one line."""
    marks = {"reported: 854": (2.0, 1.5), "reported: 3268": (3.0, 2.5)}
    figure = curves_figure(Curves({"median": ([1, 2, 3], [1.0, 2.0, 3.0])}, "t", "x", "y", marks=marks))
    (axes,) = figure.axes
    assert legend_texts(figure) == ["median", *marks]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[1:]] == list(marks.values())
    assert len({line.get_marker() for line in axes.lines}) == 3
    assert {line.get_linestyle() for line in axes.lines[1:]} == {"None"}


def test_no_legend_lies_upon_the_data(recipe: Recipe, make: Maker) -> None:
    """However many names there are, and however long, they stand between the title and the axes, inside the figure."""
    names = [f"a rather long name, the {i}th" for i in range(7)]
    series = {name: ([1, 10, 100], [1.0, 2.0, float(i)]) for i, name in enumerate(names)}
    marks = {"reported at rate 0.5: 854": (2.0, 1.5), "a dollar $ and _one_": (3.0, 2.5)}
    many = curves_figure(Curves(series, "t", "x", "y", log_x=True, marks=marks), subtitle="s")
    by_part = figures.loss_figure(recipe, make("v1"))
    assert by_part is not None
    for figure, wanted in ((many, [*names, *marks]), (by_part, legend_texts(by_part))):
        renderer = drawn(figure).get_renderer()
        legends = [legend.get_window_extent(renderer) for legend in figure.findobj(Legend)]
        assert legends and legend_texts(figure) == wanted
        panels = [axes.get_tightbbox(renderer) for axes in figure.axes]
        titles = [text for text in figure.findobj(Text) if text.get_gid() in ("title", "subtitle")]
        above = [text.get_window_extent(renderer) for text in titles]
        for index, box in enumerate(legends):
            others = [*panels, *above, *legends[:index]]
            assert not any(box.overlaps(other) for other in others)
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width


@pytest.mark.parametrize("low", [0.000012, 0.0123, 0.31])
@pytest.mark.parametrize("times", [1.2, 8, 40, 1e3, 1e7])
def test_ticks_of_logarithmic_axes_do_not_meet(low: float, times: float) -> None:
    """Whatever an axis spans, it has numbers to read, at least two, and none runs into the next."""
    values = [low, low * times]
    figure = curves_figure(Curves({"a": (values, values)}, "t", "x", "y", log_x=True, log_y=True))
    renderer = drawn(figure).get_renderer()
    (axes,) = figure.axes
    for axis, ends in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        first, last = sorted(axis.get_view_interval())
        both = [*zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)]
        both += [*zip(axis.get_minorticklocs(), axis.get_minorticklabels(), strict=True)]
        labels = [label for place, label in both if first <= place <= last and label.get_text()]
        boxes = [label.get_window_extent(renderer) for label in labels]
        spans = sorted((getattr(box, f"{ends}0"), getattr(box, f"{ends}1")) for box in boxes)
        assert len(spans) >= 2
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_small_changes_of_a_large_number_are_written_out() -> None:
    """No "+2.302" above an axis: each tick is the value itself."""
    figure = curves_figure(Curves({"a": ([1, 2], [2.30295, 2.30260])}, "t", "x", "y"))
    drawn(figure)
    (axes,) = figure.axes
    assert not axes.yaxis.get_offset_text().get_text()
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert float(label.get_text()) == pytest.approx(place, abs=1e-7)


def test_steps_of_an_epoch_are_said_where_they_are_equal(recipe: Recipe, make: Maker) -> None:
    """The axis tells how many steps an epoch has, also where the last was stopped inside; unequal ones go without."""
    for ends, wanted in (
        ([100, 200, 300], "epoch (100 steps each)"),
        ([100, 200, 250], "epoch (100 steps each)"),
    ):
        assert epochs_at(recipe, make("v1", done=0), ends) == wanted
    assert epochs_at(recipe, make("v1", done=0), [1, 2, 3]) == "epoch (1 step each)"
    assert epochs_at(recipe, make("v1", done=0), [100, 150, 250]) == "epoch"


def epochs_at(recipe: Recipe, run: Run, ends: list[int]) -> str:
    """What the axis of a run is called whose epochs ended at these steps."""
    for epoch, step in enumerate(ends, start=1):
        line = {"time": 1, "step": step, "epoch": epoch, "scope": "epoch", "split": "train"}
        run.append("metrics", [{**line, "values": {"loss": 1.0}}])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    return str(figure.axes[0].get_xlabel())


def test_no_name_of_a_setting_stands_on_a_figure(recipe: Recipe, make: Maker) -> None:
    """Values known and unknown, and the loss's formula, are written as people write them: units, no underscores."""
    run = make("v1", done=0, loss_definition={"step": "mean of Σ_784 (x - y)² + a_b"})
    write_epochs(run, 3, {"loss": 0.5, "cross_entropy": 0.3, "some_new_part": 0.2})
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    assert not [text for text in texts(figure) if "_" in text]
    assert {axes.get_ylabel() for axes in figure.axes} == {"loss", "cross-entropy, nats", "some new part"}
    assert "Σ₇₈₄ (x − y)²" in " ".join(texts(figure, "subtitle"))


def test_dots_are_points_without_lines() -> None:
    """Series drawn as dots are not joined, and ten of them (the digits) are ten different pairs of shape and colour;
    a series that is not named among the dots stays a line."""
    series = {name: (list(range(50)), [1.0] * 50) for name in "0123456789"}
    (axes,) = curves_figure(Curves({**series, "mean": series["0"]}, "t", "x", "y", dots=tuple(series))).axes
    *_, mean = axes.lines
    assert mean.get_linestyle() != "None"
    mean.remove()
    assert {line.get_linestyle() for line in axes.lines} == {"None"}
    assert len({line.get_marker() for line in axes.lines[:7]}) == 7
    assert len({(line.get_marker(), line.get_color()) for line in axes.lines}) == 10


def test_logarithmic_x_where_there_is_something_to_show() -> None:
    """`log_x` scales the axis, marks counted in; without a positive x it stays linear instead of failing."""
    (axes,) = curves_figure(Curves({}, "t", "x", "y", log_x=True, marks={"a": (10.0, 1.0)})).axes
    assert axes.get_xscale() == "log"
    (axes,) = curves_figure(Curves({"a": ([-1, 0], [1.0, 2.0])}, "t", "x", "y", log_x=True)).axes
    assert axes.get_xscale() == "linear"


def test_only_figures_are_drawn(tmp_path: Path) -> None:
    """A recipe that hands over something else is told what a figure is."""
    wrong: Any = {"not": "a figure"}
    with pytest.raises(TypeError, match=r"ImageGrid, Curves, a Matrix or a Reading, but got dict"):
        figures.draw(wrong, tmp_path / "f.png")


def test_loss_by_part(recipe: Recipe, make: Maker) -> None:
    """A panel a part, training and validation over epochs, the reported loss at the version's last epoch."""
    figure = figures.loss_figure(recipe, make("v1"))
    assert figure is not None
    words = ["loss", "reconstruction, squared error", "KL divergence, nats"]
    assert [axes.get_ylabel() for axes in figure.axes] == words
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch (100 steps each)"}
    loss = figure.axes[0]
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "reported: loss 24.85"]
    assert legend_texts(figure) == ["training", "validation", "reported: loss 24.85"]
    assert list(np.asarray(loss.lines[0].get_xdata())) == list(range(1, 9))
    assert (loss.lines[2].get_xdata(), loss.lines[2].get_ydata()) == ([8], [24.85])
    assert len(figure.axes[1].lines) == 1
    assert texts(figure, "subtitle") == ["toy v1, seed 0, MNIST · loss: Σ(x − y)² + 0·grey | KL"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_title_says_what_the_panels_show(recipe: Recipe, make: Maker) -> None:
    """The title names the values drawn, in order: an accuracy is no part of a loss."""
    for names, title in (
        (["accuracy", "loss"], "Loss and accuracy over epochs: training (means over items) and validation"),
        (
            ["loss", "kl", "psnr"],
            "Loss, KL divergence and PSNR over epochs: training (means over items) and validation",
        ),
        (["loss"], "Loss over epochs: training (means over items) and validation"),
    ):
        run = make("v1", done=0)
        write_epochs(run, 3, dict.fromkeys(names, 0.5))
        figure = figures.loss_figure(recipe, run)
        assert figure is not None
        assert texts(figure, "title") == [title]


def test_values_of_phases(recipe: Recipe, make: Maker) -> None:
    """Where several phases train, their many values are counted in the title and named on their axes, without slashes;
    validation shares the panel of the only phase that has its value."""
    run = make("v1", done=0)
    names = ("a/loss", "a/mse", "a/pull", "b/loss", "b/real_accuracy", "loss")
    train = {name: 0.1 * (index + 1) for index, name in enumerate(names)}
    write_epochs(run, 3, train, validation={"mse": 0.4})
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    (title,) = texts(figure, "title")
    assert title == "Loss and 5 values beside it over epochs: training (means over items) and validation"
    words = ["loss", "a's loss", "a's MSE", "a's pull", "b's loss", "b's real accuracy"]
    assert [axes.get_ylabel() for axes in figure.axes] == words
    watched = [axes for axes in figure.axes if "validation" in {line.get_label() for line in axes.lines}]
    assert [axes.get_ylabel() for axes in watched] == ["a's MSE"]


def write_epochs(
    run: Run,
    epochs: int,
    values: dict[str, float],
    *,
    validation: dict[str, float] | None = None,
    steps: int = 20,
) -> None:
    """Lines of metrics.jsonl as the engine writes them: some over steps, one at each epoch's end."""
    measured = {"train": values, "validation": values if validation is None else validation}
    for step in range(1, epochs * steps + 1):
        at = {"time": step, "step": step, "epoch": 1 + (step - 1) // steps}
        run.append("metrics", [{**at, "scope": "step", "split": "train", "values": values}])
        if step % steps == 0:
            for split, found in measured.items():
                run.append("metrics", [{**at, "scope": "epoch", "split": split, "values": found}])
    run.update(epochs_done=epochs, steps_done=epochs * steps)


def test_a_single_epoch_is_drawn_over_its_steps(recipe: Recipe, make: Maker) -> None:
    """One point an epoch shows nothing: the steps are drawn, what was validated at its end, and the epoch's mean
    beside the number that was reported for it."""
    short = Version(
        "v1", "one epoch", patch={"epochs": 1}, reported={"loss": 0.4, "validation/accuracy": 0.9}
    )
    recipe = dataclasses.replace(recipe, versions=(short,))
    run = make("v1", patch={"epochs": 1}, done=0)
    write_epochs(run, 1, {"loss": 0.5, "accuracy": 0.8})
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    loss, accuracy = figure.axes
    assert {axes.get_xlabel() for axes in figure.axes} == {"step"}
    labels = [[line.get_label() for line in axes.lines] for axes in figure.axes]
    assert labels[0] == ["training", "validation", "reported: loss 0.4", "mean of epoch 1"]
    assert labels[1] == ["training", "validation", "reported for validation: accuracy 0.9"]
    shapes = [line.get_marker() for axes in figure.axes for line in axes.lines[2:]]
    assert len(set(shapes)) == 3, "each kind of point has its own shape, in all panels"
    assert np.asarray(loss.lines[0].get_xdata()).tolist() == list(range(1, 21))
    assert np.asarray(accuracy.lines[1].get_xdata()).tolist() == [20]


def test_what_is_reported_of_the_test_set_is_no_curve(recipe: Recipe, make: Maker) -> None:
    """A reported test score does not stand in the panel of training and validation values of that name."""
    version = Version("v1", "", reported={"psnr": 20.0})
    run = make("v1", done=0)
    write_epochs(run, 8, {"psnr": 19.0})
    figure = figures.loss_figure(dataclasses.replace(recipe, versions=(version,)), run)
    assert figure is not None
    assert [line.get_label() for line in figure.axes[0].lines] == ["training", "validation"]


def test_a_share_keeps_its_linear_axis(recipe: Recipe, make: Maker) -> None:
    """What is better when larger (an accuracy) is read off a linear axis, however far it rises."""
    run = make("v1", done=0)
    for epoch, value in enumerate((0.01, 0.5, 0.99), start=1):
        line = {"time": 1, "step": epoch, "epoch": epoch, "scope": "epoch", "split": "train"}
        run.append("metrics", [{**line, "values": {"psnr": value, "grey": value}}])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    scales = {axes.get_ylabel(): axes.get_yscale() for axes in figure.axes}
    assert scales == {"PSNR, dB": "linear", "grey loss": "log"}


def test_the_only_part_of_a_loss_is_drawn_once(recipe: Recipe, make: Maker) -> None:
    """A part that is the loss itself, value by value, gets no second panel."""
    run = make("v1", done=0)
    for epoch in range(1, 4):
        line = {"time": 1, "step": epoch, "epoch": epoch, "scope": "epoch", "split": "train"}
        run.append("metrics", [{**line, "values": {"loss": 1 / epoch, "error": 1 / epoch, "kl": 0.5}}])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "KL divergence, nats"]


@pytest.mark.parametrize("added", ["", " + 0.1·ΣW²", ", labels smoothed by 0.1"])
def test_a_loss_that_is_the_cross_entropy_shares_its_panel(recipe: Recipe, make: Maker, added: str) -> None:
    """The validation's cross-entropy stands beside the training loss, but only where nothing is added to that."""
    formula = f"mean over images of cross-entropy, nats{added}"
    run = make("v1", done=0, drawn=True, loss_definition={"classifier": formula})
    for epoch in range(1, 4):
        at = {"time": 1, "step": epoch, "epoch": epoch, "scope": "epoch"}
        run.append("metrics", [{**at, "split": "train", "values": {"loss": 0.5}}])
        run.append("metrics", [{**at, "split": "validation", "values": {"cross_entropy": 0.6}}])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    drawn = {axes.get_ylabel(): [line.get_label() for line in axes.lines] for axes in figure.axes}
    if added:
        assert drawn == {"loss": ["training"], "cross-entropy, nats": ["validation"]}
    else:
        assert drawn == {"loss": ["training", "validation"]}


def test_members_of_a_fleet_are_no_curve(recipe: Recipe, make: Maker) -> None:
    """Lines of a fleet's members are not strung together into one zigzag."""
    run = make("v1", done=0)
    for member in range(3):
        line = {"time": 1, "step": 1, "epoch": 1, "scope": "epoch", "split": "train", "values": {"loss": 1.0}}
        run.append("metrics", [{**line, "member": member}])
    assert figures.loss_figure(recipe, run) is None


@pytest.mark.parametrize("title", ["Plain", "32×32 – σ", "Überblick über α"])
def test_files_carry_their_titles(tmp_path: Path, title: str) -> None:
    """A picture's title can be read from its file, wrapped or not, in any script; without one its name stands in."""
    title = f"{title} " + "and what else it shows " * 6
    path = figures.draw(Matrix([[1.0, 2.0]], title), tmp_path / "some_name.png")
    assert title_of(path) == title.strip()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "first-layer.png")
    assert title_of(tmp_path / "first-layer.png") == "first layer"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert title_of(tmp_path / "broken.png") == "broken"


@pytest.mark.parametrize(
    "how",
    [{"drawn": True}, {"patch": {"epochs": 2}}, {"patch": {"data.limit": 256}}, {"patch": {"steps": 5}}],
)
def test_reference_only_where_it_compares(recipe: Recipe, make: Maker, how: dict[str, object]) -> None:
    """Drawn data, fewer data, other epochs: the reported loss does not stand beside such a run."""
    figure = figures.loss_figure(recipe, make("v1", **how))
    assert figure is not None
    assert not [text for text in texts(figure) if "reported" in text]


def test_titles_name_the_data(recipe: Recipe, make: Maker) -> None:
    """Drawn data and limits stand in the title: a stand-in never passes as the real data."""
    run = make("v1", drawn=True, patch={"data.limit": 256}, name="quick")
    for more, told in (({}, "at most 256"), ({"items": 200}, "200")):  # earlier runs noted no number of items
        run.update(data={**run.meta["data"], **more})
        figure = figures.loss_figure(recipe, run)
        assert figure is not None
        (subtitle,) = texts(figure, "subtitle")
        assert subtitle.startswith(f"toy v1 (quick), seed 0, drawn glyphs, {told} training items · loss: ")


def test_log_axis_only_when_useful(recipe: Recipe, make: Maker) -> None:
    """A part that falls a hundredfold gets a logarithmic axis, one that does not stays linear."""
    run = make("v1", done=0)
    for epoch, loss in enumerate((1000.0, 100.0, 10.0), start=1):
        values = {"loss": loss, "kl": 5.0 + epoch}
        line = {
            "time": 1,
            "step": epoch,
            "epoch": epoch,
            "scope": "epoch",
            "split": "train",
            "values": values,
        }
        run.append("metrics", [line])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]


def test_run_that_ended_inside_its_first_epoch(recipe: Recipe, make: Maker) -> None:
    """Without a whole epoch the values over steps are drawn; without any value, nothing is."""
    run = make("v1", done=0, status="failed")
    assert figures.loss_figure(recipe, run) is None
    values = [{"loss": 3.0}, {"loss": float("nan")}]
    for step, value in enumerate(values, start=1):
        line = {"time": 1, "step": step, "epoch": 1, "scope": "step", "split": "train", "values": value}
        run.append("metrics", [line])
    figure = figures.loss_figure(recipe, run)
    assert figure is not None
    assert figure.axes[0].get_xlabel() == "step"


@pytest.mark.parametrize("epochs", [1, 8])
def test_draw_run(recipe: Recipe, make: Maker, trained: Trained, epochs: int) -> None:
    """All of a run's pictures are PNG files of readable size in its folder, and drawn again identically."""
    run = make("v1", patch={"epochs": epochs})
    paths = figures.draw_run(recipe, run, trained)
    assert [path.name for path in paths] == ["loss.png", "digits.png"]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert 300 < picture.width < 3000 and 200 < picture.height < 3000
    assert [path.read_bytes() for path in figures.draw_run(recipe, run, trained)] == before


def test_recipe_without_figures(recipe: Recipe, make: Maker, trained: Trained) -> None:
    """A recipe that draws nothing of its own still gets its loss curves."""
    plain = dataclasses.replace(recipe, figures=None)
    assert [path.name for path in figures.draw_run(plain, make("v1"), trained)] == ["loss.png"]


def test_failed_write_keeps_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails, the old picture stays whole and the error names the file."""
    path = figures.draw(small(), tmp_path / "g.png")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(EpochalError, match=r"g\.png"):
        figures.draw(small(9), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["g.png"]


def test_no_global_state() -> None:
    """Drawing imports no pyplot: a notebook's own figures and back end are left alone."""
    import subprocess
    import sys

    code = "import sys, epochal.report.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
