"""The digit classifiers against plain functions of the same weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from epochal.systems.nets.digits_cnn import DigitsCNN


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("convolutions", "kernel"), [(1, 5), (2, 3)])
def test_is_convolution_norm_relu_pool(convolutions: int, kernel: int, batch_norm: bool) -> None:
    """ReLU after the pooling equals the textbook's order: per stage conv (norm) ReLU …, then max-pooling."""
    torch.manual_seed(0)
    net = DigitsCNN(4, convolutions=convolutions, kernel=kernel, batch_norm=batch_norm).eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:  # in eval mode a norm is an affine map with a positive slope, as after training
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    x = h = torch.rand(3, 1, 28, 28)
    for number, conv in enumerate(module for module in net.modules() if isinstance(module, nn.Conv2d)):
        h = conv(h)
        h = F.relu(norms[number](h) if batch_norm else h)
        h = F.max_pool2d(h, 2) if number % convolutions == convolutions - 1 else h
    assert h.shape == (3, 8, 7, 7)
    torch.testing.assert_close(net(x), net.head(h.flatten(1)))


def test_sizes() -> None:
    """Weights of both structures, counted by hand."""
    one = 5 * 5 * 16 + 16 + 5 * 5 * 16 * 32 + 32
    two = 9 * (16 + 16 * 16 + 16 * 32 + 32 * 32) + 2 * (16 + 16 + 32 + 32)
    dense = 32 * 49 * 128 + 128 + 128 * 10 + 10
    assert sum(p.numel() for p in DigitsCNN().parameters()) == one + dense
    deeper = DigitsCNN(convolutions=2, kernel=3, batch_norm=True)
    assert sum(p.numel() for p in deeper.parameters()) == two + dense
    assert DigitsCNN(classes=26)(torch.zeros(2, 1, 28, 28)).shape == (2, 26)
