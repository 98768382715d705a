"""Membranes: the real slices split in blocks, and the same from TIFF stacks and from numbered PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.errors import EpochalError
from epochal.systems import data


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def slices() -> tuple[np.ndarray, np.ndarray]:
    """Twelve small slices and their interiors (255)."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 40, 48)).astype(np.uint8)
    return images, np.where(rng.random(images.shape) < 0.7, 255, 0).astype(np.uint8)


def expect(folder: Path, images: np.ndarray, interior: np.ndarray) -> None:
    """The first ten slices train, the last two test; membrane is what is not interior."""
    found = data.load("membranes", folder=str(folder))
    for split, block in (("train", slice(0, 10)), ("test", slice(10, 12))):
        assert np.array_equal(found.splits[split]["images"], images[block])
        assert np.array_equal(found.splits[split]["masks"], (interior[block] == 0).astype(np.uint8))


def test_the_real_slices(real_data: Path) -> None:
    """24 training and 6 test slices of 512x512, a block each; 22 % membrane (78 % interior as published)."""
    found = data.load("membranes", folder=str(real_data))
    train, test = found.splits["train"], found.splits["test"]
    assert train["images"].shape == (24, 512, 512) and test["images"].shape == (6, 512, 512)
    assert found.classes == ("interior", "membrane") and not found.drawn
    assert np.concatenate([train["masks"], test["masks"]]).mean() == pytest.approx(0.22, abs=0.005)
    with np.load(real_data / "isbi2012_membrane.npz") as archive:
        assert np.array_equal(test["images"], archive["images"][24:])


def test_the_challenges_stacks(tmp_path: Path, slices: tuple[np.ndarray, np.ndarray]) -> None:
    """Pages of two TIFF files."""
    for name, pages in zip(("train-volume.tif", "train-labels.tif"), slices, strict=True):
        first, *rest = [Image.fromarray(page) for page in pages]
        first.save(tmp_path / name, save_all=True, append_images=rest)
    expect(tmp_path, *slices)


def test_numbered_pictures(tmp_path: Path, slices: tuple[np.ndarray, np.ndarray]) -> None:
    """`image/N.png` and `label/N.png` in a folder of the source's name, in numerical order."""
    write(tmp_path, *slices)
    expect(tmp_path, *slices)
    assert data.resolve("auto", str(tmp_path), wanted="membranes") == "membranes"


def write(folder: Path, images: np.ndarray, interior: np.ndarray) -> None:
    """The numbered pictures of `membrane/train`."""
    for name, pages in (("image", images), ("label", interior)):
        (folder / "membrane" / "train" / name).mkdir(parents=True)
        for number, page in enumerate(pages):
            Image.fromarray(page).save(folder / "membrane" / "train" / name / f"{number}.png")


def test_what_does_not_fit_is_named(tmp_path: Path, slices: tuple[np.ndarray, np.ndarray]) -> None:
    """A label that is missing, a slice of another size, a file that is no stack: each error names it."""
    write(tmp_path, *slices)
    root = tmp_path / "membrane" / "train"
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(root / "image" / "3.png")
    with pytest.raises(EpochalError, match="pictures of different size: 48x40, 9x8"):
        data.load("membranes", folder=str(tmp_path))
    (root / "label" / "7.png").unlink()
    with pytest.raises(EpochalError, match=r"do not pair: no mask for 7\."):
        data.load("membranes", folder=str(tmp_path))
    for name in ("train-volume.tif", "train-labels.tif"):
        (tmp_path / name).write_text("no stack")
    with pytest.raises(EpochalError, match=r"train-volume\.tif cannot be read as a stack"):
        data.load("membranes", folder=str(tmp_path))


def test_too_few_slices(tmp_path: Path) -> None:
    """A fifth of four slices is none."""
    images = np.zeros((4, 32, 32), np.uint8)
    np.savez(tmp_path / "isbi2012_membrane.npz", images=images, labels=images)
    with pytest.raises(EpochalError, match="holds 4 slices; at least 5 are needed"):
        data.load("membranes", folder=str(tmp_path))
