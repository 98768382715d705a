"""The fast layers are torch's layers: same values, same gradients, and masks that keep the right share."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from epochal.training import layers

# Sums of n products, each rounded: bfloat16 keeps 8 significant bits, float32 24.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def gradients(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Output and gradients of a weighted sum of it, so that every output element counts differently."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = net(x)
    weights = torch.linspace(0.1, 1, y.numel(), dtype=torch.float32).view(y.shape).to(y.dtype)
    (y * weights).sum().backward()
    assert x.grad is not None
    return {
        "y": y.detach(),
        "x": x.grad,
        **{k: p.grad for k, p in net.named_parameters() if p.grad is not None},
    }


def assert_like_torch(plain: nn.Module, x: Tensor, *, mixed: bool = False) -> None:
    """A fast copy in x's dtype and layout agrees with the plain layer in float64, up to rounding of sums."""
    fast = copy.deepcopy(plain).to(x.dtype)
    layers.accelerate(fast, mixed=mixed)
    assert type(fast).__module__ == layers.__name__
    exact, mine = gradients(plain.to(x.dtype).double(), x.double()), gradients(fast, x)
    assert mine.keys() == exact.keys()
    for name, tensor in mine.items():
        assert tensor.dtype == x.dtype and tensor.shape == exact[name].shape
        error = (tensor.double() - exact[name]).abs().max()
        assert error <= TOLERANCE[x.dtype] * (exact[name].abs().max() + 1), (name, float(error))


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("bias", [True, False])
def test_linear(dtype: torch.dtype, bias: bool) -> None:
    """Values and all gradients."""
    torch.manual_seed(0)
    assert_like_torch(nn.Linear(13, 7, bias=bias), torch.randn(5, 13).to(dtype))


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    bias=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_conv2d(
    batch: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    bias: bool,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> None:
    """Any kernel, stride, padding, even where the last columns of the input reach no output."""
    torch.manual_seed(0)
    x = torch.randn(batch, channels[0], *size).to(dtype).to(memory_format=layout)
    assert_like_torch(nn.Conv2d(*channels, kernel, stride, padding, bias=bias).to(memory_format=layout), x)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    spare=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
    bias=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_conv_transpose2d(
    batch: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    spare: tuple[int, int, int, int],
    bias: bool,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> None:
    """Any kernel, stride, padding that leaves an output, and output padding (below the stride)."""
    torch.manual_seed(0)
    longest = [min(k - 1, ((n - 1) * s + k - 1) // 2) for n, s, k in zip(size, stride, kernel, strict=True)]
    padding = tuple(min(p, most) for p, most in zip(spare[:2], longest, strict=True))
    output_padding = tuple(min(o, s - 1) for o, s in zip(spare[2:], stride, strict=True))
    x = torch.randn(batch, channels[0], *size).to(dtype).to(memory_format=layout)
    net = nn.ConvTranspose2d(*channels, kernel, stride, padding, output_padding, bias=bias)  # type: ignore[arg-type]
    net = net.to(memory_format=layout)
    assert_like_torch(copy.deepcopy(net), x)
    if bias:  # the mixed layers differ from torch's only in how they sum up its gradient
        assert_like_torch(net, x, mixed=True)


@pytest.mark.parametrize("mixed", [True, False])
def test_second_derivatives(mixed: bool) -> None:
    """A penalty on the input's gradient (R1) trains through the fast layers as through torch's."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Tanh(), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()
    ).double()
    fast = copy.deepcopy(plain)
    layers.accelerate(fast, mixed=mixed)
    found = []
    for net in (plain, fast):
        x = torch.linspace(-1, 1, 2 * 2 * 8 * 8, dtype=torch.float64).view(2, 2, 8, 8).requires_grad_()
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        penalty = slope.square().sum() + net(x).sum()
        found.append(torch.autograd.grad(penalty, list(net.parameters())))
    for exact, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-9)


def test_without_gradients_the_layers_are_torchs() -> None:
    """Evaluation takes torch's own path, to the bit, and unbatched input works as there."""
    torch.manual_seed(0)
    for plain, x in (
        (nn.Linear(5, 4), torch.randn(3, 2, 5)),
        (nn.Conv2d(2, 3, 3), torch.randn(2, 7, 7)),
        (nn.ConvTranspose2d(2, 3, 3), torch.randn(2, 7, 7)),
    ):
        fast = copy.deepcopy(plain)
        layers.accelerate(fast)
        assert torch.equal(fast(x), plain(x))
        with torch.no_grad():
            assert torch.equal(fast(x[None]), plain(x[None]))


def test_a_size_may_be_asked_of_a_transposed_convolution() -> None:
    """`output_size` goes to torch's own layer."""
    net = nn.ConvTranspose2d(2, 3, 3, stride=2)
    layers.accelerate(net)
    assert net(torch.randn(1, 2, 4, 4), output_size=[10, 10]).shape == (1, 3, 10, 10)


def test_accelerate_leaves_alone_what_it_cannot_do_and_restore_undoes_it() -> None:
    """Groups, dilation, other paddings and subclasses stay torch's; parameters stay the same objects throughout."""

    class Own(nn.Linear):
        pass

    net = nn.Sequential(
        nn.Linear(2, 2),
        nn.Conv2d(2, 2, 3),
        nn.ConvTranspose2d(2, 2, 3),
        nn.Dropout(0.5),
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(2, 2, 3, dilation=2),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.ConvTranspose2d(2, 2, 3, groups=2),
        nn.Dropout(0.0),
        nn.Dropout(1.0),
        Own(2, 2),
    )
    before = [type(module) for module in net]
    parameters = [id(p) for p in net.parameters()]
    layers.accelerate(net)
    assert [type(module).__module__ == layers.__name__ for module in net] == [True] * 4 + [False] * 8
    layers.restore(net)
    assert [type(module) for module in net] == before and [id(p) for p in net.parameters()] == parameters
    layers.accelerate(net, mixed=True)
    swapped = {2: layers.BiasApart, 3: layers.Dropout}
    assert [type(module) for module in net] == [swapped.get(i, kind) for i, kind in enumerate(before)]
    layers.restore(net)
    assert [type(module) for module in net] == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [0.1, 0.45, 0.5, 0.9, 0.999])
def test_dropout_keeps_the_right_share(dtype: torch.dtype, p: float) -> None:
    """Over many masks the share kept is 1 - p within four standard deviations, 45 % not being a number of 256ths."""
    torch.manual_seed(1)
    like, calls = torch.empty(4000, dtype=dtype), 150
    shares = torch.stack([(layers.byte_mask(like, 1 - p) != 0).double().mean() for _ in range(calls)])
    # One call's threshold is drawn between two neighbouring 256ths: its own spread adds to that of the elements.
    deviation = ((p * (1 - p) / 4000 + 0.25 / 256**2) / calls) ** 0.5
    assert abs(float(shares.mean()) - (1 - p)) <= 4 * deviation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_scales_what_it_keeps(dtype: torch.dtype) -> None:
    """Mask values are 0 and 1/(1 - p), correctly rounded; the gradient is the mask itself."""
    net = layers.Dropout(0.45)
    x = torch.ones(64, 33, dtype=dtype, requires_grad=True)
    y = net(x)
    assert set(y.detach().flatten().tolist()) == {0.0, float(torch.tensor(1 / 0.55, dtype=dtype))}
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((1,), LAYOUTS[0]), ((7,), LAYOUTS[0]), ((3, 5), LAYOUTS[0])]
    + [(shape, layout) for shape in ((2, 3, 5, 7), (1, 1, 3, 3), (4, 5, 1, 1)) for layout in LAYOUTS],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_have_the_inputs_layout(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    """Odd sizes and channels-last inputs get a mask of their own shape and strides, every element of which is drawn."""
    torch.manual_seed(2)
    like = torch.ones(shape, dtype=dtype).to(memory_format=layout)
    masks = torch.stack([layers.byte_mask(like, 0.5) for _ in range(60)])
    mask = layers.byte_mask(like, 0.5)
    assert (mask.shape, mask.stride(), mask.dtype) == (like.shape, like.stride(), dtype)
    assert bool(((masks == 0).any(0) & (masks == 2).any(0)).all())


def test_neighbours_are_dropped_independently() -> None:
    """No correlation between elements that share a random word, at any distance below 64 elements or between rows."""
    torch.manual_seed(3)
    kept = (layers.byte_mask(torch.empty(1 << 19), 0.55) != 0).double() - 0.55
    for distance in [*range(1, 65), 1 << 17, 1 << 18]:  # a float32 mask's four bytes land a quarter apart
        correlation = float((kept[:-distance] * kept[distance:]).mean() / (0.55 * 0.45))
        assert abs(correlation) < 5 / (len(kept) - distance) ** 0.5 + 1e-4, distance


def test_dropout_rests_in_eval_mode() -> None:
    """As torch's: the identity."""
    net = layers.Dropout(0.45).eval()
    x = torch.randn(9)
    assert torch.equal(net(x), x)
