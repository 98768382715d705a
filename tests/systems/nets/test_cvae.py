"""The networks of cvae-digits have the shapes of its sheet, and the condition measures what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from epochal.systems.nets import cvae

# name: (weight shape, output shape of one image); convolutions (out, in, 3, 3), transposed ones (in, out, 3, 3).
ENCODER = {
    "conv1": ((32, 1, 3, 3), (32, 14, 14)),
    "conv2": ((64, 32, 3, 3), (64, 7, 7)),
    "conv3": ((128, 64, 3, 3), (128, 7, 7)),
    "dense": ((256, 6272 + 11), (256,)),
    "side": ((64, 784), (64,)),
    "mean": ((40, 320), (40,)),
    "log_variance": ((40, 320), (40,)),
}
DECODER = {
    "dense1": ((320, 51), (320,)),
    "dense2": ((7840, 320), (7840,)),
    "up1": ((160, 80, 3, 3), (80, 14, 14)),
    "up2": ((80, 40, 3, 3), (40, 28, 28)),
    "out": ((40, 1, 3, 3), (1, 28, 28)),
}


@pytest.mark.parametrize(("kind", "sheet"), [(cvae.Encoder, ENCODER), (cvae.Decoder, DECODER)])
def test_layers_are_those_of_the_sheet(
    kind: type[nn.Module], sheet: dict[str, tuple[tuple[int, ...], ...]]
) -> None:
    """Weights, outputs, biases and the number of parameters, layer by layer, and no layer more."""
    net = kind(40, 0.45).eval()
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in net.named_children():
        module.register_forward_hook(
            lambda m, i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:]))
        )
    first = torch.rand(2, 1, 28, 28) if kind is cvae.Encoder else torch.randn(2, 40)
    net(first, torch.rand(2, 11))
    assert {n for n, m in net.named_children() if not isinstance(m, nn.Dropout)} == sheet.keys()
    for name, (weight, output) in sheet.items():
        assert tuple(net.get_submodule(name).weight.shape) == weight and seen[name] == output  # type: ignore[union-attr,arg-type]
    biases = sum(w[1] if name in ("up1", "up2", "out") else w[0] for name, (w, _) in sheet.items())
    assert sum(p.numel() for p in net.parameters()) == sum(math.prod(w) for w, _ in sheet.values()) + biases


def test_the_number_of_parameters() -> None:
    """As counted by hand from the sheet."""
    count = [
        sum(p.numel() for p in net.parameters()) for net in (cvae.Encoder(40, 0.45), cvae.Decoder(40, 0.45))
    ]
    assert count == [1_777_296, 2_677_761]


def test_dropout_stands_after_the_first_two_convolutions() -> None:
    """0.45 on (32, 14, 14) and (64, 7, 7) in the encoder, (80, 14, 14) and (40, 28, 28) in the decoder."""
    for net, first, expected in (
        (cvae.Encoder(40, 0.45), torch.rand(1, 1, 28, 28), [(32, 14, 14), (64, 7, 7)]),
        (cvae.Decoder(40, 0.45), torch.randn(1, 40), [(80, 14, 14), (40, 28, 28)]),
    ):
        seen = []
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                assert module.p == 0.45
                module.register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape[1:])))  # noqa: B023
        net(first, torch.rand(1, 11))
        assert seen == expected


def test_weights_start_as_in_keras() -> None:
    """Glorot-uniform: within ±√(6 / (fan in + fan out)) with the variance of that interval; biases zero."""
    torch.manual_seed(0)
    for net in (cvae.Encoder(40, 0.45), cvae.Decoder(40, 0.45)):
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                area = math.prod(module.weight.shape[2:])
                limit = math.sqrt(6 / (area * (module.weight.shape[0] + module.weight.shape[1])))
                assert module.weight.abs().max() <= limit
                if module.weight.numel() > 1000:
                    assert float(module.weight.detach().std()) == pytest.approx(limit / math.sqrt(3), rel=0.1)
                assert module.bias is not None and not module.bias.any()


def test_images_are_never_negative() -> None:
    """The decoder ends in a ReLU."""
    torch.manual_seed(0)
    y = cvae.Decoder(40, 0.45)(10 * torch.randn(4, 40), torch.rand(4, 11))
    assert y.min() >= 0 and y.max() > 0


def test_the_condition_is_class_and_thickness() -> None:
    """Eleven numbers: the class as one of ten, then t."""
    c = cvae.Condition("global")(torch.tensor([3, 0]), torch.tensor([0.25, -1.0]))
    assert c.tolist() == [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0.25], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1]]


def test_thickness_over_the_whole_data_set() -> None:
    """t = clip(10 (w - 0.075), 0, 1), whatever the class and whatever it was fitted to."""
    rng = np.random.default_rng(0)
    white, labels = rng.uniform(0, 0.4, 500), rng.integers(0, 10, 500)
    condition = cvae.Condition("global")
    condition.fit(torch.from_numpy(white).float(), torch.from_numpy(labels))
    mine = condition.thickness(torch.from_numpy(white).float(), torch.from_numpy(labels))
    np.testing.assert_allclose(mine.numpy(), np.clip((white - 0.075) * 10, 0, 1), atol=1e-5)
    assert condition.levels == (0.0, 0.5, 1.0)


def test_thickness_within_each_class() -> None:
    """t = clip(0.5 (w - mean_c) / std_c, -1, 1) with the training set's statistics, also for images seen later."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 2000)
    white = rng.normal(0.1 + 0.01 * labels, 0.01 + 0.002 * labels)
    later_labels, later = rng.integers(0, 10, 300), rng.uniform(0, 0.4, 300)
    condition = cvae.Condition("per-class")
    condition.fit(torch.from_numpy(white).float(), torch.from_numpy(labels))
    mean = np.array([white[labels == c].mean() for c in range(10)])
    std = np.array([white[labels == c].std() for c in range(10)])
    for w, c in ((white, labels), (later, later_labels)):
        mine = condition.thickness(torch.from_numpy(w).float(), torch.from_numpy(c))
        np.testing.assert_allclose(mine.numpy(), np.clip(0.5 * (w - mean[c]) / std[c], -1, 1), atol=1e-4)
    assert condition.levels == (-1.0, 0.0, 1.0)


def test_a_class_with_no_or_equal_images_gives_finite_thickness() -> None:
    """A tiny slice of data may lack a class, or hold one of which all images are alike."""
    condition = cvae.Condition("per-class")
    condition.fit(torch.tensor([0.2, 0.2, 0.3]), torch.tensor([1, 1, 2]))
    t = condition.thickness(torch.tensor([0.2, 0.3, 0.5, 0.1]), torch.tensor([1, 2, 3, 1]))
    assert bool(t.isfinite().all()) and t[0] == 0 and t.abs().max() <= 1
