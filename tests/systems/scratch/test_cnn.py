"""The convolutional network in NumPy: every layer against plain loops, central differences and torch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from epochal.systems.scratch import cnn
from epochal.systems.scratch.cnn import Array, ConvolutionalNetwork

Error = Callable[[Callable[[], float], Array, Array], float]
TOLERANCE = 1e-6
SHAPES = {
    "n": st.integers(1, 3),
    "height": st.integers(3, 7),
    "width": st.integers(3, 7),
    "channels": st.integers(1, 3),
    "seed": st.integers(0, 10_000),
}
LAYERS = {**SHAPES, "out": st.integers(1, 3), "size": st.integers(1, 3)}


def loops(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """The convolution's formula, index by index."""
    n, height, width, _ = x.shape
    size, _, channels, out = w.shape
    rows, columns = ((side + 2 * padding - size) // stride + 1 for side in (height, width))
    y = np.zeros((n, rows, columns, out))
    for k, i, j, o in np.ndindex(y.shape):
        y[k, i, j, o] = b[o]
        for u, v, c in product(range(size), range(size), range(channels)):
            p, q = i * stride + u - padding, j * stride + v - padding
            if 0 <= p < height and 0 <= q < width:
                y[k, i, j, o] += x[k, p, q, c] * w[u, v, c, o]
    return y


def to_torch(x: Array) -> Any:
    """(N, H, W, C) → (N, C, H, W), with a gradient."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).requires_grad_()


def from_torch(x: Any) -> Array:
    """(N, C, H, W) → (N, H, W, C)."""
    return np.asarray(x.detach().numpy().transpose(0, 2, 3, 1))


def apart(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers around 0 that are further apart, and further from 0, than a difference step reaches."""
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count / 2 + 0.25) / count).reshape(shape)


# --- convolution ---------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(**LAYERS, stride=st.integers(1, 3), padding=st.integers(0, 2))
@example(n=2, height=5, width=7, channels=2, out=3, size=3, stride=2, padding=1, seed=0)
def test_the_matrix_product_is_the_convolution(
    n: int, height: int, width: int, channels: int, seed: int, out: int, size: int, stride: int, padding: int
) -> None:
    """Unrolled windows times kernels give what the formula gives index by index, for odd sizes and strides too."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, height, width, channels)), rng.normal(size=(size, size, channels, out))
    b = rng.normal(size=out)
    y, _ = cnn.convolution(x, w, b, stride, padding)
    np.testing.assert_allclose(y, loops(x, w, b, stride, padding), rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(**LAYERS, stride=st.integers(1, 3), padding=st.integers(0, 2))
@example(n=2, height=6, width=7, channels=2, out=3, size=3, stride=3, padding=0, seed=0)
def test_the_convolution_agrees_with_autograd(
    n: int, height: int, width: int, channels: int, seed: int, out: int, size: int, stride: int, padding: int
) -> None:
    """Output and all three derivatives are torch's, whatever the shapes."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, height, width, channels)), rng.normal(size=(size, size, channels, out))
    b = rng.normal(size=out)
    y, unrolled = cnn.convolution(x, w, b, stride, padding)
    dy = rng.normal(size=y.shape)
    dw, db = cnn.convolution_backward(dy, unrolled, w)
    dx = cnn.convolution_backward_input(dy, w, x.shape, stride, padding)

    x_, b_ = to_torch(x), torch.from_numpy(b).requires_grad_()
    w_ = torch.from_numpy(w.transpose(3, 2, 0, 1).copy()).requires_grad_()
    y_ = F.conv2d(x_, w_, b_, stride=stride, padding=padding)
    y_.backward(torch.from_numpy(dy.transpose(0, 3, 1, 2).copy()))
    for found, wanted in (
        (y, from_torch(y_)),
        (dx, from_torch(x_.grad)),
        (dw, w_.grad.numpy().transpose(2, 3, 1, 0)),
        (db, b_.grad.numpy()),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0), (3, 2)])
