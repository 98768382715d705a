"""Losses of generative adversarial networks (Goodfellow et al. 2014), of what the discriminator puts out.

D is what the discriminator puts out for an image, (B,): the logit of "real". -log σ(D) is written softplus(-D).
Losses are means over images, in nats.
"""

from __future__ import annotations

from math import exp, log, log1p

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake: Tensor) -> Tensor:
    """mean softplus(-D(G(z))), the non-saturating loss: low where generated images pass for real. (B,) → ()."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor, *, real_target: float = 1.0) -> Tensor:
    """mean[t·softplus(-D(x)) + (1 - t)·softplus(D(x))] + mean softplus(D(G(z))): (B,), (B,) → ().

    A target t below 1 is one-sided label smoothing (Salimans et al., "Improved Techniques for Training GANs", 2016,
    section 3.4): the real images' best D is then log(t / (1 - t)) instead of infinity.
    """
    on_real = F.softplus(-real)
    if real_target < 1:
        on_real = real_target * on_real + (1 - real_target) * F.softplus(real)
    return on_real.mean() + F.softplus(fake).mean()


def r1_penalty(outputs: Tensor, images: Tensor) -> Tensor:
    """mean ‖∇D(x)‖² over images, with a graph to differentiate again: (B,) made from images (B, …) → ().

    Mescheder, Geiger & Nowozin, "Which Training Methods for GANs do actually Converge?", 2018, equation 9; there
    it is weighted by γ/2.
    """
    (gradient,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def accuracies(real: Tensor, fake: Tensor, *, threshold: float) -> tuple[Tensor, Tensor]:
    """Share of real images with D above the threshold, and of generated ones with D not above it: each ()."""
    return (real.detach() > threshold).float().mean(), (fake.detach() <= threshold).float().mean()


def even_odds(real_target: float = 1.0) -> float:
    """What the best discriminator's logit is where "real" is as likely as not: log(t / (2 - t)).

    Where real images have density p and generated ones q, `discriminator_loss` is least at σ(D) = t·p / (p + q),
    which is t/2 for p = q: a logit of 0 for targets of 1, below it for smoothed ones.
    """
    return log(real_target / (2 - real_target))


def sigmoid_bounds(real_target: float = 1.0) -> tuple[float, tuple[float, float]]:
    """What a sigmoid before these losses leaves possible: the discriminator's least, and the generator's range.

    With D in [0, 1] softplus(-D) lies in [softplus(-1), ln 2] = [0.313, 0.693], and the discriminator's loss, with
    real targets of 1, is at least softplus(-1) + ln 2 = 1.006: such numbers in a log tell of the sigmoid.
    """
    best = 1.0 if real_target >= 1 else min(1.0, max(0.0, log(real_target / (1 - real_target))))
    low, high = log1p(exp(-best)), log1p(exp(best))
    least = real_target * low + (1 - real_target) * high + log(2)
    return least, (log1p(exp(-1)), log(2))
