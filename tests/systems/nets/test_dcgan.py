"""The DCGAN: published sizes, Keras' shapes, each way of building it, and spectral normalisation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from epochal.systems.nets.dcgan import Discriminator, Generator, Spectral


def trained(net: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in net.parameters())


def test_in_the_tutorials_size_they_have_its_published_numbers_of_weights() -> None:
    """TensorFlow's DCGAN tutorial on 28x28 digits: 2,305,472 trained weights and 25,472 statistics; 212,865."""
    generator = Generator(start=7, channels=1)
    kept = sum(b.numel() for name, b in generator.named_buffers() if "running" in name)
    assert (trained(generator), kept) == (2_305_472, 25_472)
    assert trained(Discriminator(end=7, channels=1)) == 212_865


@pytest.mark.parametrize(
    ("depth", "weights"),
    [
        ("logged", 100 * 16384 + 2 * 16384 + 25 * (256 * 128 + 128 * 64 + 64 * 3) + 2 * (128 + 64)),
        ("deeper", 2_700_352 + 25 * 256 * 256 + 2 * 256),
        ("deepest", 4_339_264 + 25 * (128 * 128 + 64 * 64 + 3 * 3) + 2 * (128 + 64 + 3)),
    ],
)
def test_the_generators_of_the_log_have_the_weights_counted_by_hand(depth: Any, weights: int) -> None:
    """Dense without bias, 5x5 kernels without bias, two weights a channel of every norm; the deeper ones add layers."""
    assert trained(Generator(depth=depth)) == weights


def test_feature_maps_have_keras_sizes() -> None:
    """ "Same" padding: strides of 2 double and halve the side exactly, strides of 1 leave it."""
    sides: list[tuple[int, ...]] = []
    for net, x in (
        (Generator(depth="deepest"), torch.zeros(2, 100)),
        (Discriminator(), torch.zeros(2, 3, 32, 32)),
    ):
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.register_forward_hook(lambda m, i, o: sides.append(tuple(o.shape[1:])))
        net.eval()(x)
    assert sides == [
        *((256, 8, 8), (128, 8, 8), (128, 8, 8)),
        *((64, 16, 16), (64, 16, 16), (3, 32, 32), (3, 32, 32)),
        *((64, 16, 16), (128, 8, 8)),
    ]


def test_conventions_are_keras() -> None:
    """Norms with ε 1e-3 and momentum 0.99 (torch's 0.01), Glorot-uniform weights, and biases of 0."""
    torch.manual_seed(0)
    generator, discriminator = Generator(), Discriminator()
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 3 and {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    limit = (6 / (25 * (256 + 128))) ** 0.5
    weight = generator.layers[0].weight.detach()
    assert float(weight.abs().max()) == pytest.approx(limit, rel=1e-3) and abs(float(weight.mean())) < 1e-3
    assert not any(p.any() for name, p in discriminator.named_parameters() if name.endswith("bias"))


def test_the_papers_weights_are_normal_with_deviation_002() -> None:
    """N(0, 0.02²) for every kernel and matrix, N(1, 0.02²) for the norms' scales, 0 for biases."""
    torch.manual_seed(0)
    for name, p in (
        *Generator(init="normal").named_parameters(),
        *Discriminator(init="normal").named_parameters(),
    ):
        if p.dim() > 1:
            assert (
                float(p.detach().std()) == pytest.approx(0.02, rel=0.05)
                and abs(float(p.detach().mean())) < 2e-3
            ), name
        else:
            assert float(p.detach().mean()) == pytest.approx(0.0 if "bias" in name else 1.0, abs=0.01), name


def test_a_sigmoid_maps_the_logits_and_nothing_else() -> None:
    """With one seed the two discriminators have the same weights, and one's output is the other's behind σ."""
    x = torch.randn(4, 3, 32, 32)
    nets = []
    for sigmoid in (False, True):
        torch.manual_seed(0)
        nets.append(Discriminator(sigmoid=sigmoid).eval())
    with torch.no_grad():
        torch.testing.assert_close(torch.sigmoid(nets[0](x)), nets[1](x))


def test_spectral_norm_is_torchs() -> None:
    """After many power iterations both divide by the largest singular value: same outputs, same gradient of W."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 5, 2, 2)
    reference = spectral_norm(copy.deepcopy(conv), n_power_iterations=200)
    ours = Spectral(copy.deepcopy(conv))
    x = torch.randn(4, 3, 32, 32)
    for _ in range(200):
        ours(x)
    expected, found = reference(x), ours(x)
    largest = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2)
    torch.testing.assert_close(ours.norm().detach(), largest, rtol=1e-4, atol=0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    wanted = reference.parametrizations.weight.original.grad
    torch.testing.assert_close(ours.layer.weight.grad, wanted, rtol=1e-3, atol=1e-3)


def test_looking_at_it_does_not_move_the_power_iteration() -> None:
    """In eval mode u stays to the bit, in train mode it moves; several passes before one backward are allowed."""
    torch.manual_seed(0)
    net = Discriminator(spectral_norm=True)
    x = torch.randn(4, 3, 32, 32)
    before = {name: b.clone() for name, b in net.named_buffers()}
    net.eval()(x)
    assert len(before) == 3 and all(torch.equal(b, before[name]) for name, b in net.named_buffers())
    (net.train()(x).sum() + net(x).sum()).backward()
    assert not torch.equal(net.conv2.u, before["conv2.u"])


def test_spectral_norm_begins_with_the_weights_that_it_divides() -> None:
    """With one seed the discriminators with and without it have the same weights: nothing is drawn for u."""
    weights = []
    for on in (False, True):
        torch.manual_seed(0)
        net = Discriminator(spectral_norm=on)
        weights.append(sorted((tuple(p.shape), float(p.detach().double().sum())) for p in net.parameters()))
    assert weights[0] == weights[1]


def test_a_sigmoid_lets_gradients_through_in_bfloat16() -> None:
    """A logit of 8 is 1 in eight bits: rounded there, an image that is told well would teach nothing at all."""
    net = Discriminator(sigmoid=True).eval().bfloat16()
    with torch.no_grad():
        net.dense.weight.zero_()
        net.dense.bias.fill_(8.0)
    y = net(torch.zeros(2, 3, 32, 32, dtype=torch.bfloat16))
    (slope,) = torch.autograd.grad(y.sum(), net.dense.bias)
    exact = torch.sigmoid(torch.tensor(8.0)) * torch.sigmoid(torch.tensor(-8.0))
    torch.testing.assert_close(slope.float(), 2 * exact[None], rtol=0.01, atol=0)