def test_the_convolutions_derivatives_agree_with_differences(
    gradient_error: Error, stride: int, padding: int
) -> None:
    """dL/dx, dL/dw and dL/db for a random weighting of the output: relative error below 1e-6 in float64."""
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 5, 6, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
    y, unrolled = cnn.convolution(x, w, b, stride, padding)
    dy = rng.normal(size=y.shape)

    def loss() -> float:
        return float((cnn.convolution(x, w, b, stride, padding)[0] * dy).sum())

    dw, db = cnn.convolution_backward(dy, unrolled, w)
    dx = cnn.convolution_backward_input(dy, w, x.shape, stride, padding)
    for at, claimed in ((x, dx), (w, dw), (b, db)):
        assert gradient_error(loss, at, claimed) < TOLERANCE


@settings(max_examples=25, deadline=None)
@given(**SHAPES, size=st.integers(1, 3), stride=st.integers(1, 3), padding=st.integers(0, 2))
def test_adding_up_is_the_transpose_of_unrolling(
    n: int, height: int, width: int, channels: int, seed: int, size: int, stride: int, padding: int
) -> None:
    """<windows(x), g> = <x, windows_backward(g)> for all x and g: that is what a linear map's derivative must obey."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, height, width, channels))
    unrolled = cnn.windows(x, size, stride, padding)
    g = rng.normal(size=unrolled.shape)
    back = cnn.windows_backward(g, x.shape, size, stride, padding)
    assert (unrolled * g).sum() == pytest.approx((x * back).sum(), rel=1e-9, abs=1e-9)


# --- ReLU, pooling, dense, cross-entropy -----------------------------------------------------------------------------


def test_relus_derivative(gradient_error: Error) -> None:
    """Agrees with differences away from 0; at 0 itself nothing passes, as in torch."""
    rng = np.random.default_rng(0)
    x = apart(rng, (2, 3, 4, 2))
    dy = rng.normal(size=x.shape)
    claimed = cnn.relu_backward(dy, cnn.relu(x))
    assert gradient_error(lambda: float((cnn.relu(x) * dy).sum()), x, claimed) < TOLERANCE
    assert np.array_equal(cnn.relu_backward(np.ones(3), cnn.relu(np.array([-1.0, 0.0, 1.0]))), [0, 0, 1])


@settings(max_examples=25, deadline=None)
@given(**SHAPES, levels=st.sampled_from([1, 2, 3, 1000]))
@example(n=1, height=3, width=5, channels=2, seed=0, levels=1)
def test_pooling_agrees_with_autograd_ties_included(
    n: int, height: int, width: int, channels: int, seed: int, levels: int
) -> None:
    """Few grey levels make many ties, odd sides leave a border out: torch's values, and torch's choice among equals."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (n, height, width, channels)).astype(np.float64)
    y = cnn.max_pool(x)
    dy = rng.normal(size=y.shape)
    x_ = to_torch(x)
    y_ = F.max_pool2d(x_, 2)
    y_.backward(torch.from_numpy(dy.transpose(0, 3, 1, 2).copy()))
    assert np.array_equal(y, from_torch(y_))
    assert np.array_equal(cnn.max_pool_backward(dy, x, y), from_torch(x_.grad))


def test_pooling_agrees_with_differences(gradient_error: Error) -> None:
    """Where no two pixels of a block are equal, the derivative is the numerical one."""
    rng = np.random.default_rng(0)
    x = apart(rng, (2, 5, 6, 2))
    y = cnn.max_pool(x)
    dy = rng.normal(size=y.shape)
    claimed = cnn.max_pool_backward(dy, x, y)
    assert gradient_error(lambda: float((cnn.max_pool(x) * dy).sum()), x, claimed) < TOLERANCE


