"""Sample pictures while training: plain tiles without matplotlib, so that an epoch's end costs milliseconds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from epochal.journal import atomic

_TILES = "Rows, columns, gap"


def write_grid(path: Path, images: Any, *, gap: int = 2) -> None:
    """Writes uint8 images of shape (rows, columns, H, W[, 3]) as one PNG, `gap` white pixels between them.

    The file says how many rows and columns it has, so that `report/timeline` can take it apart again.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    images = np.asarray(images)
    rows, columns, height, width = images.shape[:4]
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[4:]), 255, np.uint8
    )
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = images[r, c]
    buffer = io.BytesIO()
    told = PngInfo()
    told.add_text(_TILES, f"{rows} {columns} {gap}")
    Image.fromarray(sheet).save(buffer, format="PNG", pnginfo=told)
    atomic.write_bytes(path, buffer.getvalue())
