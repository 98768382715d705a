"""Losses of variational autoencoders: per image, summed over pixels or latents, (B,) out; the caller averages."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Σ_pixels (x - y)², per image: (B, …), (B, …) → (B,).

    Up to a constant, the negative log-likelihood of a Gaussian decoder with variance 1/2.
    """
    return (x - y).square().flatten(1).sum(1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) = -½ Σ (1 + log_variance - mean² - exp(log_variance)): (B, D) → (B,).

    Kingma & Welling, "Auto-Encoding Variational Bayes", 2013, appendix B.
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


def sample(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """z = mean + exp(log_variance / 2)·ε, ε ~ N(0, I) from `rng`: (B, D) → (B, D)."""
    noise = torch.empty_like(mean).normal_(generator=rng)
    return mean + (log_variance / 2).exp() * noise


def greyness_penalty(y: Tensor) -> Tensor:
    """Σ_pixels max(0, y·(1 - y)), per image: 0 for black and white pixels, 1/4 for a middle grey one. (B, …) → (B,)."""
    return (y * (1 - y)).clamp_min(0).flatten(1).sum(1)
