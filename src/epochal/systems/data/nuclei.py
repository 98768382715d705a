"""Nuclei under fluorescence: the 256x256 grey images of the 2018 Data Science Bowl (Caicedo et al. 2019).

Read from one .npz file, or from the challenge's folder `stage1_train` (one folder an image, one mask a nucleus), of
which the images of that size are taken. The last fifth, by the images' names, which are random, are the test images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import masks, npz
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

SIDE = 256
NPZ = "dsb2018_nuclei_256.npz"
FOLDER = "stage1_train"
TEST_SHARE = 5  # one in so many


@dataclass(frozen=True, kw_only=True)
class Nuclei(FileSource):
    """Images (n, 256, 256) and masks (n, 256, 256), 1 = nucleus."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The .npz file, or the folder of the challenge."""
        if (place / NPZ).is_file():
            return Location(place / NPZ)
        return Location(place / FOLDER) if (place / FOLDER).is_dir() else None

    def slow(self, location: Location) -> bool:
        """The file is packed tightly."""
        return location.path.suffix == ".npz"

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads images and masks in the order of their names."""
        if location.path.suffix == ".npz":
            found = npz.read(location.path, ("images", "instances"), hint=self.remedy)
            images, inside = found["images"], (found["instances"] > 0).astype("uint8")
            masks.same_shape(images, inside, location.path, self.remedy)
        else:
            images, inside = self._pictures(location.path)
        train = len(images) - len(images) // TEST_SHARE
        if train == len(images):
            raise EpochalError(
                f"{location.path} holds {len(images)} images of {SIDE}x{SIDE}; at least {TEST_SHARE} are needed.",
                hint=self.remedy,
            )
        splits = {
            "train": {"images": images[:train], "masks": inside[:train]},
            "test": {"images": images[train:], "masks": inside[train:]},
        }
        return splits, splits_digest(splits)

    def _pictures(self, folder: Path) -> tuple[Array, Array]:
        """The grey images of the right size; a mask is the union of its nuclei's."""
        import numpy as np

        images, inside = [], []
        for item in sorted(place for place in folder.iterdir() if place.is_dir()):
            image = self._image(item)
            if image is None:
                continue
            nuclei = sorted((item / "masks").glob("*.png"))
            if not nuclei:
                raise EpochalError(
                    f"{folder}: images and masks do not pair: no mask for {item.name}.", hint=self.remedy
                )
            union = np.zeros((SIDE, SIDE), np.uint8)
            for nucleus in nuclei:
                one = masks.read(nucleus, "L", hint=self.remedy)
                if one.shape != union.shape:
                    raise EpochalError(
                        f"{nucleus} is {one.shape[1]}x{one.shape[0]}, its image {SIDE}x{SIDE}.",
                        hint=self.remedy,
                    )
                union |= one > 127
            images.append(image)
            inside.append(union)
        none = np.zeros((0, SIDE, SIDE), np.uint8)
        return (np.stack(images), np.stack(inside)) if images else (none, none)

    def _image(self, item: Path) -> Array | None:
        """The image of one folder (H, W); None where it has another size or colours: stained tissue."""
        paths = sorted((item / "images").glob("*.png"))
        if not paths:
            raise EpochalError(
                f"{item.parent}: images and masks do not pair: no image for {item.name}.", hint=self.remedy
            )
        pixels = masks.read(paths[0], "RGB", hint=self.remedy)
        if pixels.shape[:2] != (SIDE, SIDE) or (pixels != pixels[..., :1]).any():
            return None
        return pixels[..., 0]


NUCLEI = Nuclei(
    name="nuclei",
    what="nuclei under fluorescence, 256x256 grey, with masks (2018 Data Science Bowl)",
    kind=masks.GREY,
    classes=("background", "nucleus"),
    licence="CC0 1.0",
    items=(268, 66),
    stand_in="cells",
    folders=("nuclei", "dsb2018", "data-science-bowl-2018"),
    by_hand=f"{NPZ}, or the challenge's folder {FOLDER}",
)