def test_the_dense_layers_derivatives(gradient_error: Error) -> None:
    """dL/dx, dL/dw and dL/db agree with differences and with torch's linear layer."""
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.normal(size=shape) for shape in ((4, 5), (5, 3), (3,), (4, 3)))
    claimed = cnn.dense_backward(dy, x, w)
    for at, gradient in zip((x, w, b), claimed, strict=True):
        assert gradient_error(lambda: float((cnn.dense(x, w, b) * dy).sum()), at, gradient) < TOLERANCE
    x_, w_, b_ = (torch.from_numpy(a).requires_grad_() for a in (x, w, b))
    F.linear(x_, w_.T, b_).backward(torch.from_numpy(dy))
    for gradient, wanted in zip(claimed, (x_.grad, w_.grad, b_.grad), strict=True):
        assert wanted is not None
        np.testing.assert_allclose(gradient, wanted.numpy(), rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 6), classes=st.integers(2, 10), scale=st.floats(0.1, 1e4), seed=st.integers(0, 10_000)
)
def test_cross_entropy_agrees_with_autograd(n: int, classes: int, scale: float, seed: int) -> None:
    """Loss and derivative are torch's, for scores so large that exp alone would overflow too."""
    rng = np.random.default_rng(seed)
    scores, labels = scale * rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    loss, ds = cnn.cross_entropy(scores, labels)
    scores_ = torch.from_numpy(scores).requires_grad_()
    loss_ = F.cross_entropy(scores_, torch.from_numpy(labels))
    loss_.backward()
    assert scores_.grad is not None and loss == pytest.approx(loss_.item(), rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(ds, scores_.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_cross_entropys_derivative_agrees_with_differences(gradient_error: Error) -> None:
    """dL/dscores: relative error below 1e-6 in float64; each row sums to 0, as probabilities sum to 1."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    _, ds = cnn.cross_entropy(scores, labels)
    assert gradient_error(lambda: cnn.cross_entropy(scores, labels)[0], scores, ds) < TOLERANCE
    np.testing.assert_allclose(ds.sum(axis=1), 0, atol=1e-15)


# --- the network -----------------------------------------------------------------------------------------------------


def network(side: int = 8, seed: int = 0, **options: Any) -> ConvolutionalNetwork:
    """A small one in float64."""
    made = ConvolutionalNetwork((2, 3), side, 4, dtype=np.float64, **options)
    made.init(np.random.default_rng(seed))
    return made


def batch(net: ConvolutionalNetwork, n: int = 5, seed: int = 1) -> dict[str, Array]:
    """Random images with random labels."""
    rng = np.random.default_rng(seed)
    return {"x": rng.random((n, net.side, net.side, 1)), "labels": rng.integers(0, net.classes, n)}


def torchs(net: ConvolutionalNetwork) -> tuple[dict[str, torch.nn.Parameter], Callable[[Any], Any]]:
    """The same network in torch: its parameters by our names, and images (N, side, side, 1) → scores."""
    second = net.channels[1]
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, net.channels[0], 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(net.channels[0], second, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear((net.side // 4) ** 2 * second, net.classes),
    ).double()
    parameters = {
        f"{name}.{kind}": getattr(model[place], long)
        for name, place in (("conv1", 0), ("conv2", 3), ("dense", 7))
        for kind, long in (("w", "weight"), ("b", "bias"))
    }
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(as_torchs(net, name, net.weights[name]).copy()))
    return parameters, lambda x: model(torch.from_numpy(x.transpose(0, 3, 1, 2)))


def as_torchs(net: ConvolutionalNetwork, name: str, array: Array) -> Array:
    """A weight as torch lays it out: kernels (O, C, 3, 3), and dense inputs by channel, row, column."""
    if name.startswith("conv") and name.endswith("w"):
        return array.transpose(3, 2, 0, 1)
    if name == "dense.w":
        side = net.side // 4
        return array.reshape(side, side, -1, net.classes).transpose(3, 2, 0, 1).reshape(net.classes, -1)
    return array


def test_the_whole_networks_derivatives_agree_with_differences(gradient_error: Error) -> None:
    """Every weight of every layer at once: relative error below 1e-6 in float64."""
    net = network()
    given_ = batch(net)

    def loss() -> float:
        return cnn.cross_entropy(net.forward(given_["x"])[0], given_["labels"])[0]

    scores, kept = net.forward(given_["x"])
    gradients = net.backward(cnn.cross_entropy(scores, given_["labels"])[1], kept)
    assert set(gradients) == set(net.weights)
    for name, gradient in gradients.items():
        assert gradient_error(loss, net.weights[name], gradient) < TOLERANCE, name


@pytest.mark.parametrize("side", [8, 11])
@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_it_trains_as_torch_trains_it(side: int, clip_norm: float | None) -> None:
    """Ten steps of the same batches: torch's network, autograd, clipping and Adam arrive at the same weights."""
    net = network(side, lr=0.01, decay=0.1, clip_norm=clip_norm)
    parameters, forward = torchs(net)
    optimiser = torch.optim.Adam(parameters.values(), lr=0.01)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + 0.1 * step))
    for step in range(10):
        given_ = batch(net, seed=step)
        measured = net.step(given_, np.random.default_rng(0))
        optimiser.zero_grad()
        loss = F.cross_entropy(forward(given_["x"]), torch.from_numpy(given_["labels"]))
        loss.backward()
        if clip_norm is not None:  # torch's divides by the norm plus 1e-6
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip_norm)
        optimiser.step()
        falling.step()
        assert measured["loss"] == pytest.approx(loss.item(), rel=1e-4 if clip_norm else 1e-10)
    for name, parameter in parameters.items():
        found = as_torchs(net, name, net.weights[name])
        np.testing.assert_allclose(
            found, parameter.detach().numpy(), rtol=0, atol=1e-5 if clip_norm else 1e-9
        )


