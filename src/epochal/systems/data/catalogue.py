"""The file sources Epochal knows: what they hold, where they are found, and how they are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class RemoteFile:
    """A file as every mirror must serve it."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileSource:
    """A data set of 28x28 images in the files of MNIST.

    Attributes:
        name: as typed.
        what: what an item is.
        classes: name of each label.
        licence: as its publisher states it.
        mirrors: addresses that `files` are appended to, best first.
        files: the published, gzipped IDX files, by stem.
        idx_sha256: SHA-256 of each *unpacked* IDX file by stem, where known: it recognises the items whatever
            file they came in.
        labels_each: (training, test) items of every class, where all classes have equally many.
        npz_names: names of an .npz file of it.
        folders: where its IDX files lie inside a data folder.
        items: number of training and test items.
    """

    name: str
    what: str
    classes: tuple[str, ...]
    licence: str
    mirrors: tuple[str, ...]
    files: Mapping[str, RemoteFile]
    npz_names: tuple[str, ...]
    folders: tuple[str, ...]
    idx_sha256: Mapping[str, str] | None = None
    labels_each: tuple[int, int] | None = None
    items: tuple[int, int] = (60_000, 10_000)

    @property
    def download_bytes(self) -> int:
        """Size of all published files."""
        return sum(file.size for file in self.files.values())


MNIST = FileSource(
    name="mnist",
    what="handwritten digits, 28x28 grey (LeCun, Cortes, Burges 1998)",
    classes=tuple("0123456789"),
    licence="CC BY-SA 3.0",
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
    # Computed from the arrays of an .npz file, and equal to the digests of the unpacked files that several
    # public repositories list.
    idx_sha256={
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    npz_names=("mnist.npz",),
    folders=("mnist", "mnist/raw", "MNIST/raw", "MNIST"),
)

FASHION_MNIST = FileSource(
    name="fashion-mnist",
    what="photographs of clothes, 28x28 grey (Xiao, Rasul, Vollgraf 2017)",
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
    labels_each=(6_000, 1_000),
    npz_names=("fashion-mnist.npz", "fashion_mnist.npz"),
    folders=(
        "fashion-mnist",
        "fashion_mnist",
        "fashion-mnist/raw",
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion",
    ),
)

FILE_SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}
