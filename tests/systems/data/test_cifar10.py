"""CIFAR-10 is found in every form it is handed around in, and only the right, whole items are accepted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data import catalogue, cifar10
from epochal.systems.data.cifar10 import CIFAR10, NPZ_PARTS, TEST, TRAIN

BATCH, FIRST = 20, 8
# CIFAR-10 in small: its items are known by nothing but their number.
SMALL = replace(CIFAR10, batch=BATCH, first=FIRST, batch_sha256=None, items=(5 * BATCH, BATCH))


def _parts(first: bool = True) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return {
        part: {
            "images": rng.integers(0, 256, (n, 32, 32, 3), np.uint8),
            "labels": (np.arange(n) % 10).astype(np.uint8),
            "class_names": np.array(CIFAR10.classes),
        }
        for part in (*TRAIN, TEST)
        for n in [FIRST if part == TEST and first else BATCH]
    }


def _write_parts(folder: Path, parts: dict[str, dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, arrays in parts.items():
        np.savez(folder / NPZ_PARTS[part], **arrays)
    return folder


@pytest.fixture(autouse=True)
def _small_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(catalogue.SOURCES, "cifar10", SMALL)


@pytest.mark.parametrize("sub", ["", "cifar10", "CIFAR10"])
def test_one_file_a_part_is_read_in_order(tmp_path: Path, sub: str) -> None:
    """Five training files are joined in their order, and the origin says that test images are left out."""
    parts = _parts()
    place = _write_parts(tmp_path / "data" / sub, parts)
    found = data.load("cifar10", folder=str(tmp_path / "data"))
    assert found.origin == f"{place}, only the first 8 of the 20 test images"
    for column in ("images", "labels"):
        joined = np.concatenate([parts[part][column] for part in TRAIN])
        assert np.array_equal(found.splits["train"][column], joined)
        assert np.array_equal(found.splits["test"][column], parts[TEST][column])
    assert found.splits["train"]["images"].flags.writeable  # torch warns when it wraps what it may not write


def test_the_unpacked_copy_is_read_and_never_trusted(tmp_path: Path) -> None:
    """The second load reads the copy in the cache; other files never get it; a damaged one is made anew."""
    parts = _parts()
    folder = str(_write_parts(tmp_path / "data", parts))
    first = data.load("cifar10", folder=folder)
    (copy,) = (tmp_path / "cache").glob("cifar10-*.npz")
    written = copy.stat().st_mtime_ns
    again = data.load("cifar10", folder=folder)
    assert (again.sha256, copy.stat().st_mtime_ns) == (first.sha256, written)
    copy.write_bytes(copy.read_bytes()[:-100])
    assert data.load("cifar10", folder=folder).sha256 == first.sha256
    parts["data_batch_2"]["images"][3, 4, 5, 1] ^= 1
    other = data.load("cifar10", folder=str(_write_parts(tmp_path / "data", parts)))
    assert other.sha256 != first.sha256


def _npz(folder: Path, arrays: dict[str, Any], name: str = "cifar10.npz") -> str:
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **arrays)
    return str(folder)


def _all(first: bool = False) -> dict[str, Any]:
    parts = _parts(first)
    return {
        "x_train": np.concatenate([parts[part]["images"] for part in TRAIN]),
        "y_train": np.concatenate([parts[part]["labels"] for part in TRAIN])[:, None].astype(np.int64),
        "x_test": parts[TEST]["images"],
        "y_test": parts[TEST]["labels"][:, None],
    }


def test_one_npz_file_with_the_names_of_keras_is_the_same_data(tmp_path: Path) -> None:
    """Keras' arrays, labels as a column, make the same data set as one file a part."""
    whole = data.load("cifar10", folder=_npz(tmp_path / "whole", _all()))
    assert whole.splits["train"]["labels"].shape == (100,)
    assert whole.origin.endswith("cifar10.npz")
    short = data.load("cifar10", folder=_npz(tmp_path / "short", _all(first=True)))
    assert short.sha256 == data.load("cifar10", folder=str(_write_parts(tmp_path / "parts", _parts()))).sha256


def test_missing_files_are_named(tmp_path: Path) -> None:
    """Four files of five are explained, not replaced by a download; a whole copy elsewhere goes first."""
    folder = _write_parts(tmp_path / "data", _parts())
    (folder / "cifar10_train_3.npz").unlink()
    (folder / "cifar10_test_first1000.npz").unlink()
    with pytest.raises(EpochalError, match=r"cifar10_train_3.npz, cifar10_test_first1000.npz missing"):
        data.load("cifar10", folder=str(folder))
    assert not data.verify("cifar10", str(folder)).passed
    _write_parts(tmp_path / "cache", _parts())
    assert data.load("cifar10", folder=str(folder)).origin.startswith(str(tmp_path / "cache"))