@settings(max_examples=10, deadline=None)
@given(side=st.integers(4, 13), n=st.integers(1, 4))
def test_any_side_and_batch_will_do(side: int, n: int) -> None:
    """Odd sides leave a border out of pooling; float32 stays float32 through a step; a batch may be of one image."""
    net = ConvolutionalNetwork((2, 3), side, 4)
    net.init(np.random.default_rng(0))
    measured = net.step(batch(net, n), np.random.default_rng(0))
    assert np.isfinite(measured["loss"]) and 0 <= measured["accuracy"] <= 1
    arrays = [a for name, a in net.state().items() if name != "adam/steps"]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    assert net.scores(batch(net, n)["x"]).dtype == np.float32


def test_images_may_be_scored_in_chunks() -> None:
    """So many at once or all together: the same scores."""
    net = network()
    x = batch(net, 7)["x"]
    np.testing.assert_allclose(net.scores(x, at_once=3), net.scores(x), rtol=1e-12)


def test_a_loaded_state_goes_on_to_the_bit() -> None:
    """Weights, Adam's means and its step count are all that the next step depends on; the copy stands by itself."""
    one, other = network(lr=0.01), network(seed=5, lr=0.01)
    rng = np.random.default_rng(0)
    for step in range(3):
        one.step(batch(one, seed=step), rng)
    other.load_state(one.state())
    for step in range(3, 6):
        assert one.step(batch(one, seed=step), rng) == other.step(batch(one, seed=step), rng)
    for name, array in one.state().items():
        assert np.array_equal(array, other.state()[name]), name


@given(scale=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_clipping_keeps_the_direction(scale: float) -> None:
    """A gradient longer than the limit is scaled down to it, a shorter one left alone; 0 stays 0."""
    assume(scale != 1)
    net = network(clip_norm=1.0)
    gradients = {"a": np.array([0.6, 0.0]) * scale, "b": np.array([[0.8]]) * scale}
    clipped = net.clipped(gradients)
    norm = np.sqrt(sum((g**2).sum() for g in clipped.values()))
    assert norm == pytest.approx(min(scale, 1.0))
    for name, g in clipped.items():
        np.testing.assert_allclose(g * scale, gradients[name] * norm)
    assert np.array_equal(net.clipped({"a": np.zeros(2)})["a"], np.zeros(2))
