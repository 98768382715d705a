"""Reconstruction errors against torch's own mean squared error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from epochal.evidence.metrics import reconstruction


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of random pictures."""
    rng = np.random.default_rng(seed)
    return rng.random((n, 28, 28), dtype=np.float32), rng.random((n, 28, 28), dtype=np.float32)


def test_errors_equal_torch() -> None:
    """Sum per image and mean per pixel equal torch's mse_loss with these reductions."""
    x, y = pictures(50, 0)
    got = reconstruction.measure([(x[:20], y[:20]), (x[20:], y[20:])])
    loss = torch.nn.functional.mse_loss
    a, b = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    assert got.n == 50
    assert got.squared_error == pytest.approx(float(loss(a, b, reduction="sum")) / 50, rel=1e-12)
    assert got.mse == pytest.approx(float(loss(a, b)), rel=1e-12)


def test_psnr_is_the_mean_of_each_images_decibels() -> None:
    """PSNR averages decibels over images, which differs from the decibels of the mean error."""
    x = np.zeros((2, 4, 4))
    y = np.stack([np.full((4, 4), 0.1), np.full((4, 4), 0.01)])
    assert reconstruction.measure([(x, y)]).psnr == pytest.approx((20 + 40) / 2)


def test_bytes_and_floats_agree() -> None:
    """uint8 images are read as x/255, so that stored and generated images compare."""
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 256, (5, 8, 8), dtype=np.uint8) for _ in range(2))
    assert reconstruction.measure([(x, y)]) == reconstruction.measure([(x / 255, y / 255)])


def test_exact_copy() -> None:
    """An exact copy has no error and infinitely many decibels, without a warning."""
    x, _ = pictures(3, 2)
    got = reconstruction.measure([(x, x)])
    assert (got.squared_error, got.mse, got.psnr) == (0.0, 0.0, math.inf)


def test_tensors_of_any_kind() -> None:
    """Tensors that need gradients or are bfloat16 are accepted as they leave a network."""
    x = torch.rand(3, 1, 6, 6).bfloat16()
    y = torch.rand(3, 1, 6, 6, requires_grad=True)
    expected = float(((x.double() - y.detach().double()) ** 2).mean())
    assert reconstruction.measure([(x, y)]).mse == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_batching_does_not_matter(sizes: list[int]) -> None:
    """Any division into batches gives the same numbers, also a last, smaller batch."""
    x, y = pictures(sum(sizes), 3)
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(x, ends), np.split(y, ends), strict=True)
    split, whole = reconstruction.measure(parts), reconstruction.measure([(x, y)])
    assert split.squared_error == pytest.approx(whole.squared_error, rel=1e-12)
    assert split.psnr == pytest.approx(whole.psnr, rel=1e-12)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(np.zeros((2, 4)), np.zeros((2, 5)))], r"\(2, 4\) and \(2, 5\)"),
        ([], "no images"),
        ([(np.zeros((2, 4), int), np.zeros((2, 4), int))], "int64"),
        ([(np.zeros(4), np.zeros(4))], r"shape \(4,\)"),
    ],
)
def test_refused(pairs: list[tuple[np.ndarray, np.ndarray]], message: str) -> None:
    """Shapes that do not fit, unknown scales and nothing at all are refused, naming the value."""
    with pytest.raises(ValueError, match=message):
        reconstruction.measure(pairs)
