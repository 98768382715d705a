"""ResNet-U-Net: the encoder is ResNet-50's, stage by stage, and the decoder brings back the picture's size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from epochal.systems.nets.resnet_unet import ResNetUNet


@pytest.mark.parametrize(
    ("stages", "channels", "blocks"),
    [(2, [256, 512], [3, 4]), (4, [256, 512, 1024, 2048], [3, 4, 6, 3])],
)
def test_the_encoder_is_resnet_50(stages: int, channels: list[int], blocks: list[int]) -> None:
    """Stem 64 at 1/2, then 256 at 1/4, 512 at 1/8, and for the whole 1,024 at 1/16 and 2,048 at 1/32."""
    net = ResNetUNet(stages=stages).eval()
    with torch.no_grad():
        h = net.stem(torch.rand(1, 3, 64, 64))
        assert h.shape == (1, 64, 32, 32)
        h = net.pool(h)
        for number, stage in enumerate(net.stages):
            h = stage(h)
            assert h.shape == (1, channels[number], 16 >> number, 16 >> number)
            assert len(stage) == blocks[number]


def test_weights_of_the_whole_encoder() -> None:
    """ResNet-50 without its dense layer has 23,508,032 weights (He et al. 2016, as published models count)."""
    net = ResNetUNet(stages=4)
    count = sum(p.numel() for part in (net.stem, net.stages) for p in part.parameters())
    assert count == 23_508_032


@pytest.mark.parametrize("size", [(64, 64), (50, 33), (1, 7)])
@pytest.mark.parametrize("stages", [1, 2, 4])
def test_any_size(size: tuple[int, int], stages: int) -> None:
    """Pictures that fit no multiple of the stride are answered at their own size, with 22 classes."""
    net = ResNetUNet(stages=stages, width=4).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 3, *size)).shape == (2, 22, *size)


def test_every_weight_is_trained() -> None:
    """Each parameter gets a gradient that is not zero everywhere: every skip and stage is connected."""
    torch.manual_seed(0)
    net = ResNetUNet(stages=4, width=4)
    F.cross_entropy(net(torch.rand(2, 3, 64, 64)), torch.randint(0, 22, (2, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_wrong_numbers_are_refused() -> None:
    """ResNet-50 has four stages."""
    with pytest.raises(ValueError, match="stages=5"):
        ResNetUNet(stages=5)
