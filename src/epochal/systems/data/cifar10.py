"""CIFAR-10 in every form it is handed around in.

The published items come in six parts, five training batches and one test batch, in Python pickles. Copies as
.npz exist with all items (the names of Keras), or with one file a training batch and the first 1,000 of the
10,000 test images. Whatever the form, every part is recognised by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import npz
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

    Part = tuple[Array, Array]  # (n, 32, 32, 3) and (n,), both uint8

KIND = "32x32 colour images with labels"
IMAGE_SHAPE = (32, 32, 3)
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
# One part a file: its name here.
NPZ_PARTS = {part: f"cifar10_train_{part[-1]}.npz" for part in TRAIN} | {TEST: "cifar10_test_first1000.npz"}
# All parts in one file.
NPZ_NAMES = ("cifar10.npz", "cifar-10.npz")
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, kw_only=True)
class Cifar10(FileSource):
    """CIFAR-10, found in files and recognised part by part.

    Attributes:
        batch: images in each of the six published parts.
        first: test images in a copy that has only the first of them.
        batch_sha256: digest (`batch_digest`) of each part, and of the first test images as "first"; None
            takes any images.
    """

    batch: int = 10_000
    first: int = 1_000
    batch_sha256: Mapping[str, str] | None = None

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """All items in one .npz file, or one .npz file a part."""
        for name in NPZ_NAMES:
            if (place / name).is_file():
                return Location(place / name)
        files = {part: place / name for part, name in NPZ_PARTS.items() if (place / name).is_file()}
        if not files:
            return None
        return Location(place, files, tuple(name for part, name in NPZ_PARTS.items() if part not in files))

    def slow(self, location: Location) -> bool:
        """Unpacking takes seconds."""
        return True

    def origin(self, location: Location, splits: Splits) -> str:
        """The file or folder, and whether only some of the test images are there."""
        tested = len(splits["test"]["labels"])
        if tested == self.items[1]:
            return str(location.path)
        return f"{location.path}, only the first {tested:,} of the {self.items[1]:,} test images"

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the parts, each checked against its digest, and joins the training batches in order."""
        import numpy as np

        parts = self._parts(location)
        files = location.files or {}
        for part, (images, labels) in parts.items():
            self._check(files.get(part, location.path), part, images, labels)
        splits = {
            "train": {
                column: np.concatenate([parts[part][k] for part in TRAIN])
                for k, column in enumerate(("images", "labels"))
            },
            "test": {"images": parts[TEST][0], "labels": parts[TEST][1]},
        }
        return splits, splits_digest(splits)

    def _parts(self, location: Location) -> dict[str, Part]:
        if location.files is None:
            return self._parts_of_npz(location.path)
        with ThreadPoolExecutor(2) as pool:  # LZMA leaves Python's lock while it unpacks
            arrays = pool.map(
                lambda path: npz.read(path, ("images", "labels"), hint=self.remedy), location.files.values()
            )
            return {
                part: (found["images"], npz.narrowed(found["labels"]))
                for part, found in zip(location.files, arrays, strict=True)
            }

    def _parts_of_npz(self, path: Path) -> dict[str, Part]:
        found = npz.read(path, NPZ_KEYS, hint=self.remedy)
        for key in ("y_train", "y_test"):  # Keras gives labels as a column (n, 1)
            labels = found[key]
            found[key] = npz.narrowed(labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels)
        for key in NPZ_KEYS:
            self._check_array(path, key, found[key], IMAGE_SHAPE if key.startswith("x") else ())
        x_train, y_train, x_test, y_test = (found[key] for key in NPZ_KEYS)
        if len(x_train) != len(y_train) or len(x_train) != len(TRAIN) * self.batch:
            raise EpochalError(
                f"{path} is not {self.name}: it holds {len(x_train):,} training images and {len(y_train):,} "
                f"labels, not {len(TRAIN) * self.batch:,} of each.",
                hint=self.remedy,
            )
        starts = range(0, len(x_train), self.batch)
        train = [(x_train[k : k + self.batch], y_train[k : k + self.batch]) for k in starts]
        return {**dict(zip(TRAIN, train, strict=True)), TEST: (x_test, y_test)}

    def _check(self, path: Path, part: str, images: Array, labels: Array) -> None:
        """Refuses a part that is not what it should be, naming the file and what is wrong."""
        self._check_array(path, f"images of {part}", images, IMAGE_SHAPE)
        self._check_array(path, f"labels of {part}", labels, ())
        allowed = (self.batch, self.first) if part == TEST else (self.batch,)
        if len(images) != len(labels) or len(images) not in allowed:
            raise EpochalError(
                f"{path} is not {self.name}: {part} has {len(images):,} images and {len(labels):,} labels, not "
                f"{' or '.join(f'{number:,}' for number in allowed)} of each.",
                hint=self.remedy,
            )
        if labels.max() >= len(self.classes):
            raise EpochalError(
                f"{path}: a label of {part} is {labels.max()}; labels go from 0 to {len(self.classes) - 1}.",
                hint=self.remedy,
            )
        if self.batch_sha256 is not None:
            digest = batch_digest(images, labels)
            expected = self.batch_sha256[part if len(images) == self.batch else "first"]
            if digest != expected:
                raise EpochalError(
                    f"{path} is not {self.name}: {part} has SHA-256 {digest[:16]}… over labels and images, "
                    f"{expected[:16]}… is expected.",
                    hint=self.remedy,
                )

    def _check_array(self, path: Path, what: str, array: Array, item_shape: tuple[int, ...]) -> None:
        if array.dtype != "uint8" or array.ndim != 1 + len(item_shape) or array.shape[1:] != item_shape:
            expected = ", ".join(("n", *map(str, item_shape)))
            raise EpochalError(
                f"{path}: the {what} are {array.dtype} of shape {array.shape}; uint8 of shape ({expected}) is "
                "expected.",
                hint=self.remedy,
            )


def batch_digest(images: Array, labels: Array) -> str:
    """SHA-256 of images (n, 32, 32, 3) and labels (n,), both uint8, laid out as the published binary version.

    That is for each image its label in one byte, then its red, green and blue plane.
    """
    import numpy as np

    records = np.empty((len(images), 1 + images[0].size), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return hashlib.sha256(records.data).hexdigest()


CIFAR10 = Cifar10(
    name="cifar10",
    what="photographs of animals and vehicles, 32x32 colour (Krizhevsky 2009)",
    kind=KIND,
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    licence="none stated; asks to be cited",
    items=(50_000, 10_000),
    stand_in="shapes",
    folders=("cifar10", "cifar-10", "CIFAR10"),
    by_hand=", ".join(NPZ_PARTS.values()),
    # Of the files data_batch_1.bin to test_batch.bin of the published binary version, as two packages of public
    # code list them; the first 1,000 test images as computed from them.
    batch_sha256={
        "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        "first": "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5",
    },
)
