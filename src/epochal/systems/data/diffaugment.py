"""DiffAugment: random changes of real and generated images alike, through which the generator's gradient passes.

Zhao, Liu, Lin, Zhu & Han, "Differentiable Augmentation for Data-Efficient GAN Training", 2020: colour, translation
and cutout, each with the paper's ranges. Images are (B, C, H, W), centred at 0 (their range is [-1, 1]); all
randomness comes from the generator, on the images' device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def colour(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, saturation and contrast of every image: x + b, then around its grey, then around its mean.

    b is uniform in [-½, ½], the factor on what differs from the mean over channels in [0, 2], that on what differs
    from the mean over the image in [½, 1½].
    """
    b, s, c = torch.rand(3, len(x), 1, 1, 1, generator=rng, device=x.device, dtype=x.dtype)
    x = x + (b - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * s * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (c + 0.5) * (x - mean)
    return changed


def translation(x: Tensor, rng: torch.Generator, share: float = 1 / 8) -> Tensor:
    """Shifts every image by up to this share of its side, zeros coming in.

    Whole pixels, drawn uniformly: first all vertical shifts, then all horizontal ones.
    """
    rows, row_inside = _shifted(x, x.shape[2], share, rng)
    columns, column_inside = _shifted(x, x.shape[3], share, rng)
    count = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[count, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved * (row_inside[:, :, None] & column_inside[:, None, :])[:, None].to(x.dtype)


def cutout(x: Tensor, rng: torch.Generator, share: float = 1 / 2) -> Tensor:
    """Blanks a square of this share of the side with zeros, its centre drawn uniformly from the pixels."""
    inside = []
    for length in x.shape[2:]:
        size = int(length * share + 0.5)
        centre = torch.randint(length + 1 - size % 2, (len(x), 1), generator=rng, device=x.device)
        distance = torch.arange(length, device=x.device) - (centre - size // 2)
        inside.append((distance >= 0) & (distance < size))
    rows, columns = inside
    return x * ~(rows[:, :, None] & columns[:, None, :])[:, None]


def _shifted(x: Tensor, length: int, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where each pixel of a shifted line comes from (B, length), and whether that lies inside."""
    most = int(length * share + 0.5)
    shift = torch.randint(-most, most + 1, (len(x), 1), generator=rng, device=x.device)
    origin = torch.arange(length, device=x.device) - shift
    return origin.clamp(0, length - 1), (origin >= 0) & (origin < length)
