"""Losses of VAEs against formulas that others wrote."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from epochal.systems.losses import vae


def test_kl_is_that_of_torch_distributions() -> None:
    """Per image, summed over latents, over means and variances of many sizes."""
    torch.manual_seed(0)
    mean, log_variance = 3 * torch.randn(50, 7), 3 * torch.randn(50, 7)
    standard = Independent(Normal(torch.zeros(50, 7), torch.ones(50, 7)), 1)
    other = kl_divergence(Independent(Normal(mean, (log_variance / 2).exp()), 1), standard)
    torch.testing.assert_close(vae.gaussian_kl(mean, log_variance), other, rtol=1e-5, atol=1e-5)
    assert vae.gaussian_kl(torch.zeros(2, 7), torch.zeros(2, 7)).tolist() == [0, 0]


def test_squared_error_is_summed_over_pixels() -> None:
    """Not averaged: 784 pixels of error 1 cost 784."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 5, 1, 28, 28))
    mine = vae.squared_error(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(mine.numpy(), [((a - b) ** 2).sum() for a, b in zip(x, y, strict=True)])
    assert vae.squared_error(torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28)).item() == 784


@given(st.lists(st.floats(-1, 3), min_size=1, max_size=50))
def test_greyness_penalty(pixels: list[float]) -> None:
    """Σ max(0, y(1 - y)): nothing for black, white and what lies outside of [0, 1]; a quarter for middle grey."""
    expected = sum(max(0.0, y * (1 - y)) for y in pixels)
    mine = vae.greyness_penalty(torch.tensor([pixels], dtype=torch.float64)).item()
    assert abs(mine - expected) < 1e-9
    assert vae.greyness_penalty(torch.full((1, 2, 2), 0.5)).item() == 1.0


def test_the_references_batch_sum_is_a_weight_of_0_32() -> None:
    """It adds 0.01 x the sum over the whole batch of 32 to every image's loss: the same mean, and the same gradient."""
    torch.manual_seed(0)
    y = torch.rand(32, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    per_image = torch.rand(32, dtype=torch.float64)
    batch_sum = sum(torch.clamp(image * (1 - image), min=0).sum() for image in y)
    reference = (per_image + 0.01 * batch_sum).mean()
    mine = (per_image + 0.32 * vae.greyness_penalty(y)).mean()
    torch.testing.assert_close(mine, reference, rtol=1e-12, atol=0)
    (a,), (b,) = torch.autograd.grad(reference, y), torch.autograd.grad(mine, y)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_samples_have_the_stated_mean_and_variance() -> None:
    """Over 100,000 draws, within five standard errors; a vanishing variance leaves the mean; the rng alone decides."""
    n = 100_000
    mean, log_variance = torch.tensor([[2.0]]).expand(n, 1), torch.tensor([[-1.0]]).expand(n, 1)
    z = vae.sample(mean, log_variance, torch.Generator().manual_seed(0))
    deviation = float(np.exp(-0.5))
    assert abs(float(z.mean()) - 2) < 5 * deviation / n**0.5
    assert abs(float(z.std()) - deviation) < 5 * deviation / (2 * n) ** 0.5
    assert torch.equal(z, vae.sample(mean, log_variance, torch.Generator().manual_seed(0)))
    assert torch.equal(vae.sample(mean, log_variance - 1e4, torch.Generator().manual_seed(0)), mean)


def test_gradients_reach_mean_and_variance() -> None:
    """The reparametrisation: dz/dmean = 1, dz/dlogvar = (z - mean) / 2."""
    mean = torch.zeros(3, 2, requires_grad=True)
    log_variance = torch.zeros(3, 2, requires_grad=True)
    z = vae.sample(mean, log_variance, torch.Generator().manual_seed(1))
    z.sum().backward()
    assert mean.grad is not None and log_variance.grad is not None
    assert torch.equal(mean.grad, torch.ones(3, 2))
    torch.testing.assert_close(log_variance.grad, (z / 2).detach())


def test_likelihoods_are_those_of_torch_distributions() -> None:
    """Bernoulli on pixels that are 0 or 1 and Gaussian of any variance, summed over pixels, constants included."""
    torch.manual_seed(0)
    logits, x = 4 * torch.randn(6, 1, 28, 28), (torch.rand(6, 1, 28, 28) < 0.3).float()
    other = -Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(vae.bernoulli_nll(x, logits), other, rtol=1e-5, atol=1e-4)
    y = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    x = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    for variance in (0.5, 0.01):
        other = -Normal(y, variance**0.5).log_prob(x).sum((1, 2, 3))
        torch.testing.assert_close(vae.gaussian_nll(x, y, variance), other)


def test_grey_pixels_cost_their_cross_entropy() -> None:
    """For x between 0 and 1 the Bernoulli loss is -x·log σ(l) - (1 - x)·log(1 - σ(l)), and large logits stay finite."""
    x = torch.tensor([[0.25, 1.0]], dtype=torch.float64)
    logits = torch.tensor([[0.7, -300.0]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-0.7))
    expected = -0.25 * np.log(p) - 0.75 * np.log(1 - p) + 300
    assert abs(vae.bernoulli_nll(x, logits).item() - expected) < 1e-9


def test_log_ratio_is_the_difference_of_two_densities() -> None:
    """log p(z) - log q(z) as torch's distributions give them, for several samples of each image; its mean is -KL."""
    torch.manual_seed(0)
    mean = torch.randn(4, 3, dtype=torch.float64)
    log_variance = torch.randn(4, 3, dtype=torch.float64)
    q = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    z = q.sample((20_000,))
    mine = vae.log_ratio(z, mean, log_variance)
    torch.testing.assert_close(mine, p.log_prob(z) - q.log_prob(z))
    standard_error = mine.std(0) / 20_000**0.5
    assert ((mine.mean(0) + vae.gaussian_kl(mean, log_variance)).abs() < 5 * standard_error).all()


def test_importance_bound() -> None:
    """log of the mean weight, computed without leaving the logarithms; with K = 1 the log-weight itself."""
    log_weights = torch.tensor([[0.0, -2000.0], [np.log(3.0), -2000.0]], dtype=torch.float64)
    torch.testing.assert_close(
        vae.importance_bound(log_weights), torch.tensor([np.log(2.0), -2000.0], dtype=torch.float64)
    )
    assert torch.equal(vae.importance_bound(log_weights[:1]), log_weights[0])
