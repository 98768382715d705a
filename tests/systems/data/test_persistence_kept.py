"""Persistence images in the cache: made once, told apart by all they depend on, and made anew when damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import persistence_kept
from epochal.systems.data.persistence_images import images
from epochal.systems.data.persistence_kept import kept_images

RANGE: dict[str, Any] = {"low": -2.0, "high": 2.0}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and parts that are smaller than the batch."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(persistence_kept, "_AT_ONCE", 2)
    return tmp_path / "cache"


@pytest.fixture
def signals() -> np.ndarray:
    """Five windows of two channels."""
    return np.random.default_rng(0).normal(size=(5, 2, 60)).astype(np.float32)


def files(cache: Path) -> list[Path]:
    """What is kept."""
    return sorted(cache.glob("*.npy"))


def test_kept_pictures_are_the_pictures(
    signals: np.ndarray, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision of `images`, made once: the second time nothing is computed, and changes stay in memory."""
    expected = images(signals, **RANGE).astype(np.float16)
    found = kept_images(signals, **RANGE)
    assert found.dtype == np.float16 and np.array_equal(found, expected)
    monkeypatch.delattr(persistence_kept, "images")
    found[:] = 0
    assert np.array_equal(kept_images(signals, **RANGE), expected)
    assert len(files(cache)) == 1


def test_whatever_changes_them_makes_others(signals: np.ndarray, cache: Path) -> None:
    """Another sample, range, size, width, convention or edition has a file of its own."""
    kept_images(signals, **RANGE)
    other = signals.copy()
    other[4, 1, 59] += 1e-3
    kept_images(other, **RANGE)
    kept_images(signals, low=-2.0, high=[2.0, 3.0])
    kept_images(signals, **RANGE, size=32)
    kept_images(signals, **RANGE, sigma=0.02)
    kept_images(signals, **RANGE, paper_compat=True)
    assert len(files(cache)) == 6
    kept_images(signals, low=[-2.0, -2.0], high=[[2.0, 2.0]] * 5)  # the same range in other words
    assert len(files(cache)) == 6


@pytest.mark.parametrize("damage", ["truncated", "not an array", "another shape", "empty"])
def test_a_damaged_file_is_made_anew(signals: np.ndarray, cache: Path, damage: str) -> None:
    """What is not the whole array is replaced by it."""
    expected = kept_images(signals, **RANGE).copy()
    (file,) = files(cache)
    whole = file.read_bytes()
    if damage == "another shape":
        np.save(file, expected[:3])
    else:
        file.write_bytes({"truncated": whole[:-1], "not an array": whole[5:], "empty": b""}[damage])
    assert np.array_equal(kept_images(signals, **RANGE), expected)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_a_warning(
    signals: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures come all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        found = kept_images(signals, **RANGE)
    assert np.array_equal(found, images(signals, **RANGE).astype(np.float16))


def test_a_mistake_leaves_nothing_behind(signals: np.ndarray, cache: Path) -> None:
    """A gap in the last part is named by its place in the whole, and no half file stays."""
    signals[4, 1, 3] = np.nan
    with pytest.raises(EpochalError, match="window 4, channel 1"):
        kept_images(signals, **RANGE)
    assert not list(cache.glob("*npy*"))


def test_no_windows_are_no_error(signals: np.ndarray) -> None:
    """A split without a window has no pictures, with the right shape."""
    assert kept_images(signals[:0], **RANGE).shape == (0, 2, 64, 64)
