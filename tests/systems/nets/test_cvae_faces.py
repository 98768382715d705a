"""The face C-VAE's networks: sizes by hand, Keras' padding exactly, side paths, and what a condition's ends are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from epochal.systems.nets import cvae_faces


def count(module: torch.nn.Module) -> int:
    """Trained numbers of a module."""
    return sum(p.numel() for p in module.parameters())


def test_the_encoders_size_by_hand() -> None:
    """Four 4x4 convolutions, dense 192, three dense 64 that read image, 60x60 and 30x30 features, and two heads;
    the condition (5) enters every dense layer."""
    with torch.device("meta"):
        encoder = cvae_faces.Encoder(48, 0.45)
    convolutions = [16 * 3 * 32 + 32, 16 * 32 * 48 + 48, 16 * 48 * 64 + 64, 16 * 64 * 96 + 96]
    dense = (96 * 225 + 5) * 192 + 192
    sides = [(features + 5) * 64 + 64 for features in (43_200, 32 * 3600, 48 * 900)]
    heads = 2 * ((192 + 3 * 64 + 5) * 48 + 48)
    assert count(encoder) == sum(convolutions) + dense + sum(sides) + heads == 17_263_152


@pytest.mark.parametrize(
    ("side_path", "of_them"), [("dense", 48_114_000), ("broadcast", 16_200), ("none", 0)]
)
def test_the_decoders_size_by_hand(side_path: cvae_faces.SidePath, of_them: int) -> None:
    """Dense 256, dense to 15x15x120, four 4x4 transposed convolutions, and side paths of 53 inputs and a bias to
    891,000 outputs (27,000 + 72,000 + 216,000 + 576,000), to 300 channels, or none."""
    with torch.device("meta"):
        decoder = cvae_faces.Decoder(48, 0.45, side_path=side_path)
    dense = (48 + 5) * 256 + 256 + 256 * 27_000 + 27_000
    up = [16 * 120 * 80 + 80, 16 * 80 * 60 + 60, 16 * 60 * 40 + 40, 16 * 40 * 3 + 3]
    assert of_them == {"dense": 54 * 891_000, "broadcast": 54 * 300, "none": 0}[side_path]
    assert count(decoder.sides) == of_them
    assert count(decoder) == dense + sum(up) + of_them


def test_padding_is_keras_same() -> None:
    """At stride 1 a 4x4 kernel sees one row before and two after; the transposed layer is that layer's gradient. At
    stride 2 it is one row on both sides, so sizes halve and double exactly."""
    torch.manual_seed(0)
    encoder, decoder = cvae_faces.Encoder(4, 0.0, width=0.1), cvae_faces.Decoder(4, 0.0, width=0.1)
    h = torch.randn(2, encoder.conv4.in_channels, 15, 15)
    kernel, bias = encoder.conv4.weight, encoder.conv4.bias
    expected = F.conv2d(F.pad(h, (1, 2, 1, 2)), kernel, bias)
    torch.testing.assert_close(encoder.conv4(h)[:, :, 1:, 1:], expected)

    g = torch.randn(2, decoder.out.in_channels, 120, 120)
    image = torch.zeros(2, 3, 120, 120, requires_grad=True)
    seen = F.conv2d(F.pad(image, (1, 2, 1, 2)), decoder.out.weight)
    (transposed,) = torch.autograd.grad(seen, image, g)
    torch.testing.assert_close(
        decoder.out(g)[:, :, :120, :120], transposed + decoder.out.bias[:, None, None], rtol=1e-4, atol=1e-4
    )
    assert encoder.conv1(torch.zeros(1, 3, 120, 120)).shape[2:] == (60, 60)
    assert decoder.up1(torch.zeros(1, decoder.up1.in_channels, 15, 15)).shape[2:] == (30, 30)


@pytest.mark.parametrize("side_path", ["dense", "broadcast", "none"])
def test_side_paths_add_to_the_feature_maps(side_path: cvae_faces.SidePath) -> None:
    """With everything but the last side path and the last layer silenced, the image is SiLU of that layer of
    SiLU(dense(z, c)): in position order (Keras' reshape) when dense, one number a channel when broadcast, nothing
    without."""
    torch.manual_seed(0)
    decoder = cvae_faces.Decoder(4, 0.0, side_path=side_path, width=0.1)
    channels = decoder.out.in_channels
    with torch.no_grad():
        for layer in (decoder.up3, *decoder.sides[:3]):
            for p in layer.parameters():
                p.zero_()
    z, c = torch.randn(3, 4), torch.rand(3, 5)
    code = torch.cat([z, c], 1)
    if side_path == "none":
        added = torch.zeros(3, channels, 120, 120)
    elif side_path == "dense":
        added = F.silu(decoder.sides[3](code)).reshape(3, 120, 120, channels).permute(0, 3, 1, 2)
    else:
        added = F.silu(decoder.sides[3](code))[:, :, None, None].expand(3, channels, 120, 120)
    expected = F.silu(decoder.out(added)[:, :, :120, :120])
    torch.testing.assert_close(decoder(z, c), expected, rtol=1e-4, atol=1e-5)


def test_bounded_posteriors_stay_between_minus_one_and_one() -> None:
    """Tanh on mean and log-variance where asked for; without it the same weights give more."""
    torch.manual_seed(0)
    encoder = cvae_faces.Encoder(4, 0.0, width=0.1)
    with torch.no_grad():
        for head in (encoder.mean, encoder.log_variance):
            head.weight.mul_(100)
    x, c = torch.rand(3, 3, 120, 120), torch.rand(3, 5)
    bounded = encoder(x, c)
    encoder.bounded = False
    for held, free in zip(bounded, encoder(x, c), strict=True):
        assert held.abs().max() <= 1 < free.abs().max()
        torch.testing.assert_close(held, free.tanh())


def test_ends_of_the_conditions() -> None:
    """Percentiles 5, 50 and 95 of what is trained on; a condition that never varies has the ends 0 and 1, as sex."""
    condition = cvae_faces.Condition()
    c = torch.stack([torch.linspace(0.2, 0.8, 101)] * 5, 1)
    c[:, 4] = 0.3
    condition.fit(c)
    torch.testing.assert_close(condition.low, torch.tensor([0, 0, 0.23, 0.23, 0]))
    torch.testing.assert_close(condition.middle, torch.tensor([0.5, 0.5, 0.5, 0.5, 0.3]))
    torch.testing.assert_close(condition.high, torch.tensor([1, 1, 0.77, 0.77, 1]))
