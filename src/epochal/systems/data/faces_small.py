"""Faces of 64x64 without labels: 2,193 synthetic ones from SFHQ, and drawn ones where these are not found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import npz
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.drawn import DrawnSource
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

KIND = "64x64 colour faces"
SIDE = 64
NPZ = "faces_sfhq_64.npz"
TEST_SHARE = 10  # one in so many
DRAWN = (2_000, 200)


@dataclass(frozen=True, kw_only=True)
class SmallFaces(FileSource):
    """Images (n, 64, 64, 3); faces found by one search stand side by side, so every tenth is a test image."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The .npz file."""
        return Location(place / NPZ) if (place / NPZ).is_file() else None

    def slow(self, location: Location) -> bool:
        """The file is packed by LZMA."""
        return True

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the images."""
        images = npz.read(location.path, ("images",), hint=self.remedy)["images"]
        if images.dtype != "uint8" or images.shape[1:] != (SIDE, SIDE, 3) or len(images) < TEST_SHARE:
            raise EpochalError(
                f"{location.path}: the images are {images.dtype} of shape {images.shape}; uint8 of shape "
                f"(n, {SIDE}, {SIDE}, 3) with {TEST_SHARE} or more is expected.",
                hint=self.remedy,
            )
        splits = _split(images)
        return splits, splits_digest(splits)


def _split(images: Array) -> dict[str, dict[str, Array]]:
    """Every tenth to test; the others in random order, because the last of them, or the first, must stand for all."""
    import numpy as np

    tested = np.arange(len(images)) % TEST_SHARE == TEST_SHARE - 1
    mixed = np.random.default_rng(0).permutation(np.flatnonzero(~tested))
    return {"train": {"images": images[mixed]}, "test": {"images": images[tested]}}


def draw() -> dict[str, dict[str, Array]]:
    """The first drawn faces of either split, scaled to 64x64 by the mean of what a pixel covers."""
    import numpy as np
    from PIL import Image

    from epochal.systems.data import faces_drawn

    def small(split: str, items: int) -> Array:
        faces = faces_drawn.draw_rows(split, 0, items)
        scaled = (Image.fromarray(face).resize((SIDE, SIDE), Image.Resampling.BOX) for face in faces)
        return np.stack([np.asarray(face) for face in scaled])

    return {split: {"images": small(split, n)} for split, n in zip(("train", "test"), DRAWN, strict=True)}


FACES_SFHQ = SmallFaces(
    name="faces-sfhq",
    what="synthetic faces from the pages of SFHQ and SFHQ-T2I (Beniaguev 2022, 2024), 64x64 colour, without labels",
    kind=KIND,
    classes=(),
    licence="MIT",
    items=(1974, 219),
    stand_in="drawn-faces-64",
    folders=("faces", "faces-sfhq"),
    by_hand=NPZ,
    edition=2,
)

DRAWN_FACES_64 = DrawnSource(
    name="drawn-faces-64",
    what="drawn faces scaled to 64x64 colour, without labels; needs no download",
    kind=KIND,
    classes=(),
    items=DRAWN,
    draw=draw,
    seed=120,
    edition=1,
)
