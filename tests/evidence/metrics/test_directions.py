"""Directions that survive a VAE's KL: the spectrum against NumPy and scikit-learn, the rule against a trained VAE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from epochal.evidence.metrics import directions


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> tuple[Any, Any]:
    """Images of random directions of very different size, and two conditions that move them."""
    rng = np.random.default_rng(seed)
    wide = int(np.prod(shape))
    c = rng.uniform(0, 1, (n, 2))
    factors = rng.normal(size=(n, 6)) * [0.2, 0.1, 0.05, 0.02, 0.01, 0.005]
    x = 0.5 + factors @ rng.normal(size=(6, wide)) + (c - 0.5) @ rng.normal(size=(2, wide)) * 0.3
    return (x.clip(0, 1) * 255).round().astype(np.uint8).reshape(n, *shape), c


@pytest.mark.parametrize(("n", "shape"), [(60, (5, 4, 3)), (30, (9, 7, 3)), (40, (41, 37, 3))])
def test_spectrum_is_the_covariances(n: int, shape: tuple[int, ...]) -> None:
    """Eigenvalues from the Gram matrix are numpy.cov's and PCA's, for more and for fewer images than pixels, and
    over more pixels than one block."""
    images, _ = pictures(n, shape)
    flat = images.reshape(n, -1) / 255
    found = directions.spectrum(images)
    count = min(n - 1, flat.shape[1])
    expected = np.linalg.eigvalsh(np.cov(flat, rowvar=False))[::-1][:count]
    assert (found.n, found.values) == (n, flat.shape[1]) and found.residual is None
    np.testing.assert_allclose(found.total[:count], expected, atol=1e-6 * expected[0])
    np.testing.assert_allclose(
        found.total[:count], PCA(n_components=count).fit(flat).explained_variance_, atol=1e-6 * expected[0]
    )


def test_residual_is_what_a_regression_leaves() -> None:
    """The second spectrum is the covariance of scikit-learn's residuals; conditions that add up to one (sex) count
    once, and unrelated ones change little."""
    images, c = pictures(80, (6, 5, 3))
    flat = images.reshape(80, -1) / 255
    given = np.column_stack([c, 1 - c[:, 0]])  # the third column is no further condition
    left = flat - LinearRegression().fit(c, flat).predict(c)
    expected = np.linalg.eigvalsh(left.T @ left / (80 - 3))[::-1][:77]
    found = directions.spectrum(images, given)
    assert found.residual is not None
    np.testing.assert_allclose(found.residual[:77], expected, atol=1e-6 * expected[0])
    assert found.residual.sum() < 0.9 * found.total.sum()


def test_floats_and_memory_maps_are_read_alike(tmp_path: Path) -> None:
    """A memory-mapped uint8 file, and the same images as floats, have one spectrum."""
    images, c = pictures(20, (8, 8, 3))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for other in (mapped, images / np.float32(255)):
        found = directions.spectrum(other, c)
        np.testing.assert_allclose(found.total, directions.spectrum(images, c).total, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: directions.spectrum(np.zeros((1, 4))), "at least 2 images"),
        (lambda: directions.spectrum(np.zeros((4, 4)), np.zeros((3, 1))), r"shape \(4, k\)"),
        (lambda: directions.spectrum(np.zeros((4, 4)), np.full((4, 1), np.nan)), "finite"),
        (lambda: directions.spectrum(np.zeros((3, 4)), np.eye(3)[:, :2]), "more than 3 images"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Callable[[], object], said: str) -> None:
    """Too few images, or conditions that are not theirs, are errors with the numbers in them."""
    with pytest.raises(ValueError, match=said):
        call()


def test_thresholds_are_the_sheets() -> None:
    """43,200 values: 21,600 at W = 1, 43.2 at W = 500, 1/2 for the ELBO itself; equal is not above."""
    assert [directions.threshold(43_200, w) for w in (1, 500, 43_200)] == [21_600, 43.2, 0.5]
    assert directions.surviving(np.array([44.0, 43.2, 43.0]), 43_200, 500) == 1


@pytest.mark.parametrize("weight", [0.5, 2.0, 10.0, 40.0])
def test_a_linear_vae_keeps_what_is_predicted(weight: float) -> None:
    """A linear VAE trained on W·mean_D((x - y)²) + KL to its optimum has as many active units as the rule says, at
    weights at which 0, 1, 3 and 4 of six directions are worth their KL."""
    torch.manual_seed(0)
    values, latent = 8, 6
    spread = torch.tensor([3.0, 1.5, 0.6, 0.2, 0.05, 0.001, 0.001, 0.001])
    turned = torch.linalg.qr(torch.randn(values, values))[0]
    x = torch.randn(2000, values) * spread.sqrt() @ turned
    x = x - x.mean(0)
    found = directions.spectrum(x.numpy())
    encode = (0.3 * torch.randn(values, latent)).requires_grad_()
    decode = (0.3 * torch.randn(latent, values)).requires_grad_()
    log_variance = torch.zeros(latent, requires_grad=True)
    adam = torch.optim.Adam([encode, decode, log_variance], lr=0.02)
    for step in range(3000):
        adam.param_groups[0]["lr"] = 0.02 * (1 - step / 3000)
        mean, variance = x @ encode, log_variance.exp()
        # The expectation over z of the squared error, in closed form.
        error = (x - mean @ decode).square().sum(1).mean() + (variance * decode.square().sum(1)).sum()
        kl = 0.5 * (mean.square().mean(0) + variance - log_variance - 1).sum()
        adam.zero_grad()
        (weight * error / values + kl).backward()
        adam.step()
    active = int(((x @ encode).var(0) > 0.01).sum())
    predicted = directions.surviving(found.total, values, weight)
    assert active == predicted == {0.5: 0, 2.0: 1, 10.0: 3, 40.0: 4}[weight]
