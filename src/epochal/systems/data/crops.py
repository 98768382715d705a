"""Random crops of pictures and their masks, and stray light, drawn on the device for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor


def random_crops(
    images: Tensor, masks: Tensor, side: int, rng: torch.Generator, *, mirror: bool = True, turn: bool = True
) -> tuple[Tensor, Tensor]:
    """A square out of every picture, anywhere with equal probability, mask and image alike.

    Args:
        images: (B, H, W) or (B, H, W, 3), any type.
        masks: (B, H, W).
        side: of the squares, in pixels.
        rng: on the device of the pictures.
        mirror: left-right, every other one.
        turn: also upside down and along the diagonal, each every other one: all eight positions of a square.

    Returns:
        Images (B, side, side) or (B, side, side, 3), and masks (B, side, side).

    Raises:
        ValueError: pictures smaller than `side`.
    """
    batch, height, width = masks.shape
    if side > min(height, width):
        raise ValueError(
            f"side <= {min(height, width)} must hold for {height}x{width} pixels, but got side={side}"
        )
    device = masks.device

    def draw(most: int) -> Tensor:
        return torch.randint(0, most, (batch, 1), generator=rng, device=device)

    steps = torch.arange(side, device=device)
    rows, columns = draw(height - side + 1) + steps, draw(width - side + 1) + steps  # (B, side)
    if mirror:
        columns = torch.where(draw(2) == 1, columns.flip(1), columns)
    if turn:
        rows = torch.where(draw(2) == 1, rows.flip(1), rows)
    # A picture's row index and column index may change places: that is the transposed crop.
    down, across = rows[:, :, None], columns[:, None, :]
    if turn:
        swap = (draw(2) == 1)[:, :, None]
        down, across = (
            torch.where(swap, rows[:, None, :], down),
            torch.where(swap, columns[:, :, None], across),
        )
    item = torch.arange(batch, device=device)[:, None, None]
    return images[item, down, across], masks[item, down, across]


HAZY = 0.2
"""Share of the pictures that `with_haze` changes."""


def with_haze(x: Tensor, most: float, rng: torch.Generator) -> Tensor:
    """Adds stray light to one picture in five, sloping from side to side; what would be brighter than 1 is 1.

    In the middle of a picture it is anything up to `most`; towards the border it slopes in any direction, to between
    nothing and twice as much.

    Args:
        x: (B, channels, H, W), brightness from 0 to 1.
        most: the greatest strength, in the picture's middle.
        rng: on the device of the pictures.
    """

    def draw() -> Tensor:
        return torch.rand(len(x), 1, 1, 1, generator=rng, device=x.device)

    down, across = (torch.linspace(-1, 1, n, device=x.device) for n in x.shape[2:])
    angle = 2 * torch.pi * draw()
    slope = angle.sin() * down[:, None] + angle.cos() * across
    slope = slope / (angle.sin().abs() + angle.cos().abs())  # 1 at the brightest corner
    strength = most * draw() * (draw() < HAZY)
    return (x + strength * (1 + draw() * slope)).clamp(max=1)
