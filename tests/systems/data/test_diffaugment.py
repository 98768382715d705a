"""DiffAugment: seeded, differentiable, within the paper's ranges, each image by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from epochal.systems.data import diffaugment

CHANGES = (diffaugment.colour, diffaugment.translation, diffaugment.cutout)
each = pytest.mark.parametrize("change", CHANGES)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of that seed."""
    return torch.Generator().manual_seed(seed)


@each
def test_the_generator_decides(change: Callable[..., Tensor]) -> None:
    """The same seed changes images alike, another one otherwise; shape and dtype stay."""
    x = torch.randn(16, 3, 32, 32)
    once, again, other = change(x, seeded()), change(x, seeded()), change(x, seeded(1))
    assert torch.equal(once, again) and not torch.equal(once, other) and not torch.equal(once, x)
    assert once.shape == x.shape and once.dtype == x.dtype


@each
def test_gradients_pass_through(change: Callable[..., Tensor]) -> None:
    """The derivative is the numerical one: the generator learns through what the discriminator sees."""
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: change(x, seeded()), (x,))


def test_colour_stays_within_its_ranges() -> None:
    """A grey image is only brightened, by up to a half; the mean over pixels and channels moves by that alone."""
    grey = torch.full((500, 3, 4, 4), 0.25)
    shifts = (diffaugment.colour(grey, seeded()) - grey).flatten(1)
    assert float(shifts.std(1).max()) < 1e-6
    assert -0.5 <= float(shifts.min()) < -0.45 and 0.45 < float(shifts.max()) <= 0.5
    x = torch.randn(500, 3, 4, 4)
    moved = diffaugment.colour(x, seeded()).mean((1, 2, 3)) - x.mean((1, 2, 3))
    torch.testing.assert_close(moved, shifts[:, 0], rtol=0, atol=1e-5)


def test_translation_moves_whole_pixels_and_brings_in_zeros() -> None:
    """Every image is the original rolled by at most an eighth of its side, with what came round blanked."""
    x = torch.rand(64, 3, 16, 16) + 1
    seen = set()
    for before, after in zip(x, diffaugment.translation(x, seeded()), strict=True):
        inside = after[0] != 0
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(
                before.roll((dy, dx), (1, 2))[:, rows][:, :, columns], after[:, rows][:, :, columns]
            )
        ]
        assert len(found) == 1
        (dy, dx) = found[0]
        assert len(rows) == 16 - abs(dy) and len(columns) == 16 - abs(dx)
        seen.add(found[0])
    assert len(seen) > 15


def test_cutout_blanks_a_square_of_half_the_side() -> None:
    """What is blank is one rectangle, of 16x16 pixels where nothing of it lies outside; the rest is untouched."""
    x = torch.rand(200, 3, 32, 32) + 1
    y = diffaugment.cutout(x, seeded())
    blank = y[:, 0] == 0
    assert torch.equal(y, x * ~blank[:, None])
    sizes = {(int(b.any(1).sum()), int(b.any(0).sum())) for b in blank}
    assert all(int(b.sum()) == int(b.any(1).sum()) * int(b.any(0).sum()) for b in blank)
    assert max(sizes) == (16, 16) and min(h for h, _ in sizes) >= 8
