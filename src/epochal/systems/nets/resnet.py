"""Residual networks for small images (He, Zhang, Ren, Sun 2016): blocks, stages, ResNet-18, -50, and a logged one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: (B, C_in, H, W) → (B, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut: (B, C_in, H, W) → (B, 4·width, H / stride, W / stride).

    Args:
        channels: C_in.
        width: channels of the first two convolutions.
        stride: of the 3x3 convolution.
        inner_relu: False leaves out the ReLUs between the block's convolutions (as a logged network did); the
            three then are one linear map but for their norms.
    """

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1, *, inner_relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(width * self.expansion)
        self.shortcut = _shortcut(channels, width * self.expansion, stride)
        self.inner_relu = inner_relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(self._between(y)))
        y = self.norm3(self.conv3(self._between(y)))
        return F.relu(y + self.shortcut(x), inplace=True)

    def _between(self, y: Tensor) -> Tensor:
        return F.relu(y, inplace=True) if self.inner_relu else y


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    """The identity, or a 1x1 projection where the shape changes."""
    if stride == 1 and channels == out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


def bottlenecks(
    channels: int, width: int, blocks: int, stride: int, *, inner_relu: bool = True
) -> nn.Sequential:
    """A stage of `blocks` bottlenecks, the first with the stride: (B, channels, H, W) → (B, 4·width, …)."""
    first = Bottleneck(channels, width, stride, inner_relu=inner_relu)
    rest = [Bottleneck(4 * width, width, inner_relu=inner_relu) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNet18(nn.Module):
    """3x3 stem and stages of 2/2/2/2 basic blocks: (B, 3, 32, 32) → (B, classes); 11.2 M weights."""

    def __init__(self, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.stem = _small_stem(width)
        stages: list[nn.Module] = []
        channels = width
        for number in range(4):
            out = width * 2**number
            stages += [BasicBlock(channels, out, 1 if number == 0 else 2), BasicBlock(out, out)]
            channels = out
        self.stages = nn.Sequential(*stages)  # (B, 8·width, 4, 4)
        self.head = nn.Linear(channels, classes)
        self.apply(_he)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


class ResNet50(nn.Module):
    """3x3 stem and stages of 3/4/6/3 bottlenecks: (B, 3, 32, 32) → (B, classes); 23.5 M weights.

    Args:
        classes: number of logits.
        width: channels of the stem; 64 is ResNet-50.
    """

    def __init__(self, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.stem = _small_stem(width)
        self.stages = _stages(width, (3, 4, 6, 3))  # (B, 32·width, 4, 4)
        self.head = nn.Linear(32 * width, classes)
        self.apply(_he)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


class LoggedResNet50(nn.Module):
    """The ResNet-50 of the experiment log: (B, 3, 32, 32) → (B, classes); 8.6 M weights.

    It keeps the 7x7 stride-2 stem and the max-pooling that were made for 224x224 images, ends after the third
    stage with 1,024 features at 2x2, has no ReLU between a block's convolutions, and pools 2x2 before its dense
    layer.
    """

    def __init__(self, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )  # (B, width, 8, 8)
        self.stages = _stages(width, (3, 4, 6), inner_relu=False)  # (B, 16·width, 2, 2)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(16 * width, classes)
        self.apply(_he)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.stages(self.stem(x))).flatten(1))  # type: ignore[no-any-return]


def _small_stem(width: int) -> nn.Sequential:
    """One 3x3 convolution that keeps the size of a small image."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def _stages(width: int, blocks: Sequence[int], *, inner_relu: bool = True) -> nn.Sequential:
    """Stages of bottlenecks, each after the first with half the size and twice the width."""
    channels, stages = width, []
    for number, count in enumerate(blocks):
        wide = width * 2**number
        stages.append(bottlenecks(channels, wide, count, 1 if number == 0 else 2, inner_relu=inner_relu))
        channels = 4 * wide
    return nn.Sequential(*stages)


def _he(module: nn.Module) -> None:
    """He initialisation of the convolutions (normal, variance 2 / fan_out)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
