"""Wide residual networks: published sizes, the paper's arithmetic written out, maps, and one dimension as two."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from epochal.systems.nets.wide_resnet import PreActivated, WideResNet


def count(depth: int, width: int, channels: int, classes: int, dims: int) -> int:
    """Weights by the paper's table, added up: convolutions, two numbers a norm, and the dense layer."""
    kernel = 3**dims
    total, before = kernel * channels * 16, 16
    for out in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            total += kernel * out * (before + out) + 2 * (before + out)
            total += before * out if before != out else 0
            before = out
    return total + 2 * before + (before + 1) * classes


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("depth", "width"), [(10, 1), (16, 1), (16, 3), (28, 1), (40, 2)])
def test_number_of_weights(depth: int, width: int, dims: int) -> None:
    """The count of an independent formula, for other channels and classes too."""
    for channels, classes in ((3, 10), (6, 14)):
        net = WideResNet(depth, width, channels, classes, dims)  # type: ignore[arg-type]
        assert sum(p.numel() for p in net.parameters()) == count(depth, width, channels, classes, dims)


@pytest.mark.parametrize(
    ("depth", "width", "millions"),
    [(16, 1, 0.175), (16, 2, 0.69), (28, 1, 0.37), (40, 1, 0.56), (40, 2, 2.2)],
)
def test_the_published_sizes(depth: int, width: int, millions: float) -> None:
    """Zagoruyko and Komodakis (2016, 2017) state these for CIFAR-10, in millions and two digits."""
    net = WideResNet(depth, width, 3, 10, 2)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize(("depth", "millions"), [(16, 0.06), (28, 0.13)])
def test_sizes_for_signals(depth: int, millions: float) -> None:
    """In one dimension kernels have 3 weights instead of 9: the students have some 60 and 130 thousand weights."""
    net = WideResNet(depth, 1, 3, 14, 1)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor, blocks: int) -> torch.Tensor:
    """The paper's network in eval mode over (B, C, 1, L): kernels (1, 3), formulas written out, no modules."""

    def normal(name: str, y: torch.Tensor) -> torch.Tensor:
        part = {key: state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
        mean, variance, weight, bias = (value.view(1, -1, 1, 1) for value in part.values())
        return ((y - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp(min=0)

    def convolved(name: str, y: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel = state[f"{name}.weight"].unsqueeze(2)  # (out, in, 1, k)
        return F.conv2d(y, kernel, stride=(1, stride), padding=(0, kernel.shape[3] // 2))

    y = convolved("conv1", x)
    for group in (1, 2, 3):
        for block in range(blocks):
            name, stride = f"block{group}.layer.{block}", 2 if group > 1 and block == 0 else 1
            active = normal(f"{name}.bn1", y)
            inner = normal(f"{name}.bn2", convolved(f"{name}.conv1", active, stride))
            inner = convolved(f"{name}.conv2", inner)
            through = f"{name}.convShortcut"
            y = inner + (convolved(through, active, stride) if f"{through}.weight" in state else y)
    return normal("bn1", y).mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(("depth", "width"), [(16, 1), (16, 3), (28, 1)])
def test_it_is_the_papers_arithmetic(depth: int, width: int) -> None:
    """An independent 2-D implementation over pictures of height one, given the 1-D network's weights, answers alike."""
    torch.manual_seed(0)
    net = WideResNet(depth, width, 3, 7, 1).double()
    for _ in range(3):  # norms that have seen something
        net(torch.randn(8, 3, 41, dtype=torch.float64))
    net.eval()
    x = torch.randn(4, 3, 41, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), by_hand(net.state_dict(), x.unsqueeze(2), (depth - 4) // 6))


@pytest.mark.parametrize(("dims", "size"), [(1, (500,)), (1, (101,)), (2, (32, 32)), (2, (17, 9))])
def test_maps(dims: int, size: tuple[int, ...]) -> None:
    """Three outputs at full, half and quarter size (rounded up), under their names; the logits are the same ones."""
    net = WideResNet(16, 2, 3, 5, dims).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        logits, maps = net(x, maps=True)
        assert torch.equal(net(x), logits)
    assert logits.shape == (2, 5) and list(maps) == ["group1", "group2", "group3"]
    for number, kept in enumerate(maps.values()):
        assert kept.shape == (2, 32 * 2**number, *(-(-side // 2**number) for side in size))


def test_a_block_that_adds_nothing_passes_its_input() -> None:
    """With a last convolution of zeros a block of equal shape is the identity, negative values too."""
    block = PreActivated(1, 8, 8).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 9)
    torch.testing.assert_close(block(x), x)


def test_initial_weights() -> None:
    """He-normal by fan-out: a kernel's standard deviation is √(2 / (3·out)); the dense bias is 0."""
    torch.manual_seed(0)
    net = WideResNet(16, 3, 3, 5, 1)
    kernel = net.block3.layer[1].conv1.weight.detach()
    assert float(kernel.std()) == pytest.approx((2 / (3 * 192)) ** 0.5, rel=0.02)
    assert not net.fc.bias.any()


def test_names_are_those_of_public_checkpoints() -> None:
    """Old checkpoints name parameters so, in this order, with nothing of ours between but the input's scaling."""
    names = [name for name, _ in WideResNet(16, 1, 3, 5, 1).named_parameters()]
    assert names[:8] == [
        "conv1.weight",
        *(f"block1.layer.0.{part}" for part in ("bn1.weight", "bn1.bias", "conv1.weight")),
        *(f"block1.layer.0.{part}" for part in ("bn2.weight", "bn2.bias", "conv2.weight")),
        "block1.layer.1.bn1.weight",
    ]
    assert "block2.layer.0.convShortcut.weight" in names and names[-2:] == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize("wrong", [(15, 1, 3, 5, 1), (4, 1, 3, 5, 1), (16, 0, 3, 5, 1), (16, 1, 3, 5, 3)])
def test_wrong_numbers_are_refused(wrong: tuple[int, ...]) -> None:
    """Depths are 6·n + 4, widths at least 1, dimensions 1 or 2; the message holds the values."""
    with pytest.raises(ValueError, match="must hold, but got"):
        WideResNet(*wrong)  # type: ignore[arg-type]
