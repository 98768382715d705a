"""A U-Net whose way down is a ResNet-50 (He, Zhang, Ren, Sun 2016), whole or, as logged, its first half."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epochal.systems.nets.resnet import bottlenecks
from epochal.systems.nets.unet import double_convolution, he, padded, up_convolution

BLOCKS = (3, 4, 6, 3)


class ResNetUNet(nn.Module):
    """Picture (B, channels, H, W) → logits (B, classes, H, W).

    Encoder: the 7x7 stride-2 stem (64 channels at 1/2), max-pooling, and the first `stages` of ResNet-50's four
    (256 at 1/4, 512 at 1/8, 1,024 at 1/16, 2,048 at 1/32). Decoder: from the last stage upwards a 2x2
    up-convolution, the encoder's features of that size, and two 3x3 convolutions with batch norm; the last step,
    to full size, has no such features. H and W that are no multiple of the smallest size are continued by
    reflection and cropped back.

    Args:
        channels: of the picture.
        classes: number of logits a pixel.
        stages: 2 ends with 512 channels at 1/8 (as logged), 4 is the whole ResNet-50.
        width: channels of the stem; 64 is ResNet-50.

    Raises:
        ValueError: `stages` outside of 1 to 4, or `width` below 2.
    """

    def __init__(self, channels: int = 3, classes: int = 22, stages: int = 2, width: int = 64) -> None:
        super().__init__()
        if not 1 <= stages <= len(BLOCKS) or width < 2:
            raise ValueError(f"1 <= stages <= 4 and width >= 2 must hold, but got ({stages=}, {width=})")
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        features = [width]  # channels of the encoder's outputs, the largest picture first
        for stage, blocks in enumerate(BLOCKS[:stages]):
            wide = width * 2**stage
            # The first stage reads the stem's channels, every other one what its predecessor gives.
            self.stages.append(bottlenecks(features[-1], wide, blocks, 1 if stage == 0 else 2))
            features.append(4 * wide)
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        before = features.pop()
        for level in reversed(range(stages)):  # at 1/2^(level + 1)
            wide = width * 2**level
            self.up.append(up_convolution(before, wide))
            self.decoder.append(double_convolution(wide + features.pop(), wide))
            before = wide
        self.up.append(up_convolution(before, width // 2))
        self.decoder.append(double_convolution(width // 2, width // 2))
        self.head = nn.Conv2d(width // 2, classes, 1)
        self.apply(he)

    def forward(self, x: Tensor) -> Tensor:
        h, cropped = padded(x, 2 ** (len(self.stages) + 1))
        skips = [self.stem(h)]  # (B, width, H / 2, W / 2)
        h = self.pool(skips[0])
        for stage in self.stages:
            h = stage(h)
            skips.append(h)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            h = up(h)
            h = block(torch.cat([skips.pop(), h], 1) if skips else h)
        return cropped(self.head(h))
