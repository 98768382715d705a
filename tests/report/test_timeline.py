"""The course of a run's samples: taken from the files that the engine writes, in order, none missing its epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epochal.journal import Run
from epochal.report import figures, timeline
from epochal.report.pictures import title_of
from epochal.training.pictures import write_grid
from epochal.training.task import Recipe, Trained

Maker = Callable[..., Run]


def images_of(epoch: int, *, colour: bool = True, rows: int = 2, columns: int = 3) -> Any:
    """Tiles of 8x8, another noise each epoch."""
    shape = (rows, columns, 8, 8, 3) if colour else (rows, columns, 8, 8)
    return np.random.default_rng(epoch).integers(0, 256, shape, dtype=np.uint8)


def sampled(run: Run, epochs: int, **how: Any) -> Run:
    """The run with samples of so many epochs, as the engine writes them."""
    run.samples_dir.mkdir(parents=True, exist_ok=True)
    for epoch in range(1, epochs + 1):
        write_grid(run.samples_dir / f"epoch-{epoch:04d}.png", images_of(epoch, **how))
    return run


@pytest.mark.parametrize("colour", [True, False])
def test_samples_are_read_as_they_were_drawn(colour: bool, make: Maker) -> None:
    """Tile by tile, grey or colour, epochs in order."""
    found = timeline.grids(sampled(make("v1"), 3, colour=colour))
    assert [*found] == [1, 2, 3]
    for epoch, images in found.items():
        assert np.array_equal(images, images_of(epoch, colour=colour))


def test_what_is_no_sample_is_left_out(make: Maker, tmp_path: Path) -> None:
    """A torn file, a picture that does not say how it is made up, a link, and grids of an earlier form."""
    run = sampled(make("v1"), 4)
    write_grid(run.samples_dir / "epoch-0001.png", images_of(1, rows=1))
    (run.samples_dir / "epoch-0002.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    Image.new("RGB", (28, 18)).save(run.samples_dir / "epoch-0005.png")
    (run.samples_dir / "epoch-0006.png").symlink_to(run.samples_dir / "epoch-0004.png")
    assert [*timeline.grids(run)] == [3, 4]
    with pytest.raises(ValueError, match="no grid of samples"):
        timeline.read_grid(tmp_path / "nothing.png")


def test_the_figure_has_an_epoch_a_row() -> None:
    """Each row holds the samples of its epoch; of many epochs and samples some are shown, the ends among them."""
    few = timeline.figure({epoch: images_of(epoch) for epoch in (1, 2, 3)})
    assert few is not None and list(few.rows) == ["epoch 1", "epoch 2", "epoch 3"]
    for epoch, row in zip((1, 2, 3), few.images, strict=True):
        assert np.array_equal(row, images_of(epoch).reshape(6, 8, 8, 3))
    many = timeline.figure({epoch: images_of(epoch, rows=5, columns=10) for epoch in range(1, 51)})
    assert many is not None and len(many.rows) == timeline.ROWS
    assert (many.rows[0], many.rows[-1]) == ("epoch 1", "epoch 50")
    assert many.images.shape[:2] == (timeline.ROWS, timeline.COLUMNS)
    assert timeline.figure({1: images_of(1)}) is None


@pytest.mark.parametrize("epochs", [2, 75])
def test_the_animation_has_an_epoch_a_frame(epochs: int, tmp_path: Path) -> None:
    """Frames in order, the last one longest and also what is seen where nothing moves; a title for the log."""
    samples = {epoch: images_of(epoch) for epoch in range(1, epochs + 1)}
    path = timeline.animate(samples, tmp_path / "a.png", "In motion")
    assert path is not None and title_of(path) == "In motion"
    shown = timeline.spread([*samples], timeline.FRAMES)
    with Image.open(path) as picture:
        assert picture.n_frames == len(shown) + 1  # the still one before them
        still = np.asarray(picture.convert("RGB"))
        for index, epoch in enumerate(shown, start=1):
            picture.seek(index)
            frame = np.asarray(picture.convert("RGB"))
            factor = timeline.SIDE // 24
            tile = frame[28 : 28 + 8 * factor, 2 * factor : 10 * factor]
            assert np.array_equal(tile[::factor, ::factor], samples[epoch][0, 0])
        assert np.array_equal(still, frame) and picture.info["duration"] == timeline.LAST_MS
    assert timeline.animate({1: samples[1]}, tmp_path / "b.png", "none") is None


def test_a_run_with_samples_gets_both(recipe: Recipe, make: Maker) -> None:
    """`draw_run` writes them for any recipe, without asking it; one epoch alone has no course."""
    paths = figures.draw_run(recipe, sampled(make("v1"), 3), Trained(None, {}))
    assert {"timeline.png", "animation.png"} < {path.name for path in paths}
    paths = figures.draw_run(recipe, sampled(make("v2"), 1), Trained(None, {}))
    assert not {"timeline.png", "animation.png"} & {path.name for path in paths}