def _spoil(part: str, column: str, value: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(parts: dict[str, Any]) -> None:
        parts[part][column] = value(parts[part][column])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            _spoil("data_batch_2", "images", lambda x: x / 255.0),
            "train_2.npz: the images of data_batch_2 are fl",
        ),
        (_spoil("data_batch_1", "images", lambda x: x.reshape(BATCH, -1)), r"of shape \(20, 3072\)"),
        (_spoil("data_batch_1", "images", lambda x: x.transpose(0, 3, 1, 2)), r"of shape \(20, 3, 32, 32\)"),
        (
            _spoil("data_batch_5", "labels", lambda y: y[:19]),
            "data_batch_5 has 20 images and 19 labels, not 20",
        ),
        (
            _spoil(TEST, "images", lambda x: x[:7]),
            "test_batch has 7 images and 8 labels, not 20 or 8 of each",
        ),
        (
            _spoil("data_batch_4", "labels", lambda y: y + 1),
            "labels of data_batch_4 is 10; labels go from 0",
        ),
        (
            _spoil("data_batch_4", "labels", lambda y: y.astype(int) - 1),
            "one of the labels of data_batch_4 is -1",
        ),
        (
            _spoil("data_batch_3", "labels", lambda y: y.astype(object)),
            "train_3.npz is no .npz file of plain",
        ),
        (lambda parts: parts[TEST].pop("labels"), "first1000.npz lacks the array 'labels'"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], says: str) -> None:
    """Whatever is wrong with the arrays, one message names the file and what was expected."""
    parts = _parts()
    spoil(parts)
    folder = _write_parts(tmp_path / "data", parts)
    with pytest.raises(EpochalError, match=says) as error:
        data.load("cifar10", folder=str(folder))
    assert str(folder) in error.value.what
    assert error.value.hint


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("x_train", lambda x: x[:99], "holds 99 training images and 100 labels, not 100 of each"),
        ("y_train", lambda y: np.eye(10)[y[:, 0]], r"the y_train are float64 of shape \(100, 10\)"),
        ("x_test", lambda x: x[:9], "test_batch has 9 images and 20 labels"),
        ("x_train", lambda x: x[..., 0], r"the x_train are uint8 of shape \(100, 32, 32\)"),
        ("x_test", lambda x: x[0, 0, 0, 0], r"the x_test are uint8 of shape \(\)"),
        ("x_train", lambda x: x[0, 0, 0, 0], r"the x_train are uint8 of shape \(\)"),
    ],
)
def test_wrong_arrays_in_one_file_are_named(
    tmp_path: Path, key: str, value: Callable[[np.ndarray], Any], says: str
) -> None:
    """The same for the single file."""
    arrays = _all()
    arrays[key] = value(arrays[key])
    with pytest.raises(EpochalError, match=says):
        data.load("cifar10", folder=_npz(tmp_path / "data", arrays))


def test_a_damaged_part_is_one_message(tmp_path: Path) -> None:
    """A file cut off anywhere gives a message of its own, never a traceback or wrong items."""
    folder = _write_parts(tmp_path / "data", _parts())
    path = folder / NPZ_PARTS["data_batch_3"]
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(EpochalError, match=r"cifar10_train_3\.npz"):
            data.load("cifar10", folder=str(folder))


def test_the_digest_is_that_of_the_published_binary_layout() -> None:
    """A label, then the red, green and blue planes row by row: written out here by hand."""
    rng = np.random.default_rng(1)
    images, labels = rng.integers(0, 256, (3, 32, 32, 3), np.uint8), np.array([4, 0, 9], np.uint8)
    import hashlib

    records = b""
    for image, label in zip(images, labels, strict=True):
        records += bytes([label])
        for channel in range(3):
            for row in range(32):
                records += bytes(image[row, :, channel].tolist())
    assert cifar10.batch_digest(images, labels) == hashlib.sha256(records).hexdigest()


def test_a_single_changed_pixel_is_another_data_set(tmp_path: Path) -> None:
    """With digests, a part with one wrong byte or one wrong label is refused by name."""
    parts = _parts()
    known = {
        "first" if part == TEST else part: cifar10.batch_digest(arrays["images"], arrays["labels"])
        for part, arrays in parts.items()
    }
    strict = replace(SMALL, batch_sha256=known)
    location = strict.locate(str(_write_parts(tmp_path / "data", parts)))
    assert location is not None
    strict.read(location)
    parts["data_batch_4"]["images"][7, 1, 2, 2] ^= 1
    parts[TEST]["labels"][0] ^= 1
    _write_parts(tmp_path / "data", parts)
    with pytest.raises(EpochalError, match=r"cifar10_train_4\.npz is not cifar10: data_batch_4 has SHA-256"):
        strict.read(location)


def test_real_images_are_the_published_ones(real_data: Path) -> None:
    """One of the real files passes the digest of the published data_batch_2.bin; its MD5 is known elsewhere."""
    import hashlib

    location = CIFAR10.locate(str(real_data))
    assert location is not None and location.files is not None and not location.missing
    with np.load(location.files["data_batch_2"], allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    CIFAR10._checked(location.path, "data_batch_2", images, labels)
    records = np.hstack([labels[:, None], images.transpose(0, 3, 1, 2).reshape(10_000, -1)])
    assert hashlib.md5(records.tobytes()).hexdigest() == "5ea93a67294ea407fff1d09f752e9692"
    with np.load(location.files[TEST], allow_pickle=False) as archive:
        CIFAR10._checked(location.path, TEST, archive["images"], archive["labels"])
