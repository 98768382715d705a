"""Sample sheets: the tiles are where they belong, to the pixel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.training.pictures import write_grid


@pytest.mark.parametrize("colour", [(), (3,)])
def test_tiles_and_gaps(tmp_path: Path, colour: tuple[int, ...]) -> None:
    """Two rows of three tiles, two white pixels between them and none around, grey or in colour."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 3, 5, 4, *colour), dtype=np.uint8)
    write_grid(tmp_path / "x.png", images)
    sheet = np.asarray(Image.open(tmp_path / "x.png"))
    assert sheet.shape == (12, 16, *colour)
    for r in range(2):
        for c in range(3):
            assert np.array_equal(sheet[7 * r : 7 * r + 5, 6 * c : 6 * c + 4], images[r, c])
    assert (sheet[5:7] == 255).all() and (sheet[:, 4:6] == 255).all()
