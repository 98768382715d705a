"""Cross-entropy against its formula, and against torch's gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from epochal.systems.losses.classification import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_equals_the_formula(smoothing: float) -> None:
    """-Σ q·log p with q = (1 - s)·onehot + s/K, one number an item."""
    rng = np.random.default_rng(0)
    logits, labels = 5 * rng.standard_normal((20, 7)), rng.integers(0, 7, 20)
    wanted = (1 - smoothing) * np.eye(7)[labels] + smoothing / 7
    expected = -(wanted * log_softmax(logits, axis=1)).sum(1)
    got = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), smoothing=smoothing)
    assert got.shape == (20,)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_gradient_is_probability_minus_target() -> None:
    """d/dlogits = softmax - q, the textbook gradient."""
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 2])
    (gradient,) = torch.autograd.grad(cross_entropy(logits, labels, smoothing=0.3).sum(), logits)
    target = 0.7 * torch.eye(3, dtype=torch.float64)[labels] + 0.1
    torch.testing.assert_close(gradient, logits.detach().softmax(1) - target)
