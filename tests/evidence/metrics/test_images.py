"""Images of every form become the same pictures, and what is no image is refused."""

import numpy as np
import pytest
import torch

from epochal.evidence.metrics.images import as_uint8, chunks, first_of

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 8, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)


def test_every_form_gives_the_same_picture() -> None:
    """Channels first, last or none; 255ths come back as they were from float32, float64 and torch."""
    first = np.moveaxis(COLOUR, 3, 1)
    for form in (COLOUR, first, first / 255, (first / 255).astype(np.float32), torch.from_numpy(first) / 255):
        np.testing.assert_array_equal(as_uint8(form), COLOUR)
    for form in (GREY, GREY[:, None], GREY[..., None], GREY[:, None] / 255, torch.from_numpy(GREY)):
        np.testing.assert_array_equal(as_uint8(form), GREY[..., None])


def test_rounding_errors_are_forgiven_other_ranges_are_not() -> None:
    """A sigmoid in bfloat16 may end at 1.0004; a tanh's images are refused with the remedy, and so is NaN."""
    assert as_uint8(np.full((1, 1, 2, 2), 1.0004)).max() == 255
    with pytest.raises(ValueError, match=r"go from -1 to 1; those of a tanh in \[-1, 1\] are \(x \+ 1\) / 2"):
        as_uint8(np.array([-1.0, 1.0]).reshape(1, 1, 1, 2))
    with pytest.raises(ValueError, match="must be finite"):
        as_uint8(np.full((1, 1, 2, 2), np.nan))


@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 4, 4), (2, 4, 4, 2), (2, 3, 4, 4, 1)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    """Two or four channels, or no images at all."""
    with pytest.raises(ValueError, match="but got shape"):
        as_uint8(np.zeros(shape, np.uint8))


def test_refuses_other_integers() -> None:
    """The peak of 16-bit integers is not known."""
    with pytest.raises(ValueError, match="but got int16"):
        as_uint8(np.zeros((1, 2, 2), np.int16))


def test_chunks_keep_the_order_and_are_bounded() -> None:
    """Batches larger than a chunk are divided, and nothing is lost or moved; the first n end where they should."""
    many = np.arange(700, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    found = list(chunks([many[:600], many[600:]]))
    assert max(map(len, found)) == 256
    np.testing.assert_array_equal(np.concatenate(found)[..., 0], many)
    assert sum(map(len, first_of(many, 300))) == 300
