"""The losses of a GAN: torch's cross-entropy, known points, the bounds behind a sigmoid, and R1 by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from epochal.systems.losses import gan


def test_they_are_torchs_binary_cross_entropy() -> None:
    """The sum of two means, of real images against the target and of generated ones against 0; the generator's
    against 1."""
    torch.manual_seed(0)
    real, fake = 3 * torch.randn(2, 64)
    zeros = torch.zeros(64)
    bce = F.binary_cross_entropy_with_logits
    for target in (1.0, 0.9, 0.8):
        expected = bce(real, zeros + target) + bce(fake, zeros)
        torch.testing.assert_close(gan.discriminator_loss(real, fake, real_target=target), expected)
    torch.testing.assert_close(gan.generator_loss(fake), bce(fake, zeros + 1))


def test_an_undecided_discriminator_has_the_known_losses() -> None:
    """D = 0 everywhere: 2 ln 2 for the discriminator, whatever the target, and ln 2 for the generator."""
    zeros = torch.zeros(8)
    assert float(gan.generator_loss(zeros)) == pytest.approx(log(2))
    for target in (1.0, 0.8):
        assert float(gan.discriminator_loss(zeros, zeros, real_target=target)) == pytest.approx(2 * log(2))


def test_the_bounds_behind_a_sigmoid() -> None:
    """Any outputs in [0, 1] stay within them, the extreme ones reach them: 1.006, and 0.313 to 0.693."""
    torch.manual_seed(0)
    ones, zeros = torch.ones(8), torch.zeros(8)
    least, (low, high) = gan.sigmoid_bounds()
    assert (least, low, high) == pytest.approx((1.0064, 0.3133, 0.6931), abs=1e-4)
    assert float(gan.discriminator_loss(ones, zeros)) == pytest.approx(least)
    assert (float(gan.generator_loss(ones)), float(gan.generator_loss(zeros))) == pytest.approx((low, high))
    for target in (1.0, 0.8, 0.6):
        least, _ = gan.sigmoid_bounds(target)
        grid = torch.linspace(0, 1, 1001)
        found = min(float(gan.discriminator_loss(d[None], zeros[:1], real_target=target)) for d in grid)
        assert found == pytest.approx(least, abs=1e-5)


def test_accuracies_depend_on_the_threshold() -> None:
    """Logits of an undecided discriminator: at 0 half are right, at 1/2 no real image and every generated one is."""
    real, fake = torch.tensor([0.2, -0.2, 0.4, -0.4]), torch.tensor([0.1, -0.1, 0.3, -0.3])
    assert [float(a) for a in gan.accuracies(real, fake, threshold=0.0)] == [0.5, 0.5]
    assert [float(a) for a in gan.accuracies(real, fake, threshold=0.5)] == [0.0, 1.0]


def test_r1_is_the_squared_gradient_by_hand() -> None:
    """For D(x) = w·x² summed, ‖∇D‖² is Σ(2wx)², and its derivative by w is Σ 8wx²; both as means over images."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 2, 2, requires_grad=True)
    w = torch.tensor(1.5, requires_grad=True)
    penalty = gan.r1_penalty((w * x.square()).flatten(1).sum(1), x)
    squares = x.detach().square().sum() / 5
    torch.testing.assert_close(penalty.detach(), 4 * 1.5**2 * squares)
    (slope,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(slope, 8 * 1.5 * squares)


@pytest.mark.parametrize("target", [1.0, 0.9, 0.6])
def test_even_odds_are_where_the_best_discriminator_has_them(target: float) -> None:
    """As many real as generated pictures look alike: the D that is best for them, found by descent, is that point."""
    d = torch.zeros(1, requires_grad=True, dtype=torch.float64)
    for _ in range(2000):
        loss = gan.discriminator_loss(d, d, real_target=target)
        (gradient,) = torch.autograd.grad(loss, d)
        d = (d - gradient).detach().requires_grad_()
    assert float(d.detach()) == pytest.approx(gan.even_odds(target), abs=1e-6)
    assert gan.even_odds(1.0) == 0
