"""KL and active units against torch.distributions and NumPy's variance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from epochal.evidence.metrics import latent


def test_kl_equals_torch_distributions() -> None:
    """Each term equals torch's KL of Normal(mean, std) from Normal(0, 1); the total is its sum per item."""
    mean, logvar = torch.randn(200, 7, dtype=torch.float64) * 2, torch.randn(200, 7, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0))
    np.testing.assert_allclose(latent.kl_terms(mean, logvar), expected.numpy(), rtol=1e-10, atol=1e-12)
    got = latent.measure([(mean[:150], logvar[:150]), (mean[150:], logvar[150:])])
    assert got.kl == pytest.approx(float(expected.sum(1).mean()), rel=1e-12)
    np.testing.assert_allclose(got.kl_per_dimension, expected.mean(0).numpy(), rtol=1e-10)


def test_prior_has_no_divergence() -> None:
    """A posterior equal to the prior has KL exactly 0 and no active unit (a collapsed code)."""
    got = latent.measure([(np.zeros((5, 3)), np.zeros((5, 3)))])
    assert (got.kl, got.active_units) == (0.0, 0)


def test_active_units_are_counted_above_the_threshold() -> None:
    """Units whose posterior mean varies by more than 0.01 count; a constant, however large, does not."""
    sign = np.tile([1.0, -1.0], 500)
    mean = np.stack([sign, sign * 0.11, sign * 0.09, np.full(1000, 7.0)], axis=1)
    got = latent.measure([(mean, np.zeros_like(mean))])
    np.testing.assert_allclose(got.variances, [1.0, 0.0121, 0.0081, 0.0], atol=1e-12)
    assert got.active_units == 2


def test_a_direction_spread_over_units_counts_once() -> None:
    """Rotating a code of two directions over six units makes more units active, and leaves two directions."""
    rng = np.random.default_rng(0)
    mean = np.zeros((4000, 6))
    mean[:, :2] = rng.normal(size=(4000, 2)) * (1.0, 0.5)
    turned = mean @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    before, after = (latent.measure([(codes, np.zeros_like(codes))]) for codes in (mean, turned))
    assert (before.active_units, before.active_directions) == (2, 2)
    assert after.active_units > 4 and after.active_directions == 2


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any), st.floats(-1e6, 1e6))
def test_merged_variance_equals_numpy(sizes: list[int], offset: float) -> None:
    """The variance merged over batches (empty ones too) equals NumPy's, even around a large mean."""
    mean = np.random.default_rng(0).normal(offset, 1.0, (sum(sizes), 4))
    parts = np.split(mean, np.cumsum(sizes)[:-1])
    got = latent.measure((part, np.zeros_like(part)) for part in parts)
    np.testing.assert_allclose(got.variances, mean.var(axis=0), rtol=1e-8, atol=1e-9)
    eigenvalues = np.linalg.eigvalsh(np.cov(mean.T, bias=True)) if len(mean) > 1 else np.zeros(4)
    assert got.active_directions == (eigenvalues > latent.ACTIVE_VARIANCE).sum()
    assert got.n == sum(sizes)


def test_refused() -> None:
    """Shapes that do not fit and an empty set are refused, naming the shapes."""
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        latent.measure([(np.zeros((2, 3)), np.zeros((2, 4)))])
    with pytest.raises(ValueError, match="no codes"):
        latent.measure([])
