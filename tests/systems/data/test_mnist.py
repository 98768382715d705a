"""MNIST and its like are found in every usual layout, and only the right, whole items are accepted."""

import gzip
import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import idx, mnist
from epochal.systems.data.digests import column_digest
from epochal.systems.data.source import Location

# Small stand-ins with MNIST's file names: their items are known by nothing but their number.
SMALL = replace(mnist.MNIST, items=(20, 10), idx_sha256=None)
SMALL_FASHION = replace(mnist.FASHION_MNIST, items=(20, 10), labels_each=(2, 1))


def _columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (20, 28, 28), np.uint8),
        "y_train": (np.arange(20) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }


def _write_idx(folder: Path, columns: dict[str, np.ndarray], separator: str = "-", end: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, key in mnist.NPZ_KEYS.items():
        array = columns[key]
        content = idx.header(array.shape) + array.tobytes()
        path = folder / f"{stem}{separator}idx{array.ndim}-ubyte{end}"
        path.write_bytes(gzip.compress(content, 1) if end else content)


@pytest.fixture(autouse=True)
def _nothing_else_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize(("separator", "end"), [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")])
def test_idx_files_are_found_and_read(tmp_path: Path, sub: str, separator: str, end: str) -> None:
    """The names and folders that downloads, archives and torchvision leave behind all work."""
    columns = _columns()
    _write_idx(tmp_path / "data" / sub, columns, separator, end)
    location = SMALL.locate(str(tmp_path / "data"))
    assert location is not None
    splits, _ = SMALL.read(location)
    assert np.array_equal(splits["train"]["images"], columns["x_train"])
    assert np.array_equal(splits["test"]["labels"], columns["y_test"])
    assert splits["train"]["images"].flags.writeable  # torch warns when it wraps what it may not write


def test_the_items_not_the_container_make_the_digest(tmp_path: Path) -> None:
    """The same items from .npz and from gzipped IDX files are the same data set; other items are not."""
    columns = _columns()
    _write_idx(tmp_path / "idx", columns, end=".gz")
    np.savez(tmp_path / "mnist.npz", **columns)
    from_idx = SMALL.read(Location(tmp_path, mnist.idx_files(tmp_path / "idx")))[1]
    from_npz = SMALL.read(Location(tmp_path / "mnist.npz"))[1]
    columns["x_test"][3, 5, 5] ^= 1
    np.savez(tmp_path / "other.npz", **columns)
    assert from_idx == from_npz
    assert SMALL.read(Location(tmp_path / "other.npz"))[1] != from_npz


def test_places_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data.dir goes before EPOCHAL_DATA, which goes before the cache."""
    for place in ("given", "env", "cache"):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "mnist.npz", **_columns())
    monkeypatch.setenv("EPOCHAL_DATA", str(tmp_path / "env"))

    def found(folder: str | None) -> str:
        location = SMALL.locate(folder)
        assert location is not None
        return location.path.parent.name

    assert found(str(tmp_path / "given")) == "given"
    assert found(None) == "env"
    (tmp_path / "env" / "mnist.npz").unlink()
    assert found(None) == "cache"


def test_an_incomplete_set_is_not_found(tmp_path: Path) -> None:
    """Three files of four are an interrupted copy, not a data set."""
    _write_idx(tmp_path / "data", _columns())
    (tmp_path / "data" / "t10k-labels-idx1-ubyte").unlink()
    assert SMALL.locate(str(tmp_path / "data")) is None


def test_same_names_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    """MNIST and Fashion-MNIST files have equal names: files lying loose count by their content."""
    columns = _columns()
    columns["y_test"] = np.zeros(10, np.uint8)
    _write_idx(tmp_path / "data", columns)
    digest = column_digest(columns["y_test"])
    as_mnist = replace(SMALL, idx_sha256={"t10k-labels": digest})
    assert as_mnist.locate(str(tmp_path / "data")) is not None
    assert SMALL_FASHION.locate(str(tmp_path / "data")) is None
    assert replace(SMALL, idx_sha256={"t10k-labels": "0"}).locate(str(tmp_path / "data")) is None


@pytest.mark.parametrize("name", ["EPOCHAL_DATA", "--data.dir"])
def test_a_folder_that_is_none_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A mistyped folder must not silently lead to other data."""
    wrong = str(tmp_path / "nowhere")
    if name == "EPOCHAL_DATA":
        monkeypatch.setenv(name, wrong)
    with pytest.raises(UsageError, match=f"{name} is .*nowhere.*does not exist"):
        SMALL.locate(wrong if name == "--data.dir" else None)


def _spoil(key: str, value: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(columns: dict[str, Any]) -> None:
        columns[key] = value(columns[key])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_spoil("x_train", lambda x: x.astype(np.float32)), "train images are float32"),
        (_spoil("x_train", lambda x: x.reshape(20, -1)), r"of shape \(20, 784\)"),
        (_spoil("x_test", lambda x: x[0, 0, 0]), r"of shape \(\)"),
        (_spoil("y_train", lambda y: y[:19]), "19 train labels for 20 images"),
        (_spoil("y_test", lambda y: y + 1), "a test label is 10; labels go from 0 to 9"),
        (_spoil("y_test", lambda y: y.astype(np.int64) - 1), "test labels are int64"),
        (_spoil("y_test", lambda y: y.astype(np.float64)), "test labels are float64"),
        (_spoil("y_test", lambda y: np.array(list("0123456789"))), "test labels are <U1"),
        (_spoil("y_test", lambda y: y.astype(object)), "no .npz file of plain arrays"),
        (lambda columns: columns.pop("y_test"), "lacks the array 'y_test'"),
        (lambda columns: [columns.update({k: v[:9]}) for k, v in columns.items()], "holds 9 train images"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], says: str) -> None:
    """Whatever is wrong with the arrays of an .npz file, one message names the file and the array."""
    columns: dict[str, Any] = dict(_columns())
    spoil(columns)
    np.savez(tmp_path / "mnist.npz", **columns)
    with pytest.raises(EpochalError, match=says) as error:
        SMALL.read(Location(tmp_path / "mnist.npz"))
    assert str(tmp_path / "mnist.npz") in error.value.what
    assert error.value.hint


def test_labels_of_wider_integers_are_read(tmp_path: Path) -> None:
    """Many converters store labels as int64; the items are the same."""
    columns = _columns()
    np.savez(tmp_path / "a.npz", **columns)
    columns["y_train"] = columns["y_train"].astype(np.int64)
    np.savez(tmp_path / "b.npz", **columns)
    a, b = (SMALL.read(Location(tmp_path / name))[1] for name in ("a.npz", "b.npz"))
    assert a == b


def test_unequal_classes_are_not_fashion_mnist(tmp_path: Path) -> None:
    """Without published digests of unpacked items, Fashion-MNIST is known by its equal classes."""
    columns = _columns()
    np.savez(tmp_path / "good.npz", **columns)
    SMALL_FASHION.read(Location(tmp_path / "good.npz"))
    columns["y_train"][0] = 5
    np.savez(tmp_path / "bad.npz", **columns)
    with pytest.raises(EpochalError, match="1 train items have label 0, not 2"):
        SMALL_FASHION.read(Location(tmp_path / "bad.npz"))


def test_nothing_pickled_is_opened(tmp_path: Path) -> None:
    """A pickle in place of the data is refused with a message and does not run."""
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (ran,))

    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Bomb()))
    holder = np.empty(1, object)
    holder[0] = Bomb()
    np.savez(tmp_path / "inside.npz", **{**_columns(), "x_train": holder})
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    (tmp_path / "single.npz").write_bytes(single.getvalue())
    for name in ("plain", "inside", "single"):
        with pytest.raises(EpochalError, match=f"{name}.npz is no .npz file of plain arrays"):
            SMALL.read(Location(tmp_path / f"{name}.npz"))
    assert not ran.exists()


