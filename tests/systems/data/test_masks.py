"""Pictures with masks: pairing by name, reading, and what is said when files do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.errors import EpochalError
from epochal.systems.data import masks


def save(path: Path, pixels: np.ndarray, mode: str = "L") -> Path:
    """Writes a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8), mode if mode != "P" else "L").convert(mode).save(path)
    return path


def named(*names: str) -> dict[str, Path]:
    """Files by name, that need not exist."""
    return {name: Path(name) for name in names}


def test_pairs_stand_in_order() -> None:
    """Every image with the mask of its name."""
    pairs = masks.paired(named("a", "b"), named("b", "a"), where=Path("d"), hint="")
    assert pairs == [(Path("a"), Path("a")), (Path("b"), Path("b"))]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (("a", "b"), ("a",), r"^d: images and masks do not pair: no mask for b\.\s*$"),
        (("a",), ("a", "c"), r"no image for c\.\s*$"),
        (("a", "b"), ("b", "c"), r"no image for c; no mask for a\.\s*$"),
        (tuple("abcdefg"), (), r"no mask for a, b, c, d, e and 2 more\.\s*$"),
        ((), (), r"no picture\.\s*$"),
    ],
)
def test_names_without_a_partner_are_listed(
    images: tuple[str, ...], labels: tuple[str, ...], message: str
) -> None:
    """Which names, on which side, and how many more: what the user has to mend."""
    with pytest.raises(EpochalError, match=message):
        masks.paired(named(*images), named(*labels), where=Path("d"), hint="")


def test_a_list_says_which_are_needed() -> None:
    """Pictures that the list does not name are left out; names that have no file are an error."""
    assert len(masks.paired(named("a", "b"), named("a"), where=Path("d"), names=["a"], hint="")) == 1
    with pytest.raises(EpochalError, match="no image for z; no mask for z"):
        masks.paired(named("a"), named("a"), where=Path("d"), names=["a", "z"], hint="")


def test_numbers_stand_in_numerical_order(tmp_path: Path) -> None:
    """Slice 10 follows slice 9, not slice 1; other files are no pictures."""
    for name in ("0", "10", "9", "1"):
        save(tmp_path / f"{name}.png", np.zeros((2, 2)))
    (tmp_path / "notes.txt").write_text("")
    assert list(masks.pictures_in(tmp_path)) == ["0", "1", "9", "10"]


def test_a_mask_is_read_as_stored(tmp_path: Path) -> None:
    """Palette indices and grey values are the classes; resizing takes the nearest pixel, never a mean."""
    classes = np.array([[0, 7], [20, 255]], np.uint8)
    palette = Image.fromarray(classes, "P")
    palette.putpalette(bytes(range(256)) * 3)
    palette.save(tmp_path / "palette.png")
    save(tmp_path / "grey.png", classes)
    for name in ("palette", "grey"):
        assert np.array_equal(masks.read(tmp_path / f"{name}.png", hint=""), classes)
        larger = masks.read(tmp_path / f"{name}.png", size=(4, 6), hint="")
        assert larger.shape == (4, 6) and set(np.unique(larger)) == {0, 7, 20, 255}


def test_images_are_converted_and_averaged(tmp_path: Path) -> None:
    """RGB from grey and grey from RGB; resizing an image averages."""
    save(tmp_path / "grey.png", np.array([[0, 100]] * 2))
    assert masks.read(tmp_path / "grey.png", "RGB", hint="").shape == (2, 2, 3)
    assert masks.read(tmp_path / "grey.png", "L", size=(1, 1), hint="").item() == 50


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    """A mask in colour has no classes; a text file and a torn file are no pictures: each error names the file."""
    save(tmp_path / "colour.png", np.zeros((2, 2, 3)), "RGB")
    with pytest.raises(EpochalError, match=r"colour\.png is stored as RGB; a mask has one channel") as error:
        masks.read(tmp_path / "colour.png", hint="Do this.")
    assert error.value.hint == "Do this."
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (50, 50)))
    (tmp_path / "torn.png").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.png").write_text("no picture")
    for name in ("torn", "text", "absent"):
        with pytest.raises(EpochalError, match=rf"{name}\.png cannot be read as a picture"):
            masks.read(tmp_path / f"{name}.png", "L", hint="")


def test_shapes_must_agree() -> None:
    """Images and masks of one shape in bytes, or an error with both shapes."""
    images = np.zeros((2, 4, 4), np.uint8)
    masks.same_shape(images, images, Path("f"), "")
    for other in (images[:1], images.astype(int), images[..., None]):
        with pytest.raises(EpochalError, match=r"f: images are uint8 of shape \(2, 4, 4\)"):
            masks.same_shape(images, other, Path("f"), "")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    """Everything above 255 would be read as white; said with what to do."""
    Image.fromarray(np.full((4, 5), 3000, dtype)).save(tmp_path / "deep.tif")
    for mode in ("L", "RGB"):
        with pytest.raises(EpochalError, match="more than 8 bits a pixel") as caught:
            masks.read(tmp_path / "deep.tif", mode, hint="")
        assert "scaled to 0 … 255" in str(caught.value)
