"""Wide residual networks (Zagoruyko and Komodakis 2016) for signals and pictures: WRN-16-1, 28-3, 40-2, …"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from epochal.systems.nets.signals import Dims, Maps, Scaled, check, conv, he, norm, pooled


class PreActivated(nn.Module):
    """BN-ReLU-conv3-BN-ReLU-conv3 with a shortcut: (B, channels, L) → (B, out, L / stride).

    Where the shape changes the shortcut is a 1x1 convolution of the *activated* input, ReLU(BN(x)), as in the paper's
    own program; elsewhere it is the input itself.
    """

    def __init__(self, dims: Dims, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = norm(dims, channels)
        self.conv1 = conv(dims, channels, out, 3, stride)
        self.bn2 = norm(dims, out)
        self.conv2 = conv(dims, out, out, 3)
        changes = stride != 1 or channels != out
        self.convShortcut = conv(dims, channels, out, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x), inplace=True)
        y = self.conv2(F.relu(self.bn2(self.conv1(active)), inplace=True))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        return shortcut + y  # type: ignore[no-any-return]


class Group(nn.Module):
    """`blocks` pre-activated blocks, the first with the stride: (B, channels, L) → (B, out, L / stride)."""

    def __init__(self, dims: Dims, channels: int, out: int, blocks: int, stride: int) -> None:
        super().__init__()
        rest = [PreActivated(dims, out, out) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(PreActivated(dims, channels, out, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """Signals (B, channels_in, L) or pictures (B, channels_in, H, W), in their own unit → logits (B, classes).

    A conv3 to 16 channels, three groups of (depth - 4) / 6 blocks with 16·width, 32·width and 64·width channels and
    strides 1, 2, 2, then BN-ReLU, the mean over all places, and a dense layer. No convolution has a bias; they begin
    with He-normal weights by fan-out. With `maps=True` the answer is `(logits, maps)`: the outputs of the three groups
    (the last one before its BN-ReLU), (B, 16·width, L), (B, 32·width, L / 2), (B, 64·width, L / 4), halves rounded up.

    The parameters' names and order are those of the common public programs, so that their checkpoints fit.

    Args:
        depth: 6·n + 4 with n >= 1 blocks a group.
        width: the factor k on the channels.
        channels_in: of the input.
        classes: number of logits.
        dims: 1 for signals, 2 for pictures.

    Raises:
        ValueError: no such depth, or a number below 1.
    """

    def __init__(self, depth: int, width: int, channels_in: int, classes: int, dims: Dims) -> None:
        super().__init__()
        check(channels_in, classes, dims)
        if depth < 10 or depth % 6 != 4 or width < 1:
            raise ValueError(
                "depth = 6·n + 4 with n >= 1 and width >= 1 must hold, but got "
                f"(depth={depth}, width={width})"
            )
        blocks = (depth - 4) // 6
        self.scaled = Scaled(channels_in)
        self.conv1 = conv(dims, channels_in, 16, 3)
        self.block1 = Group(dims, 16, 16 * width, blocks, 1)
        self.block2 = Group(dims, 16 * width, 32 * width, blocks, 2)
        self.block3 = Group(dims, 32 * width, 64 * width, blocks, 2)
        self.bn1 = norm(dims, 64 * width)
        self.fc = nn.Linear(64 * width, classes)
        self.apply(he)

    def forward(self, x: Tensor, *, maps: bool = False) -> Tensor | tuple[Tensor, Maps]:
        group1 = self.block1(self.conv1(self.scaled(x)))
        group2 = self.block2(group1)
        group3 = self.block3(group2)
        logits: Tensor = self.fc(pooled(F.relu(self.bn1(group3), inplace=True)))
        return (logits, {"group1": group1, "group2": group2, "group3": group3}) if maps else logits
