"""ResNet-8 and ResNet-18 for signals and pictures: published sizes, maps, an independent forward pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from epochal.systems.nets.small_resnet import PostActivated, ResNet8, ResNet18


@pytest.mark.parametrize(
    ("kind", "classes", "weights"), [(ResNet8, 10, 78_042), (ResNet18, 1000, 11_689_512)]
)
def test_they_have_the_published_numbers_of_weights(kind: type, classes: int, weights: int) -> None:
    """ResNet-18 as torchvision counts it for ImageNet, ResNet-8 (0.08 M) as the distillation papers' programs do."""
    assert sum(p.numel() for p in kind(3, classes, 2).parameters()) == weights


@pytest.mark.parametrize("kind", [ResNet8, ResNet18])
@pytest.mark.parametrize(("dims", "size"), [(1, (500,)), (1, (77,)), (2, (64, 33))])
def test_maps(kind: type, dims: int, size: tuple[int, ...]) -> None:
    """Three outputs, each half as long as the one before; ResNet-18's are its last three stages, from an eighth on."""
    net = kind(6, 5, dims).eval()
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        logits, maps = net(x, maps=True)
        assert torch.equal(net(x), logits)
    first, channels = (1, 16) if kind is ResNet8 else (8, 128)
    assert logits.shape == (2, 5) and list(maps) == ["group1", "group2", "group3"]
    for number, kept in enumerate(maps.values()):
        sides = (-(-side // (first * 2**number)) for side in size)
        assert kept.shape == (2, channels * 2**number, *sides)


def test_it_is_the_papers_arithmetic() -> None:
    """ResNet-8 over a signal equals formulas written out over pictures of height one with kernels (1, 3)."""
    torch.manual_seed(0)
    net = ResNet8(3, 4, 1).double()
    net(torch.randn(16, 3, 41, dtype=torch.float64))
    net.eval()
    state = net.state_dict()

    def through(conv: str, norm: str, y: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel = state[f"{conv}.weight"].unsqueeze(2)
        y = F.conv2d(y, kernel, stride=(1, stride), padding=(0, kernel.shape[3] // 2))
        part = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        mean, variance, weight, bias = (value.view(1, -1, 1, 1) for value in part)
        return (y - mean) / (variance + 1e-5).sqrt() * weight + bias

    x = torch.randn(4, 3, 41, dtype=torch.float64)
    y = through("conv1", "bn1", x.unsqueeze(2)).relu()
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        name = f"layer{stage}.0"
        inner = through(f"{name}.conv1", f"{name}.bn1", y, stride).relu()
        inner = through(f"{name}.conv2", f"{name}.bn2", inner)
        short = y if stage == 1 else through(f"{name}.downsample.0", f"{name}.downsample.1", y, stride)
        y = (inner + short).relu()
    with torch.no_grad():
        torch.testing.assert_close(net(x), y.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"])


def test_a_block_that_adds_nothing_passes_what_is_positive() -> None:
    """With a last norm of zeros a block of equal shape is the ReLU of its input."""
    block = PostActivated(2, 8, 8).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize("kind", [ResNet8, ResNet18])
def test_every_weight_is_trained(kind: type) -> None:
    """Each parameter gets a gradient that is not zero everywhere: every shortcut and stage is connected."""
    torch.manual_seed(0)
    net = kind(3, 5, 1)
    F.cross_entropy(net(torch.randn(8, 3, 64)), torch.arange(8) % 5).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize("kind", [ResNet8, ResNet18])
def test_wrong_numbers_are_refused(kind: type) -> None:
    """No channels, no classes, three dimensions."""
    for wrong in ((0, 5, 1), (3, 0, 1), (3, 5, 3)):
        with pytest.raises(ValueError, match="must hold, but got"):
            kind(*wrong)
