"""Photographs with masks in the folders of PASCAL VOC 2012 (Everingham et al. 2015), scaled to 256x256.

`JPEGImages/NAME.jpg`, `SegmentationClass/NAME.png` (palette indices: 0 background, 1 … 20, 255 void) and the lists
`ImageSets/Segmentation/train.txt` and `val.txt`; the challenge keeps its test masks to itself, so `val` is the test
split here. Both sides are scaled to 256, the picture's shape is not kept.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import masks
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

SIDE = 256
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
LISTS = {"train": "train.txt", "test": "val.txt"}


@dataclass(frozen=True, kw_only=True)
class Voc(FileSource):
    """Images (n, 256, 256, 3) and masks (n, 256, 256): a class, or 255 for void."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """A folder with both lists; what they name is looked up when it is read."""
        lists = place / "ImageSets" / "Segmentation"
        if not all((lists / name).is_file() for name in LISTS.values()):
            return None
        files = {f"{split}/list": lists / name for split, name in LISTS.items()}
        for split, name in LISTS.items():
            for item in _names(lists / name):
                # Names come from a file: only a plain one may lead to a picture.
                for column, path in (
                    ("image", place / "JPEGImages" / f"{item}.jpg"),
                    ("mask", place / "SegmentationClass" / f"{item}.png"),
                ):
                    if Path(item).name == item and path.is_file():
                        files[f"{split}/{column}/{item}"] = path
        return Location(place, files)

    def slow(self, location: Location) -> bool:
        """Some thousand photographs are decoded and scaled."""
        return True

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads and scales the pictures that the lists name, in their order."""
        splits = {split: self._split(location, split) for split in LISTS}
        train, test = ((location.files or {})[f"{split}/list"] for split in LISTS)
        both = [name for name in _names(train) if name in set(_names(test))]
        if both:
            raise EpochalError(
                f"{train} and {test.name} both name {', '.join(both[:5])}{' and more' * (len(both) > 5)}: "
                "pictures that were trained on measure nothing.",
                hint=self.remedy,
            )
        return splits, splits_digest(splits)

    def _split(self, location: Location, split: str) -> dict[str, Array]:
        import numpy as np

        files = location.files or {}
        columns = {}
        for column in ("image", "mask"):
            prefix = f"{split}/{column}/"
            columns[column] = {
                key.removeprefix(prefix): path for key, path in files.items() if key.startswith(prefix)
            }
        names = _names(files[f"{split}/list"])
        where = files[f"{split}/list"]
        pairs = masks.paired(columns["image"], columns["mask"], where=where, names=names, hint=self.remedy)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # Pillow leaves Python's lock
            images = list(pool.map(lambda pair: self._image(pair[0]), pairs))
            labels = list(pool.map(lambda pair: self._mask(pair[1]), pairs))
        for image, mask in pairs:
            masks.same_size(image, mask, self.remedy)
        return {"images": np.stack(images), "masks": np.stack(labels)}

    def _image(self, path: Path) -> Array:
        return masks.read(path, "RGB", size=(SIDE, SIDE), hint=self.remedy)

    def _mask(self, path: Path) -> Array:
        mask = masks.read(path, size=(SIDE, SIDE), hint=self.remedy)
        wrong = mask[(mask >= len(CLASSES)) & (mask != masks.VOID)]
        if wrong.size:
            raise EpochalError(
                f"{path} has pixels of class {wrong.max()}; classes go from 0 to {len(CLASSES) - 1}, "
                f"{masks.VOID} is void.",
                hint=self.remedy,
            )
        return mask


def _names(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").split()


VOC2012 = Voc(
    name="voc2012",
    what="photographs of 20 kinds of things, scaled to 256x256 colour, with masks (PASCAL VOC 2012)",
    kind=masks.COLOUR,
    classes=CLASSES,
    licence="none stated (Flickr's terms); asks to be cited",
    items=(1464, 1449),
    stand_in="stained-cells",
    folders=("VOC2012", "VOCdevkit/VOC2012", "voc2012", "voc"),
    by_hand="the folders JPEGImages, SegmentationClass and ImageSets of VOC2012",
)
