"""MNIST, and what comes in the files of MNIST: four IDX files or one .npz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import idx, npz
from epochal.systems.data.dataset import Check
from epochal.systems.data.digests import column_digest, file_digest, items_digest
from epochal.systems.data.download import Remote, RemoteFile
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits

KIND = "28x28 grey images with labels"
IMAGE_SHAPE = (28, 28)
# Stem of each IDX file: the column that it holds, as (split, column).
COLUMNS = {
    "train-images": ("train", "images"),
    "train-labels": ("train", "labels"),
    "t10k-images": ("test", "images"),
    "t10k-labels": ("test", "labels"),
}
# The same columns in .npz files, by the names that Keras gave them.
NPZ_KEYS = {
    "train-images": "x_train",
    "train-labels": "y_train",
    "t10k-images": "x_test",
    "t10k-labels": "y_test",
}
PUBLISHED = ", ".join(
    f"{stem}-idx{3 if column == 'images' else 1}-ubyte.gz" for stem, (_, column) in COLUMNS.items()
)


@dataclass(frozen=True, kw_only=True)
class IdxSource(FileSource):
    """A data set of 28x28 images in the files of MNIST; `remote.files` has the gzipped IDX files by stem.

    Attributes:
        npz_names: names of an .npz file of it.
        idx_sha256: SHA-256 of each *unpacked* IDX file by stem, where known: it recognises the items whatever
            file they came in.
        labels_each: (training, test) items of every class, where all classes have equally many.
    """

    npz_names: tuple[str, ...]
    idx_sha256: Mapping[str, str] | None = None
    labels_each: tuple[int, int] | None = None

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """An .npz file, or all four IDX files, gzipped or not."""
        for name in self.npz_names:
            if (place / name).is_file():
                return Location(place / name)
        files = idx_files(place)
        if len(files) == len(COLUMNS) and (named or self._plausible(files)):
            return Location(place, files)
        return None

    def _plausible(self, files: Mapping[str, Path]) -> bool:
        """Whether files that lie in a folder without the source's name may be this source's.

        MNIST and Fashion-MNIST files have the same names; the small file of test labels tells them apart. A
        damaged one counts as this source's, so that reading it explains what is wrong.
        """
        import numpy as np

        try:
            labels = idx.read(files["t10k-labels"], item_shape=(), hint="")
        except EpochalError:
            return True
        if self.idx_sha256 is not None:
            return column_digest(labels) == self.idx_sha256["t10k-labels"]
        return self.labels_each is None or bool(
            (np.bincount(labels, minlength=len(self.classes)) == self.labels_each[1]).all()
        )

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads and checks the items, from either layout."""
        if location.files is None:
            arrays = npz.read(location.path, NPZ_KEYS.values(), hint=self.remedy)
            columns = {stem: arrays[key] for stem, key in NPZ_KEYS.items()}
            columns = {
                stem: npz.narrowed(array) if stem.endswith("labels") else array
                for stem, array in columns.items()
            }
            paths = dict.fromkeys(COLUMNS, location.path)
        else:
            paths = dict(location.files)
            columns = {
                stem: idx.read(
                    path, item_shape=IMAGE_SHAPE if stem.endswith("images") else (), hint=self.remedy
                )
                for stem, path in paths.items()
            }
        digests = {stem: column_digest(array) for stem, array in columns.items()}
        for stem in COLUMNS:
            self._check_items(paths[stem], columns, stem)
            self._check_identity(paths[stem], columns[stem], stem, digests[stem])
        splits: dict[str, dict[str, Array]] = {"train": {}, "test": {}}
        for stem, (split, column) in COLUMNS.items():
            splits[split][column] = columns[stem]
        return splits, items_digest({"/".join(place): digests[stem] for stem, place in COLUMNS.items()})

    def published_checks(self, location: Location) -> list[Check]:
        """Compares gzipped files with the published ones."""
        checks: list[Check] = []
        if location.files is None or self.remote is None:
            return checks
        for stem in COLUMNS:
            path, published = location.files[stem], self.remote.files[stem].sha256
            if path.name.endswith(".gz"):
                digest = file_digest(path).hex()
                detail = f"SHA-256 {digest}" + (f", published {published}" if digest != published else "")
                checks.append(Check(path.name, digest == published, detail))
        return checks

    def _check_items(self, path: Path, columns: Mapping[str, Array], stem: str) -> None:
        array = columns[stem]
        split, column = COLUMNS[stem]
        item_shape = IMAGE_SHAPE if column == "images" else ()
        if array.dtype != "uint8" or array.shape[1:] != item_shape or array.ndim != 1 + len(item_shape):
            expected = ", ".join(("n", *map(str, item_shape)))
            raise EpochalError(
                f"{path}: the {split} {column} are {array.dtype} of shape {array.shape}; "
                f"uint8 of shape ({expected}) is expected.",
                hint=self.remedy,
            )
        items = len(columns[stem.replace("labels", "images")])
        if len(array) != items:
            raise EpochalError(
                f"{path} holds {len(array):,} {split} labels for {items:,} images.", hint=self.remedy
            )
        if column == "labels" and len(array) and array.max() >= len(self.classes):
            raise EpochalError(
                f"{path}: a {split} label is {array.max()}; labels go from 0 to {len(self.classes) - 1}.",
                hint=self.remedy,
            )

    def _check_identity(self, path: Path, array: Array, stem: str, digest: str) -> None:
        import numpy as np

        split, column = COLUMNS[stem]
        expected_items = self.items[0 if split == "train" else 1]
        if len(array) != expected_items:
            raise EpochalError(
                f"{path} is not {self.name}: it holds {len(array):,} {split} {column}, not {expected_items:,}.",
                hint=self.remedy,
            )
        if self.idx_sha256 is not None and digest != self.idx_sha256[stem]:
            raise EpochalError(
                f"{path} is not {self.name}: the {split} {column} have SHA-256 {digest[:16]}…, "
                f"{self.idx_sha256[stem][:16]}… is expected.",
                hint=self.remedy,
            )
        if self.labels_each is not None and column == "labels":
            each = self.labels_each[0 if split == "train" else 1]
            counts = np.bincount(array, minlength=len(self.classes))
            if (counts != each).any():
                wrong = int(np.argmax(counts != each))
                raise EpochalError(
                    f"{path} is not {self.name}: {counts[wrong]:,} {split} items have label {wrong}, "
                    f"not {each:,}.",
                    hint=self.remedy,
                )


