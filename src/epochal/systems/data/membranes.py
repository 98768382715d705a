"""Membranes under the electron microscope: the 30 labelled slices of ISBI 2012 (Cardona et al. 2010).

Read from one .npz file, from the challenge's two TIFF stacks, or from numbered PNG files in `image` and `label`. The
slices are neighbours in one volume, so they are split in blocks: the last fifth are the test slices.
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

NPZ = "isbi2012_membrane.npz"
STACKS = {"images": "train-volume.tif", "labels": "train-labels.tif"}
FOLDERS = {"images": "image", "labels": "label"}
TEST_SHARE = 5  # one in so many


@dataclass(frozen=True, kw_only=True)
class Membranes(FileSource):
    """Images (n, H, W) and masks (n, H, W), 1 = membrane."""

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The .npz file, both stacks, or both folders (only where the place bears the source's name)."""
        if (place / NPZ).is_file():
            return Location(place / NPZ)
        stacks = {column: place / name for column, name in STACKS.items()}
        if all(stack.is_file() for stack in stacks.values()):
            return Location(place, stacks)
        folders = {column: place / name for column, name in FOLDERS.items()}
        if named and all(folder.is_dir() for folder in folders.values()):
            found = {column: masks.pictures_in(folder) for column, folder in folders.items()}
            return Location(
                place, {f"{c}/{n}": path for c, paths in found.items() for n, path in paths.items()}
            )
        return None

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the slices in order; the files mark the interior, the masks the membrane."""
        images, interior = self._columns(location)
        masks.same_shape(images, interior, location.path, self.remedy)
        membrane = (interior == 0).astype("uint8")
        train = len(images) - len(images) // TEST_SHARE
        if train == len(images):
            raise EpochalError(
                f"{location.path} holds {len(images)} slices; at least {TEST_SHARE} are needed.",
                hint=self.remedy,
            )
        splits = {
            "train": {"images": images[:train], "masks": membrane[:train]},
            "test": {"images": images[train:], "masks": membrane[train:]},
        }
        return splits, splits_digest(splits)

    def _columns(self, location: Location) -> tuple[Array, Array]:
        """Images and interiors (above 127 in pictures) as uint8, the interior 0 or 1."""
        import numpy as np

        if location.files is None:
            found = npz.read(location.path, ("images", "labels"), hint=self.remedy)
            return found["images"], found["labels"]
        if set(location.files) == set(STACKS):
            images, labels = (self._stack(location.files[column]) for column in STACKS)
            return images, (labels > 127).astype(np.uint8)
        by_name = {
            column: {
                key.split("/")[1]: path for key, path in location.files.items() if key.startswith(column)
            }
            for column in FOLDERS
        }
        pairs = masks.paired(by_name["images"], by_name["labels"], where=location.path, hint=self.remedy)
        read = [[masks.read(path, "L", hint=self.remedy) for path in pair] for pair in pairs]
        shapes = {pixels.shape for pair in read for pixels in pair}
        if len(shapes) > 1:
            sizes = ", ".join(sorted(f"{width}x{height}" for height, width in shapes))
            raise EpochalError(
                f"{location.path} holds pictures of different size: {sizes}.", hint=self.remedy
            )
        images, labels = (np.stack([pair[i] for pair in read]) for i in range(2))
        return images, (labels > 127).astype(np.uint8)

    def _stack(self, path: Path) -> Array:
        """All pages of a TIFF file: (n, H, W) uint8."""
        import numpy as np
        from PIL import Image, ImageSequence

        try:
            with Image.open(path) as stack:
                return np.stack([np.array(page.convert("L")) for page in ImageSequence.Iterator(stack)])
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise EpochalError(
                f"{path} cannot be read as a stack of pictures: {error}.", hint=self.remedy
            ) from error


MEMBRANES = Membranes(
    name="membranes",
    what="slices of a fly's nerve cord, 512x512 grey, with membranes (ISBI 2012)",
    kind=masks.GREY,
    classes=("interior", "membrane"),
    licence="none stated; asks to be cited",
    items=(24, 6),
    stand_in="tissue",
    folders=("membranes", "membrane", "membrane/train", "isbi2012"),
    by_hand=f"{NPZ}, or the challenge's {' and '.join(STACKS.values())}",
)
