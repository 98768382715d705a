"""Every recipe, whatever it trains, does what people may expect of a recipe: run, resume, evaluate, draw, log.

Small networks, a few items, one epoch: what a recipe reaches is asserted in its own test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

from epochal import api, settings
from epochal.cli import main
from epochal.errors import UsageError
from epochal.journal import Lab
from epochal.report import figures
from epochal.report.pictures import title_of
from epochal.systems import data, recipes
from epochal.systems.data import faces_drawn

ITEMS = 16
NARROW: Mapping[str, Mapping[str, Any]] = {
    "cnn-digits": {"net.width": 4},
    "cvae-faces": {"net.width": 0.05},
    "dcgan-cifar10": {"net.width": 4},
    "digit-judge": {"net.width": 4},
    "har-classifier": {"net.name": "resnet8"},
    "har-distill": {"net.name": "resnet8", "teacher.net": "wrn10-1"},
    "har-distill-two-teachers": {"net.name": "resnet8", "teacher.net": "resnet8", "teacher2.net": "wrn10-1"},
    "image-features": {"net.width": 4},
    "resnet18-cifar10": {"net.width": 4},
    "resnet50-cifar10": {"net.width": 4},
    "resnet50-unet": {"net.width": 4},
    "unet": {"net.base": 2},
    "vgg16-cifar10": {"net.width": 0.05},
}
"""Widths for recipes whose networks would take long, or fill the disk."""

Read = Callable[..., data.Dataset]


def few_faces() -> data.Dataset:
    """Drawn faces without drawing the 2,000 of their test split first."""
    splits = {
        split: {"images": faces_drawn.draw_rows(split, 0, n), **faces_drawn.columns(split, n)}
        for split, n in (("train", 3 * ITEMS), ("test", 3))
    }
    return data.Dataset("drawn-faces", "drawn for a test", True, "0" * 64, (), splits)


def few_people(found: data.Dataset) -> data.Dataset:
    """The first six people of the simulated wrist: rows are samples there, of which windows are cut."""
    train = found.splits["train"]
    few = {name: column[train["subject"] < 6] for name, column in train.items()}
    return replace(found, splits={**found.splits, "train": few})


@pytest.fixture(scope="module")
def read_once() -> Read:
    """The first items of each source, read once for all recipes."""
    kept: dict[str, data.Dataset] = {}
    whole = data.load

    def read(name: str) -> data.Dataset:
        if name not in kept:
            if name == "wrist":
                kept[name] = few_people(whole(name))
                return kept[name]
            found = whole(name, limit=3 * ITEMS) if name != "drawn-faces" else few_faces()
            items = next(iter(found.splits["train"].values()))
            many = {"train": 3 * ITEMS, "test": 3 if items[0].nbytes > 10_000 else 100}
            splits = {
                split: {column: array[: many[split]].copy() for column, array in columns.items()}
                for split, columns in found.splits.items()
            }
            kept[name] = replace(found, splits=splits)
        return kept[name]

    return read


@pytest.fixture(autouse=True)
def little_data(read_once: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real data, and only the beginning of what is drawn instead."""

    def load(
        source: str,
        *,
        wanted: str | None = None,
        folder: str | None = None,
        limit: int | None = None,
        hold_out: int = 0,
    ) -> data.Dataset:
        found = read_once(data.resolve(source, folder, wanted=wanted))
        if found.name == "wrist":
            return found
        train, held_out = found.splits["train"], min(hold_out, ITEMS)
        end = 3 * ITEMS - held_out
        splits = {**found.splits, "train": {k: v[: min(limit or end, end)] for k, v in train.items()}}
        if held_out:
            splits["validation"] = {k: v[end:] for k, v in train.items()}
        return replace(found, splits=splits)

    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setattr(data, "load", load)


def small(name: str) -> dict[str, Any]:
    """Settings of the newest version with which a recipe trains in seconds."""
    keys = settings.flatten(recipes.settings_of(recipes.find(name)))
    little = {
        "epochs": 1,
        "steps": None,
        "batch_size": 8,
        "data.limit": ITEMS,
        "stop.loss": None,
        "data.hold_out": ITEMS,
        "data.crop": 32,
    }
    return {key: value for key, value in {**little, **NARROW.get(name, {})}.items() if key in keys}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn meanwhile."""
    kept: list[Figure] = []
    save = figures.save

    def keep(figure: Figure, path: Path) -> Path:
        kept.append(figure)
        return save(figure, path)

    monkeypatch.setattr(figures, "save", keep)
    return kept


def assert_readable(figure: Figure) -> None:
    """No text with an underscore, no axes without names, nothing outside the figure, no legend upon what is drawn."""
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert not [text.get_text() for text in shown if "_" in text.get_text()]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes if axes.lines)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    around, (wide, tall) = figure.get_tightbbox(), figure.get_size_inches()
    assert around.x0 >= 0 and around.y0 >= 0 and around.x1 <= wide and around.y1 <= tall
    for legend in figure.findobj(Legend):
        box = legend.get_window_extent(canvas.get_renderer())
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_keeps_all_promises(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: list[Figure]
) -> None:
    """It trains, is resumed only for more epochs, measures what it said it would, draws titled pictures that can be
    read, and is told in the log."""
    recipe, lab = recipes.find(name), Lab(tmp_path / "lab")
    (run,) = api.run(name, patch=small(name), precision="float32", threads=1, lab=lab, show=False)
    assert (run.status, run.meta["epochs_done"]) == ("finished", 1)
    assert run.meta["data"]["name"] and run.meta["loss_definition"]
    assert all(map(math.isfinite, run.meta["final"].values())) and "loss" in run.meta["final"]

    with pytest.raises(UsageError, match="is finished"):
        api.resume(run.id, lab=lab, show=False)
    run = api.resume(run.id, epochs=2, lab=lab, show=False)
    assert (run.status, run.meta["epochs_done"]) == ("finished", 2)

    pictures = {path.stem: path for path in run.figures_dir.glob("*.png")}
    assert "loss" in pictures
    assert len(pictures) > 1 or recipe.figures is None
    for stem, path in pictures.items():
        assert title_of(path) != stem.replace("_", " "), "each picture says what it shows"
        with Image.open(path) as picture:
            assert min(picture.size) >= 100 and max(picture.size) <= 4000

    assert len(drawn) >= len(pictures)
    for figure in drawn:
        assert_readable(figure)

    if recipe.evaluate is not None and recipe.needs is None:  # else a judge would have to be trained first
        measured = api.evaluate(run.id, lab=lab, show=False)
        assert measured and all(isinstance(value, float) for value in measured.values())
        assert set(measured) & {metric.name for metric in recipe.metrics}

    assert main(["log", name, "--lab", str(lab.path)]) == 0
    text = (lab.path / f"{name}.md").read_text("utf-8")
    assert run.id in text and all(f"`{stem}`: " in text for stem in pictures)


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_is_described(name: str) -> None:
    """The listing has something to say of each: summary, data, time, sources that exist, directions of metrics."""
    recipe = recipes.find(name)
    assert recipe.name == name and recipe.summary and recipe.data and recipe.minutes
    assert set(recipe.sources) <= {source.name for source in data.sources()}
    assert all(metric.what for metric in recipe.metrics)
    for version in recipe.versions:
        assert version.change
        recipes.settings_of(recipe, version.name)
