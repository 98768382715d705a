"""The kernel distance that pulls the codes of a Wasserstein autoencoder to its prior N(0, I).

Tolstikhin, Bousquet, Gelly & Schölkopf, "Wasserstein Auto-Encoders", 2018, section 3 and appendix C. The adversary
that can take its place has the losses of `gan`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the kernels, as multiples of 2·D, the mean squared distance of two vectors from N(0, I)."""


def mmd(z: Tensor, prior: Tensor, scales: Sequence[float] = SCALES) -> Tensor:
    """Squared maximum mean discrepancy of codes and prior samples, without bias: (B, D), (B, D) → scalar.

        Σ_{i≠j} k(z_i, z_j)/(B(B - 1)) + Σ_{i≠j} k(p_i, p_j)/(B(B - 1)) - 2·Σ_{i,j} k(z_i, p_j)/B²

    k(a, b) = Σ_s C/(C + ‖a - b‖²) with C = 2·D·s: inverse multiquadratic kernels, summed over the scales s. Distances
    come from matrix products, (B, B) each. One code alone has no pairs: its own term is 0.
    """
    n, dimensions = z.shape
    pairs = max(n * (n - 1), 1)

    def summed(distances: Tensor) -> Tensor:
        total = torch.zeros_like(distances)
        for scale in scales:
            c = 2 * dimensions * scale
            total = total + c / (c + distances)
        return total

    # A distance to itself is 0, exactly or almost: the diagonal is left out, not computed and taken off.
    others = 1 - torch.eye(n, dtype=z.dtype, device=z.device)
    within = (summed(squared_distances(z, z)) + summed(squared_distances(prior, prior))) * others
    return within.sum() / pairs - 2 * summed(squared_distances(z, prior)).mean()


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i - b_j‖² = ‖a_i‖² + ‖b_j‖² - 2·a_i·b_j, not negative: (N, D), (M, D) → (N, M)."""
    found = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.t()
    return found.clamp_min(0)
