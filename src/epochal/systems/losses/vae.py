"""Losses of variational autoencoders: per image, summed over pixels or latents, (B,) out; the caller averages."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    """-log p(x) of pixels x in [0, 1] under Bernoulli(σ(logits)): Σ_pixels log(1 + eˡ) - x·l, nats, (B, …) → (B,).

    A likelihood for pixels that are 0 or 1; for grey ones it is the usual cross-entropy, which lacks the constant that
    would normalise it (Loaiza-Ganem & Cunningham, "The continuous Bernoulli", 2019).
    """
    return (F.softplus(logits) - x * logits).flatten(1).sum(1)


def gaussian_nll(x: Tensor, y: Tensor, variance: float) -> Tensor:
    """-log p(x) under N(y, variance·I): Σ_pixels (x - y)²/(2·variance) + ½·log(2π·variance), nats, (B, …) → (B,)."""
    constant = 0.5 * math.log(2 * math.pi * variance) * x[0].numel()
    return squared_error(x, y) / (2 * variance) + constant


def log_ratio(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log p(z) - log q(z) of z ~ q = N(mean, exp(log_variance)) under the prior p = N(0, I): (…, D) → (…).

        ½ Σ (z - mean)²/exp(log_variance) + log_variance - z²

    Its mean over z is the negative KL; the constants of the two densities cancel.
    """
    return 0.5 * ((z - mean).square() * (-log_variance).exp() + log_variance - z.square()).sum(-1)


def importance_bound(log_weights: Tensor) -> Tensor:
    """log 1/K Σ_k w_k: the bound of the importance weighted autoencoder, (K, B) log-weights → (B,) nats.

    w_k = p(x|z_k)·p(z_k)/q(z_k|x) with z_k ~ q(z|x). K = 1 is the evidence lower bound, K → ∞ is log p(x).
    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016, section 3.
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))
