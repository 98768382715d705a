"""VGG-16 for 32x32 images (Simonyan and Zisserman 2015, configuration D), with or without batch norm."""

from __future__ import annotations

from torch import Tensor, nn

PLAN = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of the 3x3 convolutions between one 2x2 max-pooling and the next."""


class VGG16(nn.Module):
    """13 convolutions and a head: images (B, 3, 32, 32) → logits (B, classes).

    The five poolings leave 1x1x512. All layers begin as torch begins them: without norms and at a learning rate of
    0.001 with Adam, He's larger weights (2015) did not leave the loss of guessing, ln 10, in 110 steps.

    Args:
        classes: number of logits.
        batch_norm: a BatchNorm2d after every convolution.
        dense: width of two hidden dense layers with dropout, as in the original (4,096 there); 0 leaves the
            single linear layer of the networks published for CIFAR-10.
        width: share of the channels; 1 is VGG-16.
    """

    def __init__(
        self, classes: int = 10, *, batch_norm: bool = False, dense: int = 0, width: float = 1.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in PLAN:
            for wide in block:
                out = max(round(wide * width), 1)
                # A bias before a batch norm would only be subtracted again.
                layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=not batch_norm))
                layers += [nn.BatchNorm2d(out)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)  # (B, 512, 1, 1)
        self.head = _head(channels, dense, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return]


def _head(channels: int, dense: int, classes: int) -> nn.Sequential:
    if dense == 0:
        return nn.Sequential(nn.Linear(channels, classes))
    return nn.Sequential(
        nn.Linear(channels, dense),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(dense, dense),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(dense, classes),
    )
