"""What networks cost: counts against sums by hand; the network and torch are left as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epochal.evidence.metrics.cost import Latency, latency, macs, parameters
from epochal.systems.nets.classifiers import build


def test_a_small_network_by_hand() -> None:
    """Strides, groups, a transposed convolution, a dense layer and one that is used twice, each worked out."""
    twice = nn.Linear(6, 6)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2),  # 8 → 4 places: 4·4 values, 1·3 each
        nn.ConvTranspose1d(4, 3, 2, stride=2),  # 4 → 8 places: 4·4 input values, 3·2 each
        nn.ReLU(),
        nn.Conv1d(3, 6, 8),  # 1 place: 6 values, 3·8 each
        nn.Flatten(),
        twice,
        twice,  # 6·6 each time
    )
    expected = 4 * 4 * 1 * 3 + 4 * 4 * 3 * 2 + 6 * 3 * 8 + 2 * 6 * 6
    assert macs(net, torch.zeros(1, 2, 8)) == expected
    assert macs(net, torch.zeros(5, 2, 8)) == expected, "five items cost each as much as one"
    assert parameters(net) == (4 * 1 * 3 + 4) + (4 * 3 * 2 + 3) + (6 * 3 * 8 + 6) + (36 + 6)


def test_the_student_on_a_window_of_500() -> None:
    """WRN16-1 in one dimension, summed layer by layer from the paper's table."""
    stem = 500 * 16 * 3 * 3
    first = 4 * (500 * 16 * 16 * 3)
    second = 250 * 32 * (16 * 3 + 16) + 3 * (250 * 32 * 32 * 3)
    third = 125 * 64 * (32 * 3 + 32) + 3 * (125 * 64 * 64 * 3)
    net = build("wrn16-1", 3, 14, 1)
    assert macs(net, torch.zeros(1, 3, 500)) == stem + first + second + third + 64 * 14
    assert parameters(net) == 61_374


def test_pictures_and_a_published_count() -> None:
    """ResNet-18 on 224x224 pictures takes 1.82 thousand million multiply-accumulates (He et al. 2016: 1.8)."""
    net = build("resnet18", 3, 1000, 2)
    assert macs(net, torch.zeros(1, 3, 224, 224)) == pytest.approx(1.814e9, rel=1e-3)


def test_shared_weights_count_once() -> None:
    """Two layers that share their weights store them once."""
    first, second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
    second.weight = first.weight
    assert parameters(nn.Sequential(first, second)) == 25


def test_everything_is_left_as_it_was() -> None:
    """Modes part by part, norms, hooks and torch's threads, also where the network fails."""
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Dropout()).train()
    net[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measured = latency(net, torch.randn(3, 1, 9), rounds=5)
        macs(net, torch.randn(3, 1, 9))
        for measure in (latency, macs):
            with pytest.raises(RuntimeError):
                measure(net, torch.randn(1, 7, 9))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert isinstance(measured, Latency) and measured.rounds == 5
    assert 0 < measured.low_ms <= measured.median_ms <= measured.high_ms
    assert [part.training for part in net] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(part._forward_hooks for part in net.modules())


def test_nothing_to_measure_with_is_refused() -> None:
    """No item, no rounds."""
    for call in (
        lambda: macs(nn.Identity(), torch.zeros(0, 3)),
        lambda: latency(nn.Identity(), torch.zeros(1), 0),
    ):
        with pytest.raises(ValueError, match="at least one item"):
            call()