def test_a_damaged_npz_is_one_message(tmp_path: Path) -> None:
    """Cut or altered anywhere, an .npz file gives a message of its own, never a traceback or wrong items."""
    np.savez_compressed(tmp_path / "mnist.npz", **_columns())
    whole = (tmp_path / "mnist.npz").read_bytes()
    digest = SMALL.read(Location(tmp_path / "mnist.npz"))[1]
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        if rng.random() < 0.3:
            del content[int(rng.integers(len(content))) :]
        else:
            content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.npz").write_bytes(content)
        try:  # some bytes (time stamps) carry nothing: then the items must be the same
            assert SMALL.read(Location(tmp_path / "bad.npz"))[1] == digest
        except EpochalError as error:
            assert "bad.npz" in error.what


def test_real_mnist_is_recognised(real_data: Path) -> None:
    """The real items pass all four digests, and a single changed pixel does not."""
    location = mnist.MNIST.locate(str(real_data))
    assert location is not None
    splits, digest = mnist.MNIST.read(location)
    assert {name: len(split["labels"]) for name, split in splits.items()} == {"train": 60_000, "test": 10_000}
    assert digest == "773827b27767700b4c67d81ee5634504839f7031809b915bee1cbf349537346b"
    assert np.bincount(splits["train"]["labels"]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    images = splits["test"]["images"].copy()
    images[7, 3, 3] ^= 1
    assert column_digest(images) != mnist.MNIST.idx_sha256["t10k-images"]  # type: ignore[index]


def test_real_mnist_from_idx_files_equals_npz(real_data: Path, tmp_path: Path) -> None:
    """The canonical IDX layout of the same items gives the same data set, byte for byte."""
    with np.load(real_data / "mnist.npz", allow_pickle=False) as archive:
        columns = {key: archive[key] for key in mnist.NPZ_KEYS.values()}
    _write_idx(tmp_path / "data", columns)
    location = mnist.MNIST.locate(str(tmp_path / "data"))
    assert location is not None and location.files is not None
    # The MD5 of the canonical file, from a source independent of the SHA-256 sums in the catalogue.
    unpacked = location.files["train-images"].read_bytes()
    assert hashlib.md5(unpacked).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert mnist.MNIST.read(location)[1].startswith("773827b27767")
    assert mnist.FASHION_MNIST.locate(str(tmp_path / "data")) is None
