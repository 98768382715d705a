"""Residual networks: their published sizes, the logged variant, and what a block does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epochal.systems.nets.resnet import BasicBlock, Bottleneck, LoggedResNet50, ResNet18, ResNet50


@pytest.mark.parametrize(("net", "weights"), [(ResNet18, 11_173_962), (ResNet50, 23_520_842)])
def test_they_have_the_published_numbers_of_weights(net: type[nn.Module], weights: int) -> None:
    """The counts that kuangliu/pytorch-cifar's networks have, whose accuracies are the reference."""
    assert sum(p.numel() for p in net().parameters()) == weights


def test_the_logged_network_ends_with_1024_features_at_2x2() -> None:
    """The log's stages end at 1,024 channels; 32x32 images have shrunk to 2x2 by then."""
    net = LoggedResNet50().eval()
    with torch.no_grad():
        features = net.stages(net.stem(torch.zeros(1, 3, 32, 32)))
    assert features.shape == (1, 1024, 2, 2)
    assert net.head.in_features == 1024


def test_without_inner_relus_a_bottleneck_is_linear_up_to_its_last_relu() -> None:
    """In eval mode conv–norm–conv–norm–conv–norm is affine: f(x) + f(-x) = 2 f(0) before the final ReLU."""
    torch.manual_seed(0)
    block = Bottleneck(8, 4, inner_relu=False).double().eval()
    x = torch.randn(2, 8, 5, 5, dtype=torch.float64)

    def inner(x: torch.Tensor) -> torch.Tensor:
        y = block.norm2(block.conv2(block._between(block.norm1(block.conv1(x)))))
        return block.norm3(block.conv3(block._between(y)))

    torch.testing.assert_close(inner(x) + inner(-x), 2 * inner(torch.zeros_like(x)))
    block.inner_relu = True
    assert not torch.allclose(inner(x) + inner(-x), 2 * inner(torch.zeros_like(x)))


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_whose_last_norm_is_zero_passes_its_input(block: type[nn.Module]) -> None:
    """With nothing added a residual block of equal shape is the ReLU of its input: the shortcut is the identity."""
    width = 8 // block.expansion
    one = block(8, width).eval()
    last = one.norm2 if block is BasicBlock else one.norm3
    nn.init.zeros_(last.weight)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(one(x), x.relu())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_stride_halves_the_picture(stride: int) -> None:
    """Odd sizes round up, as a padded 3x3 convolution of stride 2 does, and the shortcut follows."""
    assert Bottleneck(6, 4, stride)(torch.zeros(1, 6, 7, 7)).shape == (
        1,
        16,
        -(-7 // stride),
        -(-7 // stride),
    )
