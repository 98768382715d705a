"""U-Net (Ronneberger, Fischer, Brox 2015): labels every pixel of a picture of any size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

DEPTH = 4


class UNet(nn.Module):
    """Picture (B, channels, H, W) → logits (B, classes, H, W).

    Four times down (2x2 max-pooling, twice the channels) and four times up (2x2 up-convolution, half of them);
    before each step two 3x3 convolutions, and on the way up the features of the same size from the way down.
    Unlike the paper's, its convolutions keep the size (borders see zeros), each is followed by batch norm, and there
    is no dropout. H and W that are no multiple of 16 are continued by reflection and cropped back.

    Args:
        channels: of the picture.
        classes: number of logits a pixel.
        base: channels of the first convolutions, 16 times as many at the bottom; the paper has 64 … 1,024.
        root: read the square root of the picture, whose values then must not be negative: where light is counted,
            noise grows with the root of brightness, and so becomes equally strong in dark and bright places
            (Anscombe 1948).

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, channels: int = 1, classes: int = 2, base: int = 64, *, root: bool = False) -> None:
        super().__init__()
        self.root = root
        if min(channels, classes, base) < 1:
            raise ValueError(
                f"channels, classes and base must be >= 1, but got ({channels=}, {classes=}, {base=})"
            )
        widths = [base * 2**level for level in range(DEPTH + 1)]
        self.encoder = nn.ModuleList(
            double_convolution(before, after)
            for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(up_convolution(2 * width, width) for width in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(double_convolution(2 * width, width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base, classes, 1)
        self.apply(he)

    def forward(self, x: Tensor) -> Tensor:
        h, cropped = padded(x.sqrt() if self.root else x, 2**DEPTH)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            h = block(self.pool(h) if level else h)  # (B, base·2^level, H / 2^level, W / 2^level)
            skips.append(h)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            h = block(torch.cat([skips.pop(), up(h)], 1))
        return cropped(self.head(h))


def double_convolution(channels: int, width: int) -> nn.Sequential:
    """Twice 3x3 convolution, batch norm, ReLU: (B, channels, H, W) → (B, width, H, W)."""
    layers: list[nn.Module] = []
    for before in (channels, width):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def up_convolution(channels: int, width: int) -> nn.ConvTranspose2d:
    """2x2 transposed convolution of stride 2: (B, channels, H, W) → (B, width, 2·H, 2·W)."""
    return nn.ConvTranspose2d(channels, width, 2, 2)


def padded(x: Tensor, multiple: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Continues x (…, H, W) by reflection until H and W are multiples, evenly on both sides.

    Returns:
        The larger x, and a function that cuts what has its size back to H and W. Both are the identity where
        nothing is missing. Reflection leaves out the border pixel itself and goes back and forth where a side
        is shorter than what is missing.
    """
    height, width = x.shape[-2:]
    missing = [-n % multiple for n in (height, width)]
    if not any(missing):
        return x, lambda y: y
    top, left = (m // 2 for m in missing)
    for axis, size, low, extra in ((-2, height, top, missing[0]), (-1, width, left, missing[1])):
        x = x.index_select(axis, _reflected(size, low, extra - low, x.device))
    return x, lambda y: y[..., top : top + height, left : left + width]


def _reflected(size: int, low: int, high: int, device: torch.device) -> Tensor:
    """Indices -low … size + high - 1, mirrored at the first and last into 0 … size - 1."""
    period = max(2 * (size - 1), 1)
    position = torch.arange(-low, size + high, device=device) % period
    return torch.minimum(position, period - position).clamp_(max=size - 1)


def he(module: nn.Module) -> None:
    """Normal weights of variance 2 / inputs of a unit for convolutions (He et al. 2015, as the paper has them)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
