"""A small convolutional classifier whose pooled last activations serve as features of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FeatureClassifier(nn.Module):
    """Images (B, 1 or 3, H, W) in [0, 1] → outputs (B, outputs); `features` gives (B, dimensions) on the way.

    A 3x3 stem, then three stages at a half, a quarter and an eighth of the size, each a strided 3x3 convolution
    and a residual one, all with batch norm and ReLU; the mean over the last stage's pixels are the features
    (>= 0). Grey images are read as three equal channels. At width 32 an image of 32x32 costs 13 million
    multiplications.

    Args:
        outputs: classes, or other targets.
        width: channels of the stem and the first stage; the next have 2 and 4 times as many.
        halvings: strided convolutions (of width/2 channels) before the stem: for images larger than 40 pixels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, outputs: int = 10, width: int = 32, halvings: int = 0) -> None:
        super().__init__()
        self.dimensions = 4 * width
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("deviation", torch.ones(3))
        channels = 3
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers.append(_convolution(channels, max(width // 2, 1), stride=2))
            channels = max(width // 2, 1)
        layers.append(_convolution(channels, width))
        channels = width
        for out in (width, 2 * width, 4 * width):
            layers += [_convolution(channels, out, stride=2), _Residual(out)]
            channels = out
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(self.dimensions, outputs)

    def fit(self, images: Any) -> None:
        """Sets mean and deviation of each channel from uint8 images (n, H, W) or (n, H, W, 3)."""
        x = torch.as_tensor(images)
        flat = x.reshape(-1, x.shape[-1] if x.dim() == 4 else 1)
        parts = flat.split(1_000_000)  # float64 takes eight times the bytes
        mean = sum((part.double().sum(0) for part in parts), torch.zeros(())) / len(flat)
        variance = sum(((part.double() - mean).square().sum(0) for part in parts), torch.zeros(())) / len(
            flat
        )
        self.mean.copy_(mean.expand(3) / 255)
        self.deviation.copy_((variance.sqrt().expand(3) / 255).clamp_min(1e-3))

    def features(self, x: Tensor) -> Tensor:
        """Features (B, dimensions) of images (B, 1 or 3, H, W) in [0, 1]."""
        x = (x.expand(-1, 3, -1, -1) - self.mean[:, None, None]) / self.deviation[:, None, None]
        return self.layers(x).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # type: ignore[no-any-return]


class _Residual(nn.Module):
    """x + ReLU(norm(conv(x))), (B, C, H, W) → the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )
