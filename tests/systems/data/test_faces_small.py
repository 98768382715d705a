"""Faces of 64x64: the synthetic ones split by place, the drawn ones that stand in for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data import faces_drawn, faces_small


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def test_the_synthetic_faces(real_data: Path) -> None:
    """1,974 training and 219 test images of 64x64 in colour, no image in both, and nothing else."""
    found = data.load("faces-sfhq", folder=str(real_data))
    train, test = (found.splits[split]["images"] for split in ("train", "test"))
    assert train.shape == (1974, 64, 64, 3) and test.shape == (219, 64, 64, 3) and not found.drawn
    assert set(found.splits["train"]) == {"images"}
    seen = {image.tobytes() for image in train}
    assert not any(image.tobytes() in seen for image in test)


def test_every_tenth_is_a_test_image(tmp_path: Path) -> None:
    """The others train, all of them, in another order than is stored, where neighbours are alike; from any file of that
    name; a second start reads the unpacked copy."""
    images = np.random.default_rng(0).integers(0, 255, (25, 64, 64, 3), dtype=np.uint8)
    np.savez(tmp_path / faces_small.NPZ, images=images)
    for _ in range(2):
        found = data.load("faces-sfhq", folder=str(tmp_path)).splits
        assert np.array_equal(found["test"]["images"], images[[9, 19]])
        stored = [image.tobytes() for image in np.delete(images, [9, 19], axis=0)]
        mixed = [image.tobytes() for image in found["train"]["images"]]
        assert sorted(mixed) == sorted(stored) and mixed != stored
    assert list((tmp_path / "cache").glob("faces-sfhq-*.npz"))


@pytest.mark.parametrize("shape", [(25, 32, 32, 3), (25, 64, 64), (5, 64, 64, 3)])
def test_other_images_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Of another size, without colour, or too few to split: said with the shape that was found."""
    np.savez(tmp_path / faces_small.NPZ, images=np.zeros(shape, np.uint8))
    with pytest.raises(EpochalError, match="the images are uint8 of shape") as problem:
        data.load("faces-sfhq", folder=str(tmp_path))
    assert "drawn-faces-64" in problem.value.hint


def test_drawn_faces_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file is found; each is a drawn face of 120x120 made smaller, its mean colour kept."""
    monkeypatch.setattr(faces_small, "DRAWN", (12, 3))
    assert data.resolve("auto", wanted="faces-sfhq") == "drawn-faces-64"
    found = data.load("auto", wanted="faces-sfhq")
    images = found.splits["train"]["images"]
    assert found.drawn and images.shape == (12, 64, 64, 3) and len(found.splits["test"]["images"]) == 3
    large = faces_drawn.draw_rows("train", 0, 12)
    np.testing.assert_allclose(images.mean((1, 2)), large.mean((1, 2)), atol=1)
