"""Encoders and decoders for small images, dense or convolutional, and a discriminator of latent codes.

Images are (B, C, H, W) in [0, 1]. Decoders give logits: the image is their sigmoid, and a Bernoulli likelihood reads
them as they are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

Shape = tuple[int, int, int]  # channels, height, width
Architecture = Literal["mlp", "conv"]
Activation = Literal["relu", "gelu"]
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class Encoder(nn.Module):
    """z = f(x): image (B, C, H, W) → code (B, latent).

    Args:
        architecture: "mlp" has one hidden layer, "conv" halves the image until its side is odd or 4.
        shape: (C, H, W) of an image.
        hidden: units of the hidden dense layer.
        width: channels of the first convolution; each further one has twice as many.
        latent: length of the code.
        activation: of all hidden layers.
    """

    def __init__(
        self,
        architecture: Architecture,
        shape: Shape,
        hidden: int,
        width: int,
        latent: int,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.features = _features(architecture, shape, hidden, width, _ACTIVATIONS[activation])
        self.code = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.code(self.features(x))
        return z


class GaussianEncoder(nn.Module):
    """q(z | x): image (B, C, H, W) → mean and log-variance, each (B, latent). Arguments as `Encoder`'s."""

    def __init__(
        self,
        architecture: Architecture,
        shape: Shape,
        hidden: int,
        width: int,
        latent: int,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.features = _features(architecture, shape, hidden, width, _ACTIVATIONS[activation])
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """g(z): code (B, latent) → logits (B, C, H, W); the encoder's layers backwards. Arguments as `Encoder`'s."""

    def __init__(
        self,
        architecture: Architecture,
        shape: Shape,
        hidden: int,
        width: int,
        latent: int,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(latent, hidden)
        self.activation = _ACTIVATIONS[activation]()
        self.image = _image(architecture, shape, hidden, width, _ACTIVATIONS[activation])

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.image(self.activation(self.dense(z)))
        return logits


class LatentDiscriminator(nn.Module):
    """D(z): code (B, latent) → logit of "drawn from the prior", (B,); three hidden layers."""

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(latent, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, 1),
        )

    def forward(self, z: Tensor) -> Tensor:
        logit: Tensor = self.layers(z)[:, 0]
        return logit


def _features(
    architecture: Architecture, shape: Shape, hidden: int, width: int, activation: type[nn.Module]
) -> nn.Sequential:
    """(B, C, H, W) → (B, hidden)."""
    channels, height, wide = shape
    if architecture == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * wide, hidden), activation())
    layers: list[nn.Module] = []
    sizes = _sizes(shape, width)
    for (before, _, _), (after, _, _) in pairwise(sizes):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), activation()]
    channels, height, wide = sizes[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * wide, hidden), activation())


def _image(
    architecture: Architecture, shape: Shape, hidden: int, width: int, activation: type[nn.Module]
) -> nn.Sequential:
    """(B, hidden) → (B, C, H, W)."""
    channels, height, wide = shape
    if architecture == "mlp":
        return nn.Sequential(nn.Linear(hidden, channels * height * wide), nn.Unflatten(1, shape))
    sizes = _sizes(shape, width)[::-1]
    smallest = sizes[0]
    layers: list[nn.Module] = [
        *(nn.Linear(hidden, smallest[0] * smallest[1] * smallest[2]), activation(), nn.Unflatten(1, smallest))
    ]
    for (before, _, _), (after, _, _) in pairwise(sizes):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), activation()]
    return nn.Sequential(*layers[:-1])


def _sizes(shape: Shape, width: int) -> list[Shape]:
    """(C, H, W) of the image and behind each convolution: halved while the side is even and above 4."""
    sizes = [shape]
    while min(sizes[-1][1:]) > 4 and sizes[-1][1] % 2 == sizes[-1][2] % 2 == 0:
        _, height, wide = sizes[-1]
        sizes.append((width * 2 ** (len(sizes) - 1), height // 2, wide // 2))
    return sizes
