"""The IDX reader gives back what was written, and explains every file that is not what it should be."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError
from epochal.systems.data import idx


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _file(array: np.ndarray) -> bytes:
    return idx.header(array.shape) + array.tobytes()


@given(st.integers(0, 5), st.sampled_from([(), (3, 4)]), st.booleans(), st.randoms())
def test_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, items: int, item: tuple[int, ...], zipped: bool, random: object
) -> None:
    """Items of any number survive the way through a file, gzipped or not, whatever the name says."""
    array = np.random.default_rng(items).integers(0, 256, (items, *item), np.uint8)
    content = gzip.compress(_file(array)) if zipped else _file(array)
    path = _written(tmp_path_factory.mktemp("idx") / "items", content)
    read = idx.read(path, item_shape=item, hint="")
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)


@given(st.data())
def test_a_cut_or_lengthened_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """No length but the announced one is accepted: a half-copied file must not train."""
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = _file(array)
    if data.draw(st.booleans()):
        content = gzip.compress(content)
    length = data.draw(st.integers(0, len(content) - 1))
    path = _written(tmp_path_factory.mktemp("idx") / "items", content[:length])
    with pytest.raises(EpochalError) as error:
        idx.read(path, item_shape=(3, 4), hint="Do this.")
    assert str(path) in error.value.what
    assert error.value.hint == "Do this."
    with pytest.raises(EpochalError):
        idx.read(_written(path, _file(array) + b"\0"), item_shape=(3, 4), hint="")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG" + bytes(20), "begins with 89 50 4e 47"),
        (b"\0\0\x0d\x03" + bytes(20), "no IDX file of unsigned bytes"),
        (b"\0\0\x08\x01" + bytes(20), "an array of 1 dimensions; 3 are expected"),
        (b"\0\0\x08\x03\0\0", "ends inside its header"),
        (idx.header((1, 5, 5)) + bytes(25), r"items of shape \(5, 5\), not \(3, 4\)"),
        (idx.header((9, 3, 4)) + bytes(12), r"announces 9 items \(108 bytes\), 12 follow"),
        (idx.header((2**32 - 1, 3, 4)) + bytes(12), "4,294,967,295 items"),
        (b"\x1f\x8bnothing zipped", "cannot be read"),
        (gzip.compress(b"\0\0\x08\x03" * 9)[:-9], "cannot be read|announces|shape"),
    ],
)
def test_every_kind_of_bad_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    """Each malformed file gives one message that says what is wrong with it."""
    with pytest.raises(EpochalError, match=says):
        idx.read(_written(tmp_path / "bad", content), item_shape=(3, 4), hint="")


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    """A file that vanished between finding and reading is no traceback."""
    with pytest.raises(EpochalError, match="gone cannot be read"):
        idx.read(tmp_path / "gone", item_shape=(), hint="")
