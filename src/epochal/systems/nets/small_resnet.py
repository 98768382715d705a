"""Residual networks with activations after the sum (He et al. 2016) for signals and pictures: ResNet-8 and -18."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from epochal.systems.nets.signals import Dims, Maps, Scaled, check, conv, he, norm, pooled


class PostActivated(nn.Module):
    """conv3-BN-ReLU-conv3-BN, plus the shortcut, ReLU: (B, channels, L) → (B, out, L / stride).

    Where the shape changes the shortcut is a 1x1 convolution with a BN.
    """

    def __init__(self, dims: Dims, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(dims, channels, out, 3, stride)
        self.bn1 = norm(dims, out)
        self.conv2 = conv(dims, out, out, 3)
        self.bn2 = norm(dims, out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(conv(dims, channels, out, 1, stride), norm(dims, out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet8(nn.Module):
    """Signals (B, channels_in, L) or pictures (B, channels_in, H, W), in their own unit → logits (B, classes).

    As for CIFAR-10: a conv3-BN-ReLU to 16 channels, three stages of one block with 16, 32 and 64 channels and strides
    1, 2, 2, the mean over all places, and a dense layer. With `maps=True` the answer is `(logits, maps)`: the outputs
    of the three stages, (B, 16, L), (B, 32, L / 2), (B, 64, L / 4), halves rounded up.

    Args:
        channels_in: of the input.
        classes: number of logits.
        dims: 1 for signals, 2 for pictures.

    Raises:
        ValueError: a number below 1, or neither 1 nor 2 dimensions.
    """

    def __init__(self, channels_in: int, classes: int, dims: Dims) -> None:
        super().__init__()
        check(channels_in, classes, dims)
        self.scaled = Scaled(channels_in)
        self.conv1 = conv(dims, channels_in, 16, 3)
        self.bn1 = norm(dims, 16)
        self.layer1 = nn.Sequential(PostActivated(dims, 16, 16))
        self.layer2 = nn.Sequential(PostActivated(dims, 16, 32, 2))
        self.layer3 = nn.Sequential(PostActivated(dims, 32, 64, 2))
        self.fc = nn.Linear(64, classes)
        self.apply(he)

    def forward(self, x: Tensor, *, maps: bool = False) -> Tensor | tuple[Tensor, Maps]:
        group1 = self.layer1(F.relu(self.bn1(self.conv1(self.scaled(x))), inplace=True))
        group2 = self.layer2(group1)
        group3 = self.layer3(group2)
        logits: Tensor = self.fc(pooled(group3))
        return (logits, {"group1": group1, "group2": group2, "group3": group3}) if maps else logits


class ResNet18(nn.Module):
    """Signals (B, channels_in, L) or pictures (B, channels_in, H, W), in their own unit → logits (B, classes).

    As for ImageNet: a conv7 of stride 2 to 64 channels, BN-ReLU, a max-pooling of 3 with stride 2, four stages of two
    blocks with 64, 128, 256 and 512 channels and strides 1, 2, 2, 2, the mean over all places, and a dense layer. With
    `maps=True` the answer is `(logits, maps)`: the outputs of the *last three* of the four stages, (B, 128, L / 8),
    (B, 256, L / 16), (B, 512, L / 32), halves rounded up.

    Args:
        channels_in: of the input.
        classes: number of logits.
        dims: 1 for signals, 2 for pictures.

    Raises:
        ValueError: a number below 1, or neither 1 nor 2 dimensions.
    """

    def __init__(self, channels_in: int, classes: int, dims: Dims) -> None:
        super().__init__()
        check(channels_in, classes, dims)
        self.scaled = Scaled(channels_in)
        self.conv1 = conv(dims, channels_in, 64, 7, 2)
        self.bn1 = norm(dims, 64)
        self.maxpool = nn.MaxPool1d(3, 2, 1) if dims == 1 else nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(PostActivated(dims, 64, 64), PostActivated(dims, 64, 64))
        self.layer2 = nn.Sequential(PostActivated(dims, 64, 128, 2), PostActivated(dims, 128, 128))
        self.layer3 = nn.Sequential(PostActivated(dims, 128, 256, 2), PostActivated(dims, 256, 256))
        self.layer4 = nn.Sequential(PostActivated(dims, 256, 512, 2), PostActivated(dims, 512, 512))
        self.fc = nn.Linear(512, classes)
        self.apply(he)

    def forward(self, x: Tensor, *, maps: bool = False) -> Tensor | tuple[Tensor, Maps]:
        stem = self.maxpool(F.relu(self.bn1(self.conv1(self.scaled(x))), inplace=True))
        group1 = self.layer2(self.layer1(stem))
        group2 = self.layer3(group1)
        group3 = self.layer4(group2)
        logits: Tensor = self.fc(pooled(group3))
        return (logits, {"group1": group1, "group2": group2, "group3": group3}) if maps else logits
