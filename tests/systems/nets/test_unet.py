"""U-Net: the paper's channels, any size in and the same size out, and what padding does to the borders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from epochal.systems.nets.unet import UNet, padded


def test_the_papers_sizes() -> None:
    """64 … 1,024 channels and 31.04 million weights: the paper's convolutions without their biases, plus norms."""
    net = UNet(1, 2)
    widths = [block[0].out_channels for block in net.encoder]
    assert widths == [64, 128, 256, 512, 1024]
    convolutions = 0
    for before, after in zip([1, *widths], widths, strict=False):
        convolutions += 9 * before * after + 9 * after * after
    for width in widths[:-1]:
        convolutions += 4 * 2 * width * width + width + 9 * 2 * width * width + 9 * width * width
    norms = 2 * 2 * (sum(widths) + sum(widths[:-1]))
    assert sum(p.numel() for p in net.parameters()) == convolutions + norms + 2 * 64 + 2


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(1, 5))
def test_any_size(height: int, width: int, channels: int, classes: int) -> None:
    """Every picture is answered at its own size, with any number of channels and classes."""
    net = UNet(channels, classes, base=2).eval()
    with torch.no_grad():
        assert net(torch.rand(2, channels, height, width)).shape == (2, classes, height, width)


@settings(max_examples=40, deadline=None)
@given(st.integers(9, 50), st.integers(9, 50))
def test_padding_is_torchs_reflection(height: int, width: int) -> None:
    """Where torch's own reflection is defined, ours equals it; cropping gives the picture back."""
    x = torch.rand(1, 2, height, width)
    larger, cropped = padded(x, 16)
    rows, columns = larger.shape[-2] - height, larger.shape[-1] - width
    sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    assert torch.equal(larger, F.pad(x, sides, mode="reflect"))
    assert larger.shape[-2] % 16 == larger.shape[-1] % 16 == 0
    assert torch.equal(cropped(larger), x)


def test_padding_of_a_side_shorter_than_what_is_missing() -> None:
    """Three pixels become sixteen by going back and forth: 0 1 2 1 0 1 …"""
    larger, _ = padded(torch.tensor([[10.0, 11.0, 12.0]]).expand(16, 3), 16)
    assert larger[0].tolist() == [12, 11, *[10, 11, 12, 11] * 3, 10, 11]


def test_a_multiple_of_sixteen_is_left_alone() -> None:
    """No copy is made of a picture that fits."""
    x = torch.rand(1, 1, 32, 48)
    assert padded(x, 16)[0] is x


def test_skips_reach_the_head() -> None:
    """A pixel's own neighbourhood decides its logits even when all that comes from below is silenced."""
    torch.manual_seed(0)
    net = UNet(1, 2, base=4).eval()
    for up in net.up:
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
    x = torch.rand(1, 1, 32, 32)
    other = x.clone()
    other[..., 8, 8] += 1
    with torch.no_grad():
        changed = (net(x) - net(other)).abs().sum(1)[0] > 0
    assert changed[8, 8] and not changed[20:, 20:].any()


def test_every_weight_is_trained() -> None:
    """Each parameter gets a gradient that is not zero everywhere: nothing hangs loose."""
    torch.manual_seed(0)
    net = UNet(1, 3, base=4)
    F.cross_entropy(net(torch.rand(2, 1, 32, 32)), torch.randint(0, 3, (2, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_wrong_numbers_are_refused() -> None:
    """No channels: the message names the value."""
    with pytest.raises(ValueError, match="base=0"):
        UNet(base=0)


def test_the_root_of_the_picture() -> None:
    """With `root` the same weights see in a picture what they see in the root of it without."""
    torch.manual_seed(0)
    plain, rooted = UNet(1, 2, 2).eval(), UNet(1, 2, 2, root=True).eval()
    rooted.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 20, 16)
    torch.testing.assert_close(rooted(x), plain(x.sqrt()))
    assert not torch.equal(rooted(x), plain(x))
