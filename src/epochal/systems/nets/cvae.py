"""The conditional VAE for 28x28 digits: encoder, decoder, and the condition that both read.

Conditional VAE: Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional Generative
Models", 2015.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10


class Condition(nn.Module):
    """Turns class and thickness into the 11 numbers that encoder and decoder read.

    `mode` says what thickness means, given an image's white ratio w (mean of its pixels in [0, 1]):
    "global" is clip(10·(w - 0.075), 0, 1); "per-class" is clip(0.5·(w - mean_c) / std_c, -1, 1) with the
    statistics of class c in the training set, which are kept as buffers and so travel with every checkpoint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mode: Literal["global", "per-class"]) -> None:
        super().__init__()
        self.mode = mode
        self.register_buffer("mean", torch.zeros(CLASSES))
        self.register_buffer("std", torch.ones(CLASSES))

    @property
    def levels(self) -> tuple[float, float, float]:
        """Thin, middle, thick."""
        return (0.0, 0.5, 1.0) if self.mode == "global" else (-1.0, 0.0, 1.0)

    @torch.no_grad()
    def fit(self, white: Tensor, labels: Tensor) -> None:
        """Learns the statistics: white ratios (n,) in [0, 1] and labels (n,)."""
        for c in range(CLASSES):
            chosen = white[labels == c]
            if len(chosen) > 1:
                self.mean[c], self.std[c] = chosen.mean(), chosen.std(correction=0).clamp_min(1e-6)

    @torch.no_grad()
    def thickness(self, white: Tensor, labels: Tensor) -> Tensor:
        """Thickness (n,) of images with white ratio (n,) and labels (n,)."""
        if self.mode == "global":
            return (10 * (white - 0.075)).clamp(0, 1)
        return (0.5 * (white - self.mean[labels]) / self.std[labels]).clamp(-1, 1)

    def forward(self, labels: Tensor, thickness: Tensor) -> Tensor:
        """labels (B,) int64, thickness (B,) → (B, 11)."""
        return torch.cat([F.one_hot(labels, CLASSES).to(thickness.dtype), thickness[:, None]], dim=1)


class Encoder(nn.Module):
    """q(z | x, c): image (B, 1, 28, 28) in [0, 1] and condition (B, 11) → mean and log-variance, each (B, latent)."""

    def __init__(self, latent: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.dense = nn.Linear(128 * 7 * 7 + CLASSES + 1, 256)
        self.side = nn.Linear(28 * 28, 64)  # straight from the pixels, beside the convolutions
        self.mean = nn.Linear(256 + 64, latent)
        self.log_variance = nn.Linear(256 + 64, latent)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        glorot(self)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        h = self.dropout1(F.relu(self.conv1(x)))  # (B, 32, 14, 14)
        h = self.dropout2(F.relu(self.conv2(h)))  # (B, 64, 7, 7)
        h = F.relu(self.conv3(h))  # (B, 128, 7, 7)
        h = F.relu(self.dense(torch.cat([h.flatten(1), c], dim=1)))
        h = torch.cat([h, F.relu(self.side(x.flatten(1)))], dim=1)  # (B, 320)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """p(x | z, c): latent (B, latent) and condition (B, 11) → image (B, 1, 28, 28), not negative."""

    def __init__(self, latent: int, dropout: float) -> None:
        super().__init__()
        self.dense1 = nn.Linear(latent + CLASSES + 1, 320)
        self.dense2 = nn.Linear(320, 160 * 7 * 7)
        self.up1 = nn.ConvTranspose2d(160, 80, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(80, 40, 3, stride=2, padding=1, output_padding=1)
        self.out = nn.ConvTranspose2d(40, 1, 3, padding=1)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        glorot(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        h = F.relu(self.dense1(torch.cat([z, c], dim=1)))
        h = F.relu(self.dense2(h)).view(-1, 160, 7, 7)
        h = self.dropout1(F.relu(self.up1(h)))  # (B, 80, 14, 14)
        h = self.dropout2(F.relu(self.up2(h)))  # (B, 40, 28, 28)
        return F.relu(self.out(h))


def glorot(net: nn.Module) -> None:
    """Glorot-uniform weights and zero biases (Glorot & Bengio 2010), Keras' default."""
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
