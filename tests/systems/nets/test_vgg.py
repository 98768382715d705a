"""VGG-16: its published size and its head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epochal.systems.nets.vgg import VGG16


def _weights(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_it_has_the_published_number_of_weights() -> None:
    """14,724,042 with batch norm and one linear layer, as the CIFAR-10 network of 92.64 % counts without its biases."""
    convolutions = 14_710_464  # Simonyan and Zisserman's configuration D, kernels only
    norms, biases = 2 * 4_224, 4_224
    head = 512 * 10 + 10
    assert _weights(VGG16(batch_norm=True)) == convolutions + norms + head
    assert _weights(VGG16()) == convolutions + biases + head


def test_the_original_head_is_three_dense_layers() -> None:
    """`dense` gives the sixteen weight layers of the paper: thirteen convolutions and three dense ones."""
    net = VGG16(dense=64)
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 16
    assert net.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_width_scales_every_layer() -> None:
    """Half the width has about a quarter of the kernels' weights and the same ten answers."""
    assert _weights(VGG16(width=0.5)) / _weights(VGG16()) == pytest.approx(0.25, abs=0.01)
