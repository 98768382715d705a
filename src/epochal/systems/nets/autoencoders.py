"""Encoders and decoders for small images, dense or convolutional, and a discriminator of latent codes.

Images are (B, C, H, W) in [0, 1]. Decoders give logits: the image is their sigmoid, and a Bernoulli likelihood reads
them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

Shape = tuple[int, int, int]  # channels, height, width
Architecture = Literal["mlp", "conv"]
Activation = Literal["relu", "gelu"]


@dataclass(frozen=True)
class Sizes:
    """What an encoder and its decoder agree on.

    Attributes:
        architecture: "mlp" has one hidden layer, "conv" halves the image until its side is odd or 4.
        shape: (C, H, W) of an image.
        hidden: units of the hidden dense layer.
        width: channels of the first convolution; each further one has twice as many.
        latent: length of the code.
        activation: of all hidden layers.
    """

    architecture: Architecture
    shape: Shape
    hidden: int
    width: int
    latent: int
    activation: Activation = "relu"

    def nonlinearity(self) -> nn.Module:
        """A new layer of the activation."""
        return nn.ReLU() if self.activation == "relu" else nn.GELU()


class Encoder(nn.Module):
    """z = f(x): image (B, C, H, W) → code (B, latent)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.features = _features(sizes)
        self.code = nn.Linear(sizes.hidden, sizes.latent)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.code(self.features(x))
        return z


class GaussianEncoder(nn.Module):
    """q(z | x): image (B, C, H, W) → mean and log-variance, each (B, latent)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.features = _features(sizes)
        self.mean = nn.Linear(sizes.hidden, sizes.latent)
        self.log_variance = nn.Linear(sizes.hidden, sizes.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """g(z): code (B, latent) → logits (B, C, H, W); the encoder's layers backwards."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.dense = nn.Linear(sizes.latent, sizes.hidden)
        self.activation = sizes.nonlinearity()
        self.image = _image(sizes)

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


def _features(sizes: Sizes) -> nn.Sequential:
    """(B, C, H, W) → (B, hidden)."""
    if sizes.architecture == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(sizes.shape), sizes.hidden), sizes.nonlinearity())
    layers: list[nn.Module] = []
    shapes = _shapes(sizes)
    for (before, _, _), (after, _, _) in pairwise(shapes):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), sizes.nonlinearity()]
    dense = nn.Linear(prod(shapes[-1]), sizes.hidden)
    return nn.Sequential(*layers, nn.Flatten(), dense, sizes.nonlinearity())


def _image(sizes: Sizes) -> nn.Sequential:
    """(B, hidden) → (B, C, H, W)."""
    if sizes.architecture == "mlp":
        return nn.Sequential(nn.Linear(sizes.hidden, prod(sizes.shape)), nn.Unflatten(1, sizes.shape))
    shapes = _shapes(sizes)[::-1]
    layers: list[nn.Module] = [
        *(nn.Linear(sizes.hidden, prod(shapes[0])), sizes.nonlinearity(), nn.Unflatten(1, shapes[0]))
    ]
    for (before, _, _), (after, _, _) in pairwise(shapes):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), sizes.nonlinearity()]
    return nn.Sequential(*layers[:-1])  # the last layer gives logits


def _shapes(sizes: Sizes) -> list[Shape]:
    """(C, H, W) of the image and behind each convolution: halved while the side is even and above 4."""
    shapes = [sizes.shape]
    while min(shapes[-1][1:]) > 4 and shapes[-1][1] % 2 == shapes[-1][2] % 2 == 0:
        _, height, wide = shapes[-1]
        shapes.append((sizes.width * 2 ** (len(shapes) - 1), height // 2, wide // 2))
    return shapes
