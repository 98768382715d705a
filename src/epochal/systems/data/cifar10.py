"""CIFAR-10 in every form it is handed around in.

The published items come in six parts, five training batches and one test batch, in Python pickles (`batches`),
archived or in a folder. Copies as .npz exist with all items (the names of Keras), or with one file a training
batch and the first 1,000 of the 10,000 test images. Whatever the form, every part is recognised by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import batches, npz
from epochal.systems.data.dataset import Check
from epochal.systems.data.digests import file_digest, splits_digest
from epochal.systems.data.download import Remote, RemoteFile
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
        """Any of its forms, whole ones first, those with all test images first."""
        folders = (place / batches.FOLDER, place)
        found = [
            *(_location(folder, {part: folder / part for part in (*TRAIN, TEST)}) for folder in folders),
            *(Location(place / name) for name in (batches.ARCHIVE, *NPZ_NAMES) if (place / name).is_file()),
            _location(place, {part: place / name for part, name in NPZ_PARTS.items()}),
        ]
        return min(filter(None, found), key=lambda location: len(location.missing), default=None)

    def slow(self, location: Location) -> bool:
        """Unpacking takes seconds; only the pickles in a folder are not packed."""
        return not _pickles(location)

    def origin(self, location: Location, splits: Splits) -> str:
        """The file or folder, and whether only some of the test images are there."""
        tested = len(splits["test"]["labels"])
        if tested == self.items[1]:
            return str(location.path)
        return f"{location.path}, only the first {tested:,} of the {self.items[1]:,} test images"

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the parts, each checked against its digest, and joins the training batches in order."""
        import numpy as np

        files = location.files or {}
        parts = {
            part: self._checked(files.get(part, location.path), part, images, labels)
            for part, (images, labels) in self._parts(location).items()
        }
        splits = {
            "train": {
                column: np.concatenate([parts[part][k] for part in TRAIN])
                for k, column in enumerate(("images", "labels"))
            },
            "test": {"images": parts[TEST][0], "labels": parts[TEST][1]},
        }
        return splits, splits_digest(splits)

    def published_checks(self, location: Location) -> list[Check]:
        """Compares the archive with the published one."""
        if location.path.name != batches.ARCHIVE or self.remote is None:
            return []
        published = self.remote.files["archive"].sha256
        digest = file_digest(location.path).hex()
        detail = f"SHA-256 {digest}" + (f", published {published}" if digest != published else "")
        return [Check(batches.ARCHIVE, digest == published, detail)]

    def _parts(self, location: Location) -> dict[str, Part]:
        """Images and labels of each part as they lie there, not yet checked."""
        if location.path.name == batches.ARCHIVE:
            return batches.read_archive(location.path, (*TRAIN, TEST), hint=self.remedy)
        if location.files is None:
            return self._parts_of_npz(location.path)
        if location.path.name == batches.FOLDER:
            return {part: batches.read_file(path, hint=self.remedy) for part, path in location.files.items()}
        with ThreadPoolExecutor(2) as pool:  # LZMA leaves Python's lock while it unpacks
            arrays = pool.map(
                lambda path: npz.read(path, ("images", "labels"), hint=self.remedy), location.files.values()
            )
            return {
                part: (found["images"], found["labels"])
                for part, found in zip(location.files, arrays, strict=True)
            }

    def _parts_of_npz(self, path: Path) -> dict[str, Part]:
        found = npz.read(path, NPZ_KEYS, hint=self.remedy)
        for key in ("x_train", "x_test"):
            self._check_images(path, key, found[key])
        for key in ("y_train", "y_test"):
            labels = found[key]  # Keras gives them as a column
            labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
            found[key] = self._checked_labels(path, key, labels)
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

    def _checked(self, path: Path, part: str, images: Array, labels: Array) -> Part:
        """The part, its labels as uint8; one that is not what it should be is refused, naming the file."""
        self._check_images(path, f"images of {part}", images)
        labels = self._checked_labels(path, f"labels of {part}", labels)
        allowed = (self.batch, self.first) if part == TEST else (self.batch,)
        if len(images) != len(labels) or len(images) not in allowed:
            raise EpochalError(
                f"{path} is not {self.name}: {part} has {len(images):,} images and {len(labels):,} labels, not "
                f"{' or '.join(f'{number:,}' for number in allowed)} of each.",
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
        return images, labels

    def _check_images(self, path: Path, what: str, images: Array) -> None:
        if images.dtype != "uint8" or images.shape[1:] != IMAGE_SHAPE:
            raise EpochalError(
                f"{path}: the {what} are {images.dtype} of shape {images.shape}; uint8 of shape (n, 32, 32, 3) "
                "is expected.",
                hint=self.remedy,
            )

    def _checked_labels(self, path: Path, what: str, labels: Array) -> Array:
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise EpochalError(
                f"{path}: the {what} are {labels.dtype} of shape {labels.shape}; whole numbers of shape (n) are "
                "expected.",
                hint=self.remedy,
            )
        wrong = labels[(labels < 0) | (labels >= len(self.classes))]
        if len(wrong):
            raise EpochalError(
                f"{path}: one of the {what} is {wrong[0]}; labels go from 0 to {len(self.classes) - 1}.",
                hint=self.remedy,
            )
        return labels.astype("uint8")


def _pickles(location: Location) -> bool:
    return location.files is not None and location.path / TEST in location.files.values()


def _location(path: Path, files: Mapping[str, Path]) -> Location | None:
    """Those of the files that are there, and what is missing; None where none is there."""
    present = {part: file for part, file in files.items() if file.is_file()}
    missing = tuple(file.name for part, file in files.items() if part not in present)
    return Location(path, present, missing) if present else None


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
    by_hand=f"{batches.ARCHIVE}, the unpacked folder {batches.FOLDER} or cifar10.npz",
    # The publisher's two addresses; size and digest as public code lists them, Keras among it.
    remote=Remote(
        mirrors=("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        files={
            "archive": RemoteFile(
                batches.ARCHIVE,
                170_498_071,
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            )
        },
    ),
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
