"""A small convolutional classifier of 28x28 digits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class DigitClassifier(nn.Module):
    """Image (B, 1, 28, 28) in [0, 1] → logits (B, 10). Three convolutions with batch norm, two dense layers."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.dense1 = nn.Linear(4 * width * 3 * 3, 128)
        self.dense2 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)  # (B, w, 14, 14)
        h = F.max_pool2d(F.relu(self.norm2(self.conv2(h))), 2)  # (B, 2w, 7, 7)
        h = F.max_pool2d(F.relu(self.norm3(self.conv3(h))), 2)  # (B, 4w, 3, 3)
        return self.dense2(self.dropout(F.relu(self.dense1(h.flatten(1)))))  # type: ignore[no-any-return]
