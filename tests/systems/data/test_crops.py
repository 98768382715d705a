"""Random crops: squares of the picture, mask and image alike, in every place and position, from the generator alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from epochal.systems.data.crops import random_crops, with_haze


def stream(seed: int = 0) -> torch.Generator:
    """A fresh random stream."""
    return torch.Generator().manual_seed(seed)


def test_image_and_mask_move_together() -> None:
    """The mask's crop shows what the image's does, in grey and in colour; the type stays."""
    numbered = torch.arange(2 * 9 * 12).view(2, 9, 12).byte()
    grey, masks = random_crops(numbered, numbered.clone(), 5, stream())
    assert grey.dtype == torch.uint8 and torch.equal(grey, masks)
    colour, masks = random_crops(numbered[..., None].expand(-1, -1, -1, 3), numbered, 5, stream())
    assert colour.shape == (2, 5, 5, 3) and all(torch.equal(colour[..., c], masks) for c in range(3))


def test_a_crop_is_a_square_of_the_picture_in_one_of_eight_positions() -> None:
    """Each of 400 crops equals one window of its picture, turned; every window and every position occurs."""
    picture = torch.arange(5 * 6).view(5, 6)
    windows = {
        (top, left, turn, mirror): torch.rot90(
            picture[top : top + 4, left : left + 4].flip(1)
            if mirror
            else picture[top : top + 4, left : left + 4],
            turn,
        )
        for top in range(2)
        for left in range(3)
        for turn in range(4)
        for mirror in (False, True)
    }
    crops, _ = random_crops(*[picture.expand(4000, -1, -1)] * 2, 4, stream())
    seen: Counter[tuple[int, int, int, bool]] = Counter()
    for crop in crops[:400]:
        (name,) = [name for name, window in windows.items() if torch.equal(window, crop)]
        seen[name] += 1
    assert set(seen) == set(windows)
    corners = torch.stack([crops[:, 0, 0], crops[:, -1, -1], crops[:, 0, -1], crops[:, -1, 0]], 1).amin(1)
    share = torch.bincount(corners, minlength=9)[[0, 1, 2, 6, 7, 8]] / 4000
    assert (share - 1 / 6).abs().max() < 0.025  # four standard deviations


@pytest.mark.parametrize(
    ("mirror", "turn", "positions"), [(False, False, 1), (True, False, 2), (True, True, 8)]
)
def test_positions(mirror: bool, turn: bool, positions: int) -> None:
    """Upright, also mirrored left-right, or all eight."""
    picture = torch.arange(9).view(1, 3, 3).expand(200, -1, -1)
    crops, _ = random_crops(picture, picture, 3, stream(), mirror=mirror, turn=turn)
    assert len({tuple(crop.flatten().tolist()) for crop in crops}) == positions
    assert mirror or torch.equal(crops, picture)


def test_the_generator_alone_decides() -> None:
    """The same stream crops alike, another one does not, and torch's own stream is left alone."""
    picture = torch.rand(4, 40, 40)
    before = torch.random.get_rng_state()
    first, again, other = (random_crops(picture, picture, 16, stream(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_crop_larger_than_the_picture_is_refused() -> None:
    """The message names both sizes."""
    with pytest.raises(ValueError, match=r"side <= 9 .*9x12 .*side=10"):
        random_crops(torch.zeros(1, 9, 12), torch.zeros(1, 9, 12), 10, stream())


def test_haze_adds_sloping_light_to_a_few() -> None:
    """About one in five; never darker, at most twice `most` brighter, in every direction, straight."""
    dark = torch.zeros(2000, 1, 8, 12)
    haze = with_haze(dark, 0.4, stream())
    assert haze.shape == dark.shape and haze.min() >= 0 and 0.7 < haze.max() <= 0.8
    haze = haze[haze.mean((1, 2, 3)) > 0]
    assert 320 < len(haze) < 480
    middle = haze.mean((1, 2, 3))  # a straight slope's mean is its middle
    assert 0.18 < middle.mean() < 0.22 and 0.38 < middle.max() <= 0.4
    down, across = haze[:, 0, -1, 0] - haze[:, 0, 0, 0], haze[:, 0, 0, -1] - haze[:, 0, 0, 0]
    assert {(bool(d > 0), bool(a > 0)) for d, a in zip(down, across, strict=True)} == {
        (d, a) for d in (False, True) for a in (False, True)
    }
    steps = haze.diff(dim=3)
    torch.testing.assert_close(steps, steps[..., :1].expand_as(steps), atol=1e-5, rtol=0)


def test_haze_saturates_and_repeats() -> None:
    """What would be brighter than 1 is 1; the same stream gives the same light; none at most is none."""
    bright = torch.full((99, 1, 4, 4), 0.9)
    assert with_haze(bright, 1.0, stream()).max() == 1
    assert torch.equal(with_haze(bright, 0.5, stream()), with_haze(bright, 0.5, stream()))
    assert torch.equal(with_haze(bright, 0.0, stream()), bright)
