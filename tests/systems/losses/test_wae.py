"""The kernel distance that training minimises, against the metric that measures it and its own derivative."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from epochal.evidence.metrics import mmd as metric
from epochal.systems.losses import wae


@pytest.mark.parametrize(("n", "dimensions"), [(2, 1), (100, 16)])
def test_it_equals_the_metric(n: int, dimensions: int) -> None:
    """The loss in torch and the metric in NumPy, written apart, give one number; float32 costs no more than 1e-4."""
    rng = np.random.default_rng(n)
    z, prior = rng.normal(0.5, 2, (n, dimensions)), rng.normal(size=(n, dimensions))
    assert wae.SCALES == metric.SCALES
    expected = metric.imq(z, prior)
    assert float(wae.mmd(torch.from_numpy(z), torch.from_numpy(prior))) == pytest.approx(expected, abs=1e-9)
    narrow = wae.mmd(torch.from_numpy(z).float(), torch.from_numpy(prior).float())
    assert float(narrow) == pytest.approx(expected, abs=1e-4)


def test_its_gradient_is_the_numerical_one() -> None:
    """Codes that coincide included: the distance's clamp and the left-out diagonal make no NaN."""
    torch.manual_seed(0)
    z = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    prior = torch.randn(6, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda codes: wae.mmd(codes, prior), (z,))
    alike = torch.zeros(4, 3, requires_grad=True)
    wae.mmd(alike, torch.randn(4, 3)).backward()
    assert alike.grad is not None and alike.grad.isfinite().all()


def test_minimising_it_makes_codes_normal() -> None:
    """Free codes that start in a small heap beside the origin end with the mean and variance of N(0, I)."""
    torch.manual_seed(0)
    z = (1 + 0.1 * torch.randn(200, 2)).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(800):
        optimiser.zero_grad()
        wae.mmd(z, torch.randn(200, 2)).backward()
        optimiser.step()
    assert z.detach().mean(0).abs().max() < 0.3
    assert (z.detach().std(0) - 1).abs().max() < 0.3


def test_one_code_alone_is_no_error() -> None:
    """The last batch of an epoch may hold one item: its loss is finite, the term between codes 0."""
    assert wae.mmd(torch.zeros(1, 3), torch.ones(1, 3)).isfinite()
