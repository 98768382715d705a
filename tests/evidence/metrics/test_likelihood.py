"""Importance-sampled likelihood against a model whose marginal likelihood is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch.distributions import Independent, MultivariateNormal, Normal

from epochal.evidence.metrics import likelihood

PIXELS, LATENT, NOISE = 6, 3, 0.7


class LinearGaussian:
    """x = W·z + b + noise with z ~ N(0, I): p(x) = N(b, W·Wᵀ + noise²·I), and the posterior is Gaussian too."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.w = torch.randn(PIXELS, LATENT, generator=rng, dtype=torch.float64)
        self.b = torch.randn(PIXELS, generator=rng, dtype=torch.float64)
        z = torch.randn(40, LATENT, generator=rng, dtype=torch.float64)
        noise = NOISE * torch.randn(40, PIXELS, generator=rng, dtype=torch.float64)
        self.x = z @ self.w.T + self.b + noise

    def nll(self) -> float:
        """-log p(x) from SciPy's density, mean over the images."""
        covariance = (self.w @ self.w.T).numpy() + NOISE**2 * np.eye(PIXELS)
        return float(-multivariate_normal(self.b.numpy(), covariance).logpdf(self.x.numpy()).mean())

    def posterior(self) -> MultivariateNormal:
        """p(z | x) of each image."""
        precision = torch.eye(LATENT, dtype=torch.float64) + self.w.T @ self.w / NOISE**2
        mean = (self.x - self.b) @ self.w / NOISE**2 @ torch.linalg.inv(precision)
        return MultivariateNormal(mean, precision_matrix=precision)

    def log_weights(self, q: torch.distributions.Distribution, samples: int) -> torch.Tensor:
        """(samples, images)."""
        z = q.sample((samples,))
        seen = Independent(Normal(z @ self.w.T + self.b, NOISE), 1).log_prob(self.x)
        prior = Independent(Normal(torch.zeros(LATENT, dtype=torch.float64), 1.0), 1).log_prob(z)
        return seen + prior - q.log_prob(z)


@pytest.fixture
def model() -> LinearGaussian:
    """The model, and torch's own noise from a seed."""
    torch.manual_seed(1)
    return LinearGaussian()


def test_the_true_posterior_gives_the_exact_likelihood(model: LinearGaussian) -> None:
    """Under q = p(z|x) every weight is p(x): one sample gives log p(x) to rounding, and the bound is tight."""
    got = likelihood.measure([[model.log_weights(model.posterior(), 3)]])
    assert got.nll == pytest.approx(model.nll(), rel=1e-9)
    assert -got.elbo == pytest.approx(got.nll, rel=1e-9)
    assert (got.n, got.samples) == (40, 3)


def test_a_wrong_posterior_converges_to_the_exact_likelihood(model: LinearGaussian) -> None:
    """With a q that is off in mean and twice as wide, 20,000 samples give log p(x) within 0.01 nats."""
    true = model.posterior()
    q = MultivariateNormal(true.mean + 0.1, 4 * true.covariance_matrix)

    def chunks() -> Iterator[torch.Tensor]:
        for _ in range(20):
            yield model.log_weights(q, 1000)

    got = likelihood.measure([chunks()])
    assert got.samples == 20_000
    assert got.nll == pytest.approx(model.nll(), abs=0.01)


def test_more_samples_tighten_the_bound(model: LinearGaussian) -> None:
    """The estimate falls as K grows and never falls below the truth, means over 100 repetitions: Burda et al.,
    theorem 1. The ELBO does not depend on K."""
    true = model.posterior()
    q = MultivariateNormal(true.mean + 0.2, 3 * true.covariance_matrix)
    found = {
        k: [likelihood.measure([[model.log_weights(q, k)]]) for _ in range(100)] for k in (1, 5, 50, 500)
    }
    nlls = [float(np.mean([one.nll for one in repeated])) for repeated in found.values()]
    assert nlls == sorted(nlls, reverse=True)
    assert nlls[0] - nlls[-1] > 0.2 and model.nll() - 0.005 < nlls[-1] < model.nll() + 0.02
    elbos = [np.mean([one.elbo for one in repeated]) for repeated in found.values()]
    assert np.ptp(elbos) < 0.1 and -elbos[0] == pytest.approx(nlls[0], abs=1e-9), "K = 1 is the ELBO"


def test_chunks_change_nothing() -> None:
    """However the samples are cut into chunks and the images into batches, the numbers are those of SciPy's
    logsumexp over all; weights around e^-1000 do not underflow."""
    weights = np.random.default_rng(0).normal(-1000, 30, (12, 7))
    expected = -(logsumexp(weights, axis=0) - math.log(12))
    whole = likelihood.measure([[weights]])
    cut = likelihood.measure([[weights[:5, :4], weights[5:, :4]], [part[None, 4:] for part in weights]])
    for got in (whole, cut):
        assert got.nll == pytest.approx(expected.mean(), rel=1e-12)
        assert got.elbo == pytest.approx(weights.mean(), rel=1e-12)
        assert got.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(7), rel=1e-9)


def test_refused() -> None:
    """Nothing to measure, shapes that do not fit, uneven K and weights that are not finite are refused in words."""
    fine = np.zeros((2, 3))
    for images, words in (
        ([], "no images"),
        ([[]], "without samples"),
        ([[fine, np.zeros((2, 4))]], r"n = 3.*\(2, 4\)"),
        ([[fine], [fine, fine]], r"\[2, 4\]"),
        ([[np.full((1, 2), np.nan)]], "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            likelihood.measure(images)  # type: ignore[arg-type]
