"""Reads a picture of one hand-drawn digit as MNIST would have stored it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_BOX, _SIDE = 20, 28


def read_digit(path: str | Path) -> Array:
    """A drawing as a (28, 28) float32 image in [0, 1], white on black.

    As for MNIST (LeCun et al. 1998): the ink's bounding box is scaled to fit 20x20 with its aspect kept, then
    placed so that its centre of mass is the centre of 28x28. A bright background is inverted, a transparent
    one counts as paper.

    Raises:
        UsageError: no such file, no readable picture, or nothing drawn on it.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            rgba = picture.convert("RGBA")
    except FileNotFoundError:
        raise UsageError(f"There is no picture {path}.", hint="Give the PNG of a hand-drawn digit.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path} cannot be read as a picture ({error}).", hint="Save the drawing as PNG."
        ) from None
    paper = Image.new("RGBA", rgba.size, "white")
    ink = np.asarray(Image.alpha_composite(paper, rgba).convert("L"), dtype=np.float32) / 255
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    if np.median(border) > 0.5:
        ink = 1 - ink
    ink = np.where(ink > 0.15, ink, 0)  # paper is seldom quite white
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        raise UsageError(
            f"Nothing is drawn on {path}.", hint="Draw one digit, dark on light or light on dark."
        )
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _BOX / max(box.shape)
    height, width = (max(1, round(n * scale)) for n in box.shape)
    small = np.asarray(
        Image.fromarray(box).resize(
            (width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        )
    )
    small = small / small.max()
    y, x = ((small.sum(axis) * np.arange(n)).sum() / small.sum() for axis, n in ((1, height), (0, width)))
    top, left = (
        int(np.clip(round((_SIDE - 1) / 2 - centre), 0, _SIDE - n)) for centre, n in ((y, height), (x, width))
    )
    image = np.zeros((_SIDE, _SIDE), np.float32)
    image[top : top + height, left : left + width] = small
    return image
