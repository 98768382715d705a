"""What networks for signals (1-D) and pictures (2-D) share: convolution, norm, pooling, scaling of the input."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Dims = Literal[1, 2]
Maps = dict[str, Tensor]
"""Outputs of a network's three groups of blocks, "group1" to "group3", each (B, channels, length[, width])."""


class Scaled(nn.Module):
    """(x - shift) / width, channel by channel: (B, channels, …) in the sensor's unit → the same, about -1…1.

    Both are buffers: they are kept with the weights and go along into an export, so that whoever uses the network
    gives it what the sensor gives. The identity until `learn` is called.
    """

    shift: Tensor
    width: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("width", torch.ones(channels))

    def learn(self, shift: Tensor, width: Tensor) -> None:
        """Sets both, e.g. to the mean and the standard deviation of the training subjects.

        Args:
            shift: (channels,), in the unit of the input.
            width: (channels,), in the unit of the input, above 0.

        Raises:
            ValueError: another shape, a number that is not finite, or a width of 0 or below.
        """
        shift, width = (torch.as_tensor(value, dtype=self.shift.dtype) for value in (shift, width))
        if shift.shape != self.shift.shape or width.shape != self.width.shape:
            raise ValueError(
                f"shift {tuple(shift.shape)} and width {tuple(width.shape)} must both be {tuple(self.shift.shape)}"
            )
        if not (shift.isfinite().all() and width.isfinite().all() and (width > 0).all()):
            raise ValueError(
                f"shift {shift.tolist()} and width {width.tolist()} must be finite, width above 0"
            )
        self.shift.copy_(shift)
        self.width.copy_(width)

    def forward(self, x: Tensor) -> Tensor:
        over = (-1,) + (1,) * (x.ndim - 2)
        return (x - self.shift.view(over)) / self.width.view(over)


def conv(dims: Dims, channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv1d | nn.Conv2d:
    """A convolution without bias that keeps the size but for its stride: (B, channels, …) → (B, out, …)."""
    kind = nn.Conv1d if dims == 1 else nn.Conv2d
    return kind(channels, out, kernel, stride, kernel // 2, bias=False)


def norm(dims: Dims, channels: int) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """A batch norm over (B, channels, …)."""
    return nn.BatchNorm1d(channels) if dims == 1 else nn.BatchNorm2d(channels)


def pooled(x: Tensor) -> Tensor:
    """The mean over all places: (B, C, length[, width]) → (B, C)."""
    return x.mean(tuple(range(2, x.ndim)))


def he(module: nn.Module) -> None:
    """He initialisation of a convolution (normal, variance 2 / fan_out; He et al. 2015), a dense bias of 0."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def check(channels_in: int, classes: int, dims: int) -> None:
    """Refuses what no network has.

    Raises:
        ValueError: fewer than one channel or class, or neither 1 nor 2 dimensions.
    """
    if channels_in < 1 or classes < 1 or dims not in (1, 2):
        raise ValueError(
            "channels_in >= 1, classes >= 1 and dims 1 or 2 must hold, but got "
            f"(channels_in={channels_in}, classes={classes}, dims={dims})"
        )
