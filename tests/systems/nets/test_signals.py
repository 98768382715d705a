"""The scaling of a network's input: learnt once, kept with the weights, undone by none."""

from __future__ import annotations

import pytest
import torch

from epochal.systems.nets.signals import Scaled
from epochal.systems.nets.small_resnet import ResNet8


@pytest.mark.parametrize("size", [(50,), (7, 9)])
def test_channels_are_scaled_one_by_one(size: tuple[int, ...]) -> None:
    """With means and deviations learnt, each channel has mean 0 and deviation 1; before, nothing changes."""
    torch.manual_seed(0)
    x = torch.randn(20, 2, *size) * 3 + torch.tensor([5.0, -1000.0]).view(1, 2, *(1 for _ in size))
    layer = Scaled(2)
    assert torch.equal(layer(x), x)
    over = (0, *range(2, x.ndim))
    layer.learn(x.mean(over), x.std(over))
    torch.testing.assert_close(layer(x).mean(over), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(layer(x).std(over), torch.ones(2), atol=1e-4, rtol=0)


def test_it_goes_along_with_the_weights() -> None:
    """A network filled from another's state dict answers raw units alike; training does not change the scaling."""
    first, second = ResNet8(3, 4, 1), ResNet8(3, 4, 1)
    first.scaled.learn(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 4.0, 100.0]))
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 3, 30) * 50
    assert torch.equal(first.eval()(x), second.eval()(x))
    assert not [name for name, _ in first.named_parameters() if name.startswith("scaled")]


@pytest.mark.parametrize(
    ("shift", "width"),
    [([0.0], [1.0]), ([0.0, 0.0], [1.0, 0.0]), ([0.0, float("nan")], [1.0, 1.0]), ([0.0, 0.0], [1.0, -2.0])],
)
def test_no_scaling_that_would_spoil_the_input(shift: list[float], width: list[float]) -> None:
    """One number for two channels, a width of 0 or below, and NaN are refused, and nothing changes."""
    layer = Scaled(2)
    with pytest.raises(ValueError, match=r"shift .* and width .* must"):
        layer.learn(torch.tensor(shift), torch.tensor(width))
    assert layer.width.tolist() == [1, 1] and layer.shift.tolist() == [0, 0]
