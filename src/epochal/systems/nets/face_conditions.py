"""Small networks that read the conditions of a 120x120 face: its sex, hair darkness, and how open mouth and eyes are.

Each looks at a window of the face. The sex is read from the face alone; the others are told it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epochal.systems.nets.cvae import glorot

SIDE = 120
SLOPE = 0.06
"""Of LeakyReLU, for negative inputs (Maas, Hannun & Ng 2013)."""
WINDOWS = {
    "sex": (slice(0, SIDE), slice(0, SIDE)),
    "hair": (slice(0, SIDE), slice(0, SIDE)),
    "mouth": (slice(60, 120), slice(30, 90)),
    "eyes": (slice(40, 72), slice(30, 90)),
}
"""Rows and columns that each network sees: the whole face, 60x60 at the bottom middle, 32x60 around the eyes."""


class Trunk(nn.Sequential):
    """Windows (B, 3, H, W) → features (B, `features(H, W)`).

    Five 3x3 convolutions with ReLU that keep the size, to 32, 32, 64, 64 and 64 channels, and 2x2 max-poolings after
    each but the first.

    Args:
        width: channels of the first two; the others have twice as many.
    """

    def __init__(self, width: int = 32) -> None:
        plan = (3, width, width, 2 * width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for number, (channels, out) in enumerate(pairwise(plan)):
            layers.append(nn.Conv2d(channels, out, 3, padding=1))
            # ReLU and maximum commute, and a quarter of the elements are left after the pooling.
            layers += [nn.MaxPool2d(2)] * (number > 0) + [nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Flatten())

    @staticmethod
    def features(height: int, wide: int, width: int) -> int:
        """How many there are: four poolings, each rounding down, leave H//16 x W//16."""
        return 2 * width * (height // 16) * (wide // 16)


class Labels(nn.Module):
    """What a network was trained on, kept with its weights: how many labels, and their mean."""

    count: Tensor
    mean: Tensor

    def __init__(self, values: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.full((values,), 0.5))

    @torch.no_grad()
    def learn(self, labels: Tensor) -> None:
        """Notes the labels (n, values); without any the mean stays 0.5."""
        self.count.fill_(len(labels))
        if len(labels):
            self.mean.copy_(labels.mean(0))


class Reader(nn.Module):
    """A trunk that looks at one window of faces (B, 3, 120, 120).

    Args:
        what: the window's name.
        width: of the trunk.
        values: how many numbers a label has.
    """

    def __init__(self, what: str, width: int, values: int) -> None:
        super().__init__()
        self.window = WINDOWS[what]
        self.trunk = Trunk(width)
        height, wide = (part.stop - part.start for part in self.window)
        self.wide = Trunk.features(height, wide, width)
        self.labels = Labels(values)

    def look(self, x: Tensor) -> Tensor:
        """Features (B, self.wide) of the window."""
        rows, columns = self.window
        return self.trunk(x[:, :, rows, columns])  # type: ignore[no-any-return]


class SexReader(Reader):
    """Faces (B, 3, 120, 120) in [0, 1] → logits (B, 2) of male and female: dense 512 and 64, LeakyReLU 0.06."""

    def __init__(self, width: int = 32) -> None:
        super().__init__("sex", width, 2)
        self.dense1 = nn.Linear(self.wide, 16 * width)
        self.dense2 = nn.Linear(16 * width, 2 * width)
        self.out = nn.Linear(2 * width, 2)
        glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.dense1(self.look(x)), SLOPE)
        return self.out(F.leaky_relu(self.dense2(h), SLOPE))  # type: ignore[no-any-return]


class ConditionReader(Reader):
    """Faces (B, 3, 120, 120) in [0, 1] and p(male), p(female) (B, 2) → the condition (B,), 0 to 1.

    Dense 256 (hair) or 320 (mouth, eyes); the sex joins; dense 64; sigmoid. The log of the original tells neither
    which had 256 and which 320, nor the width of the layer after the sex.
    """

    def __init__(self, what: str, width: int = 32) -> None:
        super().__init__(what, width, 1)
        units = (8 if what == "hair" else 10) * width
        self.dense1 = nn.Linear(self.wide, units)
        self.dense2 = nn.Linear(units + 2, 2 * width)
        self.out = nn.Linear(2 * width, 1)
        glorot(self)

    def forward(self, x: Tensor, sex: Tensor) -> Tensor:
        h = F.leaky_relu(self.dense1(self.look(x)), SLOPE)
        h = F.leaky_relu(self.dense2(torch.cat([h, sex.to(h.dtype)], dim=1)), SLOPE)
        return torch.sigmoid(self.out(h))[:, 0]
