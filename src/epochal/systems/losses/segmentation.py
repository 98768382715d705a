"""Losses of segmentation: every pixel has a class, or is void and counts for nothing.

Logits are (B, classes, H, W), targets (B, H, W) integers; both losses are one number for the whole batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

VOID = 255
"""The label of pixels that count for nothing, as PASCAL VOC has it."""


def cross_entropy(logits: Tensor, target: Tensor, *, ignore: int = VOID) -> Tensor:
    """Mean over the batch's labelled pixels of -log softmax(logits)[target], in nats; 0 where all are void.

    Args:
        logits: (B, classes, H, W).
        target: (B, H, W) classes, integers.
        ignore: the label of void pixels.
    """
    total = F.cross_entropy(logits, target.long(), ignore_index=ignore, reduction="sum")
    return total / (target != ignore).sum().clamp(min=1)


def dice(logits: Tensor, target: Tensor, *, smooth: float = 1.0, ignore: int = VOID) -> Tensor:
    """One minus the Dice overlap, mean over classes, of softmax probabilities p and one-hot targets g.

        1 - 1/C · Σ_c (2·Σ p_c·g_c + smooth) / (Σ p_c² + Σ g_c² + smooth)

    The inner sums run over all labelled pixels of the batch, not image by image: a class that one small crop lacks
    is still weighed by the others. Squares in the denominator as in V-Net (Milletari, Navab, Ahmadi 2016), which has
    two classes and no smoothing.

    Args:
        logits: (B, classes, H, W).
        target: (B, H, W) classes, integers.
        smooth: keeps a class that is neither there nor predicted at a loss of 0, in pixels.
        ignore: the label of void pixels.
    """
    labelled = (target != ignore)[:, None]  # (B, 1, H, W)
    p = logits.softmax(1) * labelled
    g = torch.zeros_like(p).scatter_(1, torch.where(labelled, target[:, None], 0).long(), 1.0) * labelled
    over = (0, 2, 3)
    overlap = (2 * (p * g).sum(over) + smooth) / ((p * p).sum(over) + g.sum(over) + smooth)
    return 1 - overlap.mean()
