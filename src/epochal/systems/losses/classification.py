"""Losses of classifiers: per item, (B,) out; the caller averages."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-Σ_k q_k·log p_k with p = softmax(logits), nats: (B, K), (B,) int64 → (B,).

    q is 1 - s + s/K at the label and s/K elsewhere; s = `smoothing` = 0 gives the negative log-likelihood.
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    """
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
