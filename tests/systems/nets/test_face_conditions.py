"""The readers of face conditions: the sheet's layers, and what each network sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epochal.systems.nets.face_conditions import SLOPE, WINDOWS, ConditionReader, SexReader

SIDES = {"sex": (120, 120), "hair": (120, 120), "mouth": (60, 60), "eyes": (32, 60)}


def reader(what: str, width: int = 32) -> SexReader | ConditionReader:
    """The network of that name."""
    torch.manual_seed(0)
    return SexReader(width) if what == "sex" else ConditionReader(what, width)


def answer(net: SexReader | ConditionReader, x: torch.Tensor) -> torch.Tensor:
    """What it reads, told 0.3 and 0.7 where it wants to be told the sex."""
    return net(x) if isinstance(net, SexReader) else net(x, torch.tensor([[0.3, 0.7]]).expand(len(x), -1))


@pytest.mark.parametrize("what", SIDES)
def test_the_layers_are_the_sheets(what: str) -> None:
    """32-32-pool-64-pool-64-pool-64-pool, 3x3; dense 512 and 64, or 256/320, the sex joined, 64; counted by hand."""
    height, wide = SIDES[what]
    features = 64 * (height // 16) * (wide // 16)
    convolutions = sum(9 * a * b + b for a, b in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 64)))
    if what == "sex":
        dense = features * 512 + 512 + 512 * 64 + 64 + 64 * 2 + 2
    else:
        units = 256 if what == "hair" else 320
        dense = features * units + units + (units + 2) * 64 + 64 + 64 + 1
    net = reader(what)
    assert sum(p.numel() for p in net.parameters()) == convolutions + dense
    kinds = [type(module) for module in net.trunk]
    pairs = [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    assert kinds == [nn.Conv2d, nn.ReLU, *4 * pairs, nn.Flatten] and SLOPE == 0.06
    rows, columns = WINDOWS[what]
    assert (rows.stop - rows.start, columns.stop - columns.start) == (height, wide)


@pytest.mark.parametrize("what", SIDES)
def test_a_network_sees_its_window_only(what: str) -> None:
    """The gradient of its answer is nowhere outside of the window, and reaches all corners of it."""
    net = reader(what, 8)
    x = torch.rand(2, 3, 120, 120, requires_grad=True)
    answer(net, x).square().sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    rows, columns = WINDOWS[what]
    inside = torch.zeros_like(seen)
    inside[rows, columns] = True
    assert not seen[~inside].any()
    # Poolings round down: the last few rows and columns may be left out.
    assert seen[rows, columns][:-12, :-12].float().mean() > 0.9


def test_answers_are_probabilities_and_depend_on_the_sex() -> None:
    """Conditions lie between 0 and 1; the same face with another sex is read differently."""
    net, x = reader("mouth", 8), torch.rand(4, 3, 120, 120)
    man, woman = (net(x, torch.tensor([sex]).expand(4, -1)) for sex in ([1.0, 0.0], [0.0, 1.0]))
    assert man.shape == (4,) and bool(((man > 0) & (man < 1)).all())
    assert not torch.allclose(man, woman)


def test_labels_are_remembered() -> None:
    """Count and mean of the training labels travel with the weights; without labels the mean is 0.5."""
    net = reader("hair", 4)
    assert float(net.labels.count) == 0 and float(net.labels.mean) == 0.5
    net.labels.learn(torch.empty(0, 1))
    assert float(net.labels.mean) == 0.5
    net.labels.learn(torch.tensor([[0.2], [0.4]]))
    other = reader("hair", 4)
    other.load_state_dict(net.state_dict())
    assert float(other.labels.count) == 2 and float(other.labels.mean) == pytest.approx(0.3)
