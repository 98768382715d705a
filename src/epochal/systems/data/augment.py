"""Random changes of whole batches of images, on the device where they lie: no loop over images, no transfer.

Every function is pure: all its randomness comes from the generator it is given, on the images' device, so that
a resumed run draws what the uninterrupted one would. Images are (B, C, H, W), floats or uint8; dtype and memory
format are kept.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def crop(
    x: Tensor, rng: torch.Generator, pad: int = 4, *, border: Literal["zero", "reflect"] = "zero"
) -> Tensor:
    """Shifts every image by up to `pad` pixels each way: a random H x W crop of the padded image.

    The corner of each crop is drawn uniformly from the (2 pad + 1)² possible ones: first all rows, then all
    columns. With zeros as the border this is the augmentation of He et al. 2016 for CIFAR-10.

    Args:
        x: images (B, C, H, W).
        rng: generator on the device of `x`.
        pad: pixels of border on every side; less than H and W where it reflects.
        border: zeros, or the image mirrored at its outermost pixels, which are not repeated.

    Returns:
        Images of the same shape, dtype and memory format.
    """
    if pad == 0:
        return x
    count, _, height, width = x.shape
    top, left = torch.randint(2 * pad + 1, (2, count), generator=rng, device=x.device)
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if border == "zero":
        padded = F.pad(x, (pad, pad, pad, pad))
    else:
        padded = x.index_select(2, _reflected(height, pad, x.device))
        padded = padded.index_select(3, _reflected(width, pad, x.device))
        if channels_last:  # which selecting does not keep
            padded = padded.contiguous(memory_format=torch.channels_last)
    # A view of every possible crop, of which one an image is copied.
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2 pad + 1, 2 pad + 1, H, W)
    if channels_last:
        crops = crops.permute(0, 2, 3, 4, 5, 1)
        return crops[torch.arange(count, device=x.device), top, left].permute(0, 3, 1, 2)
    return crops[torch.arange(count, device=x.device), :, top, left]


def _reflected(length: int, pad: int, device: torch.device) -> Tensor:
    """Indices that mirror a line at its ends: 2 1 0 1 2 … for pad 2."""
    away = torch.arange(-pad, length + pad, device=device).abs()
    return length - 1 - (length - 1 - away).abs()


def blur(x: Tensor, rng: torch.Generator, deviation: float) -> Tensor:
    """Blurs every image by a Gaussian of its own, its standard deviation uniform between 0 and `deviation` pixels.

    At the border the Gaussian's part inside the image counts.

    Args:
        x: images (B, C, H, W), floats.
        rng: generator on the device of `x`.
        deviation: the largest standard deviation; 0: nothing is done.
    """
    if deviation == 0:
        return x
    own = (deviation * torch.rand(len(x), generator=rng, device=x.device)).clamp(min=1e-3)[:, None, None]

    def weights(length: int) -> Tensor:  # (B, 1, length, length): rows sum to 1
        at = torch.arange(length, device=x.device, dtype=torch.float32)
        return (-(at[:, None] - at).square() / (2 * own.square())).softmax(-1)[:, None].to(x.dtype)

    height, width = x.shape[2:]
    return weights(height) @ x @ weights(width).mT


def flip(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirrors every image left to right with probability 1/2.

    Args:
        x: images (B, C, H, W).
        rng: generator on the device of `x`; draws one bit an image, 1 mirrors.

    Returns:
        Images of the same shape, dtype and memory format.
    """
    mirrored = torch.randint(2, (len(x),), generator=rng, device=x.device, dtype=torch.bool)
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


def cutout(x: Tensor, rng: torch.Generator, size: int = 16) -> Tensor:
    """Blanks a square of every image with zeros (DeVries and Taylor 2017, "Cutout").

    The square's centre is drawn uniformly from the pixels, first all rows, then all columns; what of the square
    lies outside the image is lost, so that smaller pieces are blanked too. Zero is the mean colour of images
    that were standardised, and black otherwise.

    Args:
        x: images (B, C, H, W).
        rng: generator on the device of `x`.
        size: side of the square in pixels.

    Returns:
        Images of the same shape, dtype and memory format.
    """
    count, _, height, width = x.shape
    inside = []
    for length in (height, width):
        centre = torch.randint(length, (count, 1), generator=rng, device=x.device)
        distance = torch.arange(length, device=x.device) - (centre - size // 2)
        inside.append((distance >= 0) & (distance < size))
    rows, columns = inside
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], 0, x)
