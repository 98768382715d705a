"""Nuclei: the real images split by image, and the challenge's folder layout written by the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data.nuclei import NUCLEI


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def write(folder: Path, items: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """`stage1_train` with so many grey images of two nuclei, one stained image, and one of another size."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (items, 256, 256)).astype(np.uint8)
    nuclei = np.zeros((items, 2, 256, 256), np.uint8)
    for item in range(items):
        nuclei[item, 0, 10 * item : 10 * item + 8, 3:9] = 255
        nuclei[item, 1, 100:120, 5 * item : 5 * item + 9] = 255
        save(folder, f"{item:02d}", np.repeat(images[item, ..., None], 3, 2), nuclei[item])
    save(folder, "stained", rng.integers(0, 255, (256, 256, 3)).astype(np.uint8), nuclei[0])
    save(folder, "wide", np.zeros((256, 320, 3), np.uint8), nuclei[0])
    return images, nuclei.max(1) // 255


def save(folder: Path, name: str, image: np.ndarray, nuclei: np.ndarray) -> None:
    """One item as the challenge stores it: an RGBA image, and a mask a nucleus."""
    for part in ("images", "masks"):
        (folder / "stage1_train" / name / part).mkdir(parents=True)
    Image.fromarray(image).convert("RGBA").save(folder / "stage1_train" / name / "images" / f"{name}.png")
    for number, one in enumerate(nuclei):
        Image.fromarray(one).save(folder / "stage1_train" / name / "masks" / f"{number}.png")


def test_the_real_images(real_data: Path) -> None:
    """268 training and 66 test images, no image in both, 7.7 % nucleus, masks of two classes."""
    found = data.load("nuclei", folder=str(real_data))
    train, test = found.splits["train"], found.splits["test"]
    assert len(train["images"]) == 268 and len(test["images"]) == 66 and not found.drawn
    assert found.classes == ("background", "nucleus")
    masks = np.concatenate([train["masks"], test["masks"]])
    assert set(np.unique(masks)) == {0, 1} and masks.mean() == pytest.approx(0.077, abs=0.001)
    seen = {image.tobytes() for image in train["images"]}
    assert not any(image.tobytes() in seen for image in test["images"])


def test_the_challenges_folder(tmp_path: Path) -> None:
    """Grey images of 256x256 in the order of their names; a mask is the union of its nuclei; the last fifth tests."""
    images, masks = write(tmp_path)
    found = data.load("nuclei", folder=str(tmp_path))
    assert np.array_equal(found.splits["train"]["images"], images[:5])
    assert np.array_equal(found.splits["train"]["masks"], masks[:5])
    assert np.array_equal(found.splits["test"]["masks"], masks[5:])
    assert data.verify("nuclei", str(tmp_path)).passed


def test_what_does_not_pair_is_named(tmp_path: Path) -> None:
    """An image without nuclei, a folder without an image, a mask of another size: each by name."""
    write(tmp_path)
    root = tmp_path / "stage1_train"
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(root / "03" / "masks" / "0.png")
    with pytest.raises(EpochalError, match=r"03.masks.0\.png is 8x9, its image 256x256"):
        data.load("nuclei", folder=str(tmp_path))
    for mask in (root / "02" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(EpochalError, match="do not pair: no mask for 02"):
        data.load("nuclei", folder=str(tmp_path))
    (root / "01" / "images" / "01.png").unlink()
    with pytest.raises(EpochalError, match="do not pair: no image for 01"):
        data.load("nuclei", folder=str(tmp_path))


def test_too_few_images(tmp_path: Path) -> None:
    """A fifth of four images is none: no test split, no result."""
    write(tmp_path, items=4)
    with pytest.raises(EpochalError, match="holds 4 images of 256x256; at least 5 are needed"):
        data.load("nuclei", folder=str(tmp_path))


def test_a_wrong_file(tmp_path: Path) -> None:
    """Arrays of other shapes than the images' are refused with both shapes."""
    images = np.zeros((6, 256, 256), np.uint8)
    np.savez(tmp_path / "dsb2018_nuclei_256.npz", images=images, instances=images[:5])
    with pytest.raises(EpochalError, match=r"shape \(6, 256, 256\), masks uint8 of shape \(5, 256, 256\)"):
        data.load("nuclei", folder=str(tmp_path))


def test_where_they_are_not(tmp_path: Path) -> None:
    """`auto` draws cells; asked for by name, the error says what to put where."""
    assert data.resolve("auto", wanted="nuclei") == "cells"
    with pytest.raises(EpochalError, match="nuclei is not on this machine") as error:
        data.load("nuclei", folder=str(tmp_path))
    assert "stage1_train" in str(error.value.hint) and "cells" in str(error.value.hint)
    assert NUCLEI.find(str(tmp_path)) is None
