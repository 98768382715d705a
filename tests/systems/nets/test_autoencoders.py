"""Encoders and decoders of every size have the layers that are promised, and undo each other's shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epochal.systems.nets import autoencoders
from epochal.systems.nets.autoencoders import Architecture, Shape, Sizes

SHAPES: tuple[Shape, ...] = ((1, 28, 28), (3, 32, 32), (3, 64, 64))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_shapes(architecture: Architecture, shape: Shape) -> None:
    """Images of the three sizes become codes, codes become logits of the same size; so do batches of one."""
    sizes = Sizes(architecture, shape, 50, 4, 7)
    for n in (1, 5):
        x = torch.rand(n, *shape)
        assert autoencoders.Encoder(sizes)(x).shape == (n, 7)
        mean, log_variance = autoencoders.GaussianEncoder(sizes)(x)
        assert mean.shape == log_variance.shape == (n, 7)
        assert autoencoders.Decoder(sizes)(mean).shape == x.shape
    assert autoencoders.LatentDiscriminator(7, 50)(mean).shape == (5,)


def test_the_dense_network_is_784_400_40_400_784() -> None:
    """Weights and biases of the reference's network, and no layer more: 652,824 parameters."""
    shapes = [
        tuple(p.shape)
        for net in (autoencoders.GaussianEncoder, autoencoders.Decoder)
        for p in net(Sizes("mlp", (1, 28, 28), 400, 32, 40)).parameters()
        if p.dim() == 2
    ]
    assert shapes == [(400, 784), (40, 400), (40, 400), (400, 40), (784, 400)]


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((1, 28, 28), [1, 8, 16]), ((3, 32, 32), [3, 8, 16, 32]), ((3, 64, 64), [3, 8, 16, 32, 64])],
)
def test_convolutions_halve_to_seven_or_four(shape: Shape, channels: list[int]) -> None:
    """28 → 14 → 7, 32 → … → 4, 64 → … → 4, channels doubling; the decoder goes the same way back."""
    encoder = autoencoders.Encoder(Sizes("conv", shape, 50, 8, 7))
    decoder = autoencoders.Decoder(Sizes("conv", shape, 50, 8, 7))
    down = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [down[0].in_channels, *(m.out_channels for m in down)] == channels
    assert [up[0].in_channels, *(m.out_channels for m in up)] == channels[::-1]
    side = encoder.features(torch.zeros(1, *shape)).shape
    assert side == (1, 50)
    last = nn.Sequential(*list(encoder.features)[: 2 * len(down)])(torch.zeros(1, *shape))
    assert last.shape[-1] == (7 if shape[1] == 28 else 4)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_logits_reach_both_signs(architecture: Architecture) -> None:
    """The last layer has no ReLU: a decoder that could not say "black" would never learn the background."""
    torch.manual_seed(0)
    logits = autoencoders.Decoder(Sizes(architecture, (1, 28, 28), 50, 4, 7))(torch.randn(50, 7))
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_the_activation_is_that_of_every_hidden_layer(architecture: Architecture) -> None:
    """GELU where it is asked for, and then no ReLU is left; the weights are the same in number."""
    nets = [
        net(Sizes(architecture, (1, 28, 28), 50, 4, 7, "gelu"))
        for net in (autoencoders.GaussianEncoder, autoencoders.Decoder)
    ]
    kinds = [type(module) for net in nets for module in net.modules()]
    assert nn.ReLU not in kinds and kinds.count(nn.GELU) == (2 if architecture == "mlp" else 6)
    assert nets[1](nets[0](torch.rand(2, 1, 28, 28))[0]).shape == (2, 1, 28, 28)
