"""VOC 2012's folder layout, written by the test: lists, pairs, palettes, void, and names that lead astray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data.voc import CLASSES

LISTS = {"train": ["2007_000032", "2007_000039", "2008_000001"], "val": ["2007_000033", "2009_000002"]}


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def save(path: Path, mask: np.ndarray) -> None:
    """Writes a mask as palette indices."""
    picture = Image.fromarray(mask, "P")
    picture.putpalette([value % 256 for value in range(768)])
    picture.save(path)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """`VOCdevkit/VOC2012` with five pictures of different size; each mask has a class of its own and a void rim."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, name in enumerate([*LISTS["train"], *LISTS["val"]]):
        height, width = 300 + 20 * number, 500 - 30 * number
        grey = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
        Image.fromarray(grey).save(root / "JPEGImages" / f"{name}.jpg")
        mask = np.zeros((height, width), np.uint8)
        mask[40:200, 50:250] = 255
        mask[60:180, 70:230] = number + 1
        save(root / "SegmentationClass" / f"{name}.png", mask)
    for name, items in LISTS.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(items) + "\n")
    return root


def test_the_layout(voc: Path, tmp_path: Path) -> None:
    """`train` trains and `val` tests, in the lists' order; 256x256, palette indices kept, void 255."""
    found = data.load("voc2012", folder=str(tmp_path))
    train, test = found.splits["train"], found.splits["test"]
    assert train["images"].shape == (3, 256, 256, 3) and test["masks"].shape == (2, 256, 256)
    for split, first in ((train, 1), (test, 4)):
        for number, mask in enumerate(split["masks"], start=first):
            assert set(np.unique(mask)) == {0, number, 255}
            assert mask[128, 100] in (number, 255) and mask[0, 0] == 0
    assert found.classes == CLASSES and len(CLASSES) == 21 and not found.drawn
    assert data.resolve("auto", str(tmp_path), wanted="voc2012") == "voc2012"


def test_masks_keep_their_share(voc: Path, tmp_path: Path) -> None:
    """Scaling both sides keeps every class's share of the picture within a percent of it."""
    stored = np.array(Image.open(voc / "SegmentationClass" / "2007_000032.png"))
    scaled = data.load("voc2012", folder=str(tmp_path)).splits["train"]["masks"][0]
    assert (scaled == 1).mean() == pytest.approx((stored == 1).mean(), abs=0.01)


def test_an_unpacked_copy_follows_its_files(voc: Path, tmp_path: Path) -> None:
    """Read once, kept in the cache; a changed mask is read anew."""
    before = data.load("voc2012", folder=str(tmp_path))
    assert data.load("voc2012", folder=str(tmp_path)).sha256 == before.sha256
    path = voc / "SegmentationClass" / "2007_000032.png"
    save(path, np.full((300, 500), 20, np.uint8))
    after = data.load("voc2012", folder=str(tmp_path))
    assert after.sha256 != before.sha256 and (after.splits["train"]["masks"][0] == 20).all()


def test_names_without_a_partner(voc: Path, tmp_path: Path) -> None:
    """The list is named, and which of its names have no image or no mask."""
    (voc / "JPEGImages" / "2007_000039.jpg").unlink()
    (voc / "SegmentationClass" / "2008_000001.png").unlink()
    message = r"train\.txt: images and masks do not pair: no image for 2007_000039; no mask for 2008_000001\."
    with pytest.raises(EpochalError, match=message):
        data.load("voc2012", folder=str(tmp_path))


def test_a_class_that_does_not_exist(voc: Path, tmp_path: Path) -> None:
    """A mask with class 33 is no VOC mask; file and value are named."""
    save(voc / "SegmentationClass" / "2007_000033.png", np.full((64, 64), 33, np.uint8))
    with pytest.raises(
        EpochalError, match=r"2007_000033\.png has pixels of class 33; classes go from 0 to 20"
    ):
        data.load("voc2012", folder=str(tmp_path))


def test_a_coloured_mask(voc: Path, tmp_path: Path) -> None:
    """A mask that a program saved in its colours has no classes any more: said, with the file."""
    Image.new("RGB", (64, 64)).save(voc / "SegmentationClass" / "2007_000032.png")
    with pytest.raises(EpochalError, match=r"2007_000032\.png is stored as RGB"):
        data.load("voc2012", folder=str(tmp_path))


def test_a_mask_of_another_size(voc: Path, tmp_path: Path) -> None:
    """Scaled to the same square it would pass for the picture's own: both files are named with their sizes."""
    save(voc / "SegmentationClass" / "2007_000032.png", np.zeros((64, 48), np.uint8))
    with pytest.raises(EpochalError, match=r"2007_000032\.png is 48x64 pixels, but its image .* is 500x300"):
        data.load("voc2012", folder=str(tmp_path))


def test_a_picture_in_both_lists(voc: Path, tmp_path: Path) -> None:
    """What is tested must not have been trained on."""
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + "2007_000039\n")
    with pytest.raises(EpochalError, match=r"train\.txt and val\.txt both name 2007_000039: "):
        data.load("voc2012", folder=str(tmp_path))


def test_a_name_leads_nowhere_else(voc: Path, tmp_path: Path) -> None:
    """A list that came with somebody's data cannot name files outside of its folders."""
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.jpg")
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("../../../secret\n")
    with pytest.raises(EpochalError, match=r"no image for \.\./\.\./\.\./secret"):
        data.load("voc2012", folder=str(tmp_path))
