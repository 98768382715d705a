"""Convolutional classifiers of 28x28 digits: two conv–pool stages and two dense layers (LeCun et al. 1998)."""

from __future__ import annotations

from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Images (B, 1, 28, 28) → logits (B, classes).

    A stage has `convolutions` of them, each keeping the size, and a 2x2 max-pooling. The ReLU of its last
    convolution follows the pooling: the two commute, and a quarter of the elements are left.

    Args:
        width: channels of the first stage; the second has twice as many.
        convolutions: in each stage.
        kernel: their height and width, odd.
        batch_norm: a BatchNorm2d between each convolution and its ReLU.
        dense: width of the hidden dense layer.
        dropout: before each of the two dense layers.
        classes: number of logits.
    """

    def __init__(
        self,
        width: int = 16,
        *,
        convolutions: int = 1,
        kernel: int = 5,
        batch_norm: bool = False,
        dense: int = 128,
        dropout: float = 0.3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for out in (width, 2 * width):
            for number in range(convolutions):
                layers.append(nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=not batch_norm))
                layers += [nn.MaxPool2d(2)] if number == convolutions - 1 else []
                layers += [nn.BatchNorm2d(out)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = out
        self.features = nn.Sequential(*layers)  # (B, 2·width, 7, 7)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * 7 * 7, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return]
