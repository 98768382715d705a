"""Arrays come out of .npz files whatever they are packed with, and bad files are explained."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import npz


def _write(path: Path, packing: int, **arrays: np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", content.getvalue())
    return path


@pytest.mark.parametrize(
    "packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_packing_is_read_and_every_damage_named(tmp_path: Path, packing: int) -> None:
    """The wanted arrays are read, others are left alone; an altered or cut file is damaged or the same."""
    x = np.arange(3000, dtype=np.uint8).reshape(30, 100)
    path = _write(tmp_path / "a.npz", packing, x=x, unused=np.zeros(3))
    assert np.array_equal(npz.read(path, ["x"], hint="")["x"], x)
    whole = path.read_bytes()
    rng = np.random.default_rng(packing)
    for _ in range(60):
        content = bytearray(whole)
        content[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        path.write_bytes(content[: int(rng.integers(len(whole)))] if rng.random() < 0.3 else content)
        try:
            assert np.array_equal(npz.read(path, ["x"], hint="")["x"], x)
        except EpochalError as error:
            assert "a.npz" in error.what


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    """The message says which array lacks and which are needed."""
    path = _write(tmp_path / "a.npz", zipfile.ZIP_STORED, x=np.zeros(3))
    with pytest.raises(EpochalError, match="lacks the array 'y'; it must hold x, y"):
        npz.read(path, ["x", "y"], hint="")


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [([0, 255], "uint8"), ([0, 256], "int64"), ([-1, 3], "int64"), ([0.0, 1.0], "float64")],
)
def test_labels_are_narrowed_where_they_fit(labels: list[float], dtype: str) -> None:
    """Whole numbers from 0 to 255 become bytes; everything else stays, to be refused with its type."""
    narrow = npz.narrowed(np.array(labels))
    assert narrow.dtype == dtype and narrow.tolist() == labels
