"""Losses by which a small network learns from larger ones: soft answers, and what they find alike.

z are logits (B, K), F a layer's output (B, …) of any shape. Nothing here runs a teacher: their answers are given.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 2.0
"""What standardised logits are multiplied by in the softmax (the published reference)."""


def divergence(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """KL(p ‖ q) = Σ_k p_k (log p_k - log q_k), p = softmax(teacher/T), q = softmax(student/T), nats: (B, K) → (B,).

    Its mean over the batch is PyTorch's `kl_div(log q, p, reduction="batchmean")`. Its gradient by the student's logits
    shrinks with 1/T²: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2,
    multiply it by T², which the caller does.

    Raises:
        ValueError: logits of different shape.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher must answer for the same items and classes, but got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    log_q = F.log_softmax(student / temperature, dim=1)
    log_p = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def averaged_divergence(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """The fault of averaging the divergence over the classes too: `divergence` / K, (B,).

    PyTorch's `kl_div` with `reduction="mean"`. Kept to show what it does: K times too weak, and without the factor T²
    another T² times.
    """
    return divergence(student, teacher, temperature=temperature) / student.shape[1]


def standardised(logits: Tensor) -> Tensor:
    """z / std(z), std over the classes (with K - 1 in the denominator): (B, K) → (B, K).

    Sun et al., "Logit Standardization in Knowledge Distillation", 2024; they subtract the mean as well, which a softmax
    does not see.
    """
    return logits / (logits.std(dim=1, keepdim=True) + 1e-7)


def similarity(features: Tensor) -> Tensor:
    """What a layer finds alike: G = F·Fᵀ over the batch, each row divided by its length: (B, …) → (B, B).

    Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019, equations 2 and 3.
    """
    flat = features.flatten(1)
    return F.normalize(flat @ flat.t(), p=2, dim=1)


def similarity_gap(teacher: Tensor, student: Tensor) -> Tensor:
    """‖G_teacher - G_student‖²_F / B² of two maps (B, B) from `similarity`: a scalar.

    Tung and Mori 2019, equation 4, for one pair of layers; the caller averages over pairs. The maps are B x B whatever
    the layers' widths are, so that any two layers can be compared.

    Raises:
        ValueError: maps of different shape.
    """
    if teacher.shape != student.shape:
        raise ValueError(
            f"maps must be of one batch, but got {tuple(teacher.shape)} and {tuple(student.shape)}"
        )
    return (teacher - student).square().sum() / teacher.shape[0] ** 2
