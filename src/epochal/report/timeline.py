"""What a run drew after each epoch from the same noise, in time: as one figure, and as an animation."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epochal.journal import atomic
from epochal.training.task import ImageGrid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epochal.journal import Run

ROWS, COLUMNS = 12, 16
"""Epochs and samples that the figure shows: evenly chosen, the first and the last among them."""
FRAMES = 60
"""Epochs that the animation shows, likewise."""
SIDE = 480
"""Output pixels that a frame may take where it is enlarged."""
FRAME_MS, LAST_MS = 250, 2500

_TILES = "Rows, columns, gap"  # what `training/pictures` says of a file


def grids(run: Run) -> dict[int, Any]:
    """The samples of each epoch, (rows, columns, H, W[, 3]) uint8; those of another form than the last are left out."""
    found = {}
    for path in sorted(run.samples_dir.glob("epoch-*.png")):
        named = re.fullmatch(r"epoch-(\d+)", path.stem)
        if named is None or path.is_symlink():
            continue
        try:
            found[int(named[1])] = read_grid(path)
        except ValueError:  # of an earlier version, or torn
            continue
    last = found[max(found)].shape if found else None
    return {epoch: images for epoch, images in sorted(found.items()) if images.shape == last}


def read_grid(path: Path) -> Any:
    """The images (rows, columns, H, W[, 3]) of a PNG that `training/pictures.write_grid` wrote, uint8.

    Raises:
        ValueError: no such file, or none that says how it is made up.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            rows, columns, gap = (int(word) for word in str(picture.info[_TILES]).split())
            sheet = np.asarray(picture)
        height, width = (
            (side + gap) // count - gap for side, count in zip(sheet.shape, (rows, columns), strict=False)
        )
        cut = [
            sheet[r * (height + gap) :, c * (width + gap) :][:height, :width]
            for r in range(rows)
            for c in range(columns)
        ]
        return np.stack(cut).reshape(rows, columns, height, width, *sheet.shape[2:])
    except (OSError, SyntaxError, KeyError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is no grid of samples: {error}") from error


def figure(samples: Mapping[int, Any]) -> ImageGrid | None:
    """The same samples epoch by epoch, a row each; None where there are fewer than two epochs."""
    if len(samples) < 2:
        return None
    epochs = spread([*samples], ROWS)
    tiles = [samples[epoch].reshape(-1, *samples[epoch].shape[2:]) for epoch in epochs]
    chosen = spread(range(len(tiles[0])), COLUMNS)
    return ImageGrid(
        np.stack([row[chosen] for row in tiles]),
        title="The same samples after each epoch"
        if len(epochs) == len(samples)
        else "The same samples in the course of training",
        rows=[f"epoch {epoch}" for epoch in epochs],
    )


def animate(samples: Mapping[int, Any], path: Path, title: str) -> Path | None:
    """Writes the epochs' samples as an animated PNG; None where there are fewer than two.

    What shows no animations shows the last epoch's.
    """
    if len(samples) < 2:
        return None
    from PIL.PngImagePlugin import PngInfo

    epochs = spread([*samples], FRAMES)
    frames = [_frame(samples[epoch], f"epoch {epoch}") for epoch in epochs]
    told = PngInfo()
    told.add_text("Title", title)
    buffer = io.BytesIO()
    frames[-1].save(
        buffer,
        format="PNG",
        save_all=True,
        default_image=True,
        append_images=frames,
        duration=[FRAME_MS] * (len(frames) - 1) + [LAST_MS],
        loop=0,
        pnginfo=told,
    )
    atomic.write_bytes(path, buffer.getvalue())
    return path


def spread(values: Sequence[int], most: int) -> list[int]:
    """At most so many of the values, evenly chosen, the first and the last among them."""
    if len(values) <= most:
        return [*values]
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _frame(images: Any, name: str) -> Any:
    """All tiles of an epoch on white, enlarged by a whole factor, the epoch's name above."""
    from PIL import Image, ImageDraw, ImageFont

    rows, columns, height, width = images.shape[:4]
    factor = max(1, SIDE // max(rows * height, columns * width))
    tiles = images.repeat(factor, 2).repeat(factor, 3)
    tiles = tiles if tiles.ndim == 5 else np.repeat(tiles[..., None], 3, axis=4)
    gap, head = 2 * factor, 28
    tall, wide = (n * (side * factor + gap) + gap for n, side in ((rows, height), (columns, width)))
    sheet = np.full((tall + head, max(wide, 120), 3), 255, np.uint8)
    for r in range(rows):
        for c in range(columns):
            top, left = head + r * (height * factor + gap), gap + c * (width * factor + gap)
            sheet[top : top + height * factor, left : left + width * factor] = tiles[r, c]
    frame = Image.fromarray(sheet)
    ImageDraw.Draw(frame).text((gap, 6), name, fill=(0, 0, 0), font=ImageFont.load_default(16))
    return frame