def idx_files(folder: Path) -> dict[str, Path]:
    """The IDX files in a folder, by stem; named with - or . before "idx", with or without .gz."""
    found: dict[str, Path] = {}
    for stem, (_, column) in COLUMNS.items():
        dimensions = 3 if column == "images" else 1
        for end in ("", ".gz"):
            for separator in "-.":
                path = folder / f"{stem}{separator}idx{dimensions}-ubyte{end}"
                if path.is_file():
                    found.setdefault(stem, path)
    return found


MNIST = IdxSource(
    name="mnist",
    what="handwritten digits, 28x28 grey (LeCun, Cortes, Burges 1998)",
    kind=KIND,
    classes=tuple("0123456789"),
    licence="CC BY-SA 3.0",
    items=(60_000, 10_000),
    stand_in="glyphs",
    remote=Remote(
        # The copies that torchvision and TensorFlow Datasets read.
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        # SHA-256 and sizes as torchvision's prototype datasets, torch-rb and TensorFlow's mirror list agree on.
        files={
            "train-images": RemoteFile(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels": RemoteFile(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images": RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels": RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        },
    ),
    # Computed from the arrays of an .npz file, and equal to the digests of the unpacked files that several
    # public repositories list.
    idx_sha256={
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    npz_names=("mnist.npz",),
    by_hand=f"{PUBLISHED} or mnist.npz",
    folders=("mnist", "mnist/raw", "MNIST/raw", "MNIST"),
)

FASHION_MNIST = IdxSource(
    name="fashion-mnist",
    what="photographs of clothes, 28x28 grey (Xiao, Rasul, Vollgraf 2017)",
    kind=KIND,
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    licence="MIT",
    items=(60_000, 10_000),
    stand_in="glyphs",
    remote=Remote(
        # The publisher's bucket and repository, then Keras's copy.
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        # SHA-256 as torchvision's prototype datasets list them; the sizes and MD5 sums beside them in public code
        # are those of the publisher's README.
        files={
            "train-images": RemoteFile(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels": RemoteFile(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            "t10k-images": RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            "t10k-labels": RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        },
    ),
    labels_each=(6_000, 1_000),
    npz_names=("fashion-mnist.npz", "fashion_mnist.npz"),
    by_hand=f"{PUBLISHED} or fashion-mnist.npz",
    folders=(
        "fashion-mnist",
        "fashion_mnist",
        "fashion-mnist/raw",
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion",
    ),
)
