"""The recurrent network in NumPy: its derivatives against differences and torch's autograd, truncated or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epochal.systems.scratch.rnn import NAMES, Array, RecurrentNetwork

Error = Callable[[Callable[[], float], Array, Array], float]
TOLERANCE = 1e-6


def made(hidden: int, seed: int = 0, **options: Any) -> RecurrentNetwork:
    """A network with weights large enough that every state matters."""
    net = RecurrentNetwork(hidden, **options)
    rng = np.random.default_rng(seed)
    for name in NAMES:
        weights = getattr(net, name)
        weights[...] = 0.7 * rng.normal(size=weights.shape)
    return net


def windows(rows: int, length: int, seed: int = 1) -> tuple[Array, Array]:
    """Random windows (rows, length), each with a random value to follow."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, length)), rng.normal(size=rows)


def sine() -> tuple[Array, Array]:
    """The course notebook's training windows: sin 0, sin 1, … in windows of 50, the first 100 of them."""
    wave = np.sin(np.arange(200))
    return np.stack([wave[i : i + 50] for i in range(100)]), wave[50:150]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 4), length=st.integers(1, 7), hidden=st.integers(1, 5), seed=st.integers(0, 10_000)
)
def test_the_derivatives_agree_with_differences(
    gradient_error: Error, rows: int, length: int, hidden: int, seed: int
) -> None:
    """Through all time steps, the claimed gradient is the numerical one: relative error below 1e-6."""
    net = made(hidden, seed, bptt=length)
    x, y = windows(rows, length, seed)
    loss, gradient = net.gradients(x, y)
    assert loss == net.loss(x, y)
    for name in NAMES:
        assert gradient_error(lambda: net.loss(x, y), getattr(net, name), gradient[name]) < TOLERANCE, name


@pytest.mark.parametrize("bptt", [1, 3])
def test_truncated_derivatives_agree_with_differences(gradient_error: Error, bptt: int) -> None:
    """Cut short, they are those of the last steps alone, from the state before them as given."""
    net = made(4, bptt=bptt)
    x, y = windows(3, 6)
    given_state = net.states(x)[-1 - bptt].copy()

    def loss() -> float:
        h = given_state
        for t in range(6 - bptt, 6):
            h = np.tanh(np.outer(x[:, t], net.u) + h @ net.W)
        return float(0.5 * ((h @ net.v - y) ** 2).mean())

    for name, gradient in net.gradients(x, y)[1].items():
        assert gradient_error(loss, getattr(net, name), gradient) < TOLERANCE, name


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 9),
    hidden=st.integers(1, 5),
    bptt=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
@example(rows=1, length=9, hidden=3, bptt=5, seed=0)
def test_it_agrees_with_autograd(rows: int, length: int, hidden: int, bptt: int, seed: int) -> None:
    """Prediction, loss and derivatives are torch's, its graph cut by `detach` where the error must stop."""
    net = made(hidden, seed, bptt=bptt)
    x, y = windows(rows, length, seed)
    weights = {name: torch.from_numpy(getattr(net, name).copy()).requires_grad_() for name in NAMES}
    h = torch.zeros(rows, hidden, dtype=torch.float64)
    for t in range(length):
        if t == length - bptt:
            h = h.detach()
        h = torch.tanh(torch.outer(torch.from_numpy(x[:, t]), weights["u"]) + h @ weights["W"])
    prediction = h @ weights["v"]
    loss = 0.5 * ((prediction - torch.from_numpy(y)) ** 2).mean()
    loss.backward()
    found, gradient = net.gradients(x, y)
    assert found == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(net.predict(x), prediction.detach().numpy(), rtol=1e-10, atol=1e-12)
    for name in NAMES:
        wanted = weights[name].grad
        assert wanted is not None
        np.testing.assert_allclose(gradient[name], wanted.numpy(), rtol=1e-8, atol=1e-12)


def test_a_batchs_gradient_is_the_mean_of_its_windows() -> None:
    """Several windows at once are exactly what one after another would average to."""
    net = made(4, bptt=3)
    x, y = windows(5, 6)
    whole = net.gradients(x, y)[1]
    each = [net.gradients(x[i : i + 1], y[i : i + 1])[1] for i in range(5)]
    for name in NAMES:
        np.testing.assert_allclose(whole[name], np.mean([one[name] for one in each], axis=0), rtol=1e-12)


def test_a_step_descends_by_the_clipped_gradient() -> None:
    """θ - η·clip(g): numbers beyond the limit are cut to it, the others are left as they are."""
    net = made(4, lr=0.1, bptt=6, clip=0.05)
    x, y = windows(3, 6)
    before, (loss, gradient) = net.state(), net.gradients(x, y)
    assert any((np.abs(g) > 0.05).any() and (np.abs(g) < 0.05).any() for g in gradient.values())
    assert net.step({"x": x, "y": y}, np.random.default_rng(0)) == {"loss": loss}
    for name, g in gradient.items():
        moved = (before[name] - getattr(net, name)) / 0.1
        np.testing.assert_allclose(moved, np.sign(g) * np.minimum(np.abs(g), 0.05), rtol=1e-9, atol=1e-12)


def test_a_free_run_reads_its_own_predictions() -> None:
    """Each value follows from the window that ends with the ones before it; the given window is left alone."""
    net = made(4)
    window = np.random.default_rng(0).normal(size=6)
    kept, values = window.copy(), net.free_run(window, 3)
    for i in range(3):
        read = np.concatenate([window, values])[i : i + 6]
        assert values[i] == pytest.approx(net.predict(read[None])[0])
    assert np.array_equal(window, kept)


@pytest.mark.parametrize("start", ["scaled", "positive"])
def test_initial_weights(start: Literal["scaled", "positive"]) -> None:
    """Uniform in ±1/√H or in 0 … 1, and the generator decides them all."""
    net, same = (RecurrentNetwork(64, start=start) for _ in range(2))
    net.init(np.random.default_rng(3))
    same.init(np.random.default_rng(3))
    least, most = (-1 / 8, 1 / 8) if start == "scaled" else (0, 1)
    for name in NAMES:
        weights = getattr(net, name)
        assert least <= weights.min() < weights.max() <= most
        assert np.array_equal(weights, getattr(same, name))
    assert net.W.mean() == pytest.approx((least + most) / 2, abs=0.02)


def test_positive_weights_saturate_and_stay() -> None:
    """100 units with weights in 0 … 1: every state is ±1 for good, nothing reaches u and W.

    All units keep the sign of the first value, so the best that v can learn is that sign times a constant: on the
    notebook's sine the summed loss of that, fitted by least squares, is 6.6.
    """
    net = RecurrentNetwork(100, start="positive")
    net.init(np.random.default_rng(0))
    x, y = sine()
    first = np.where(x[:, 0] == 0, x[:, 1], x[:, 0])
    assert np.array_equal(net.states(x)[-1], np.repeat(np.sign(first)[:, None], 100, axis=1))
    _, gradient = net.gradients(x, y)
    assert not gradient["u"].any() and not gradient["W"].any() and gradient["v"].any()
    sign = np.sign(first)
    best = 0.5 * ((y - sign * (sign @ y) / len(y)) ** 2).sum()
    for _ in range(10):
        for i in range(100):
            net.step({"x": x[i : i + 1], "y": y[i : i + 1]}, np.random.default_rng(0))
    assert best == pytest.approx(6.62, abs=0.01)
    assert 100 * net.loss(x, y) == pytest.approx(best, rel=0.02)


def test_scaled_weights_learn_the_sine() -> None:
    """Thirty passes over the notebook's hundred windows leave less than a hundredth of that loss."""
    net = RecurrentNetwork(100, start="scaled")
    net.init(np.random.default_rng(0))
    x, y = sine()
    for _ in range(30):
        for i in range(100):
            net.step({"x": x[i : i + 1], "y": y[i : i + 1]}, np.random.default_rng(0))
    assert 100 * net.loss(x, y) < 0.06


def test_a_loaded_state_goes_on_to_the_bit() -> None:
    """The weights are all that the next step depends on; those of another size are refused."""
    one, other = made(4), made(4, seed=9)
    x, y = windows(3, 6)
    rng = np.random.default_rng(0)
    one.step({"x": x, "y": y}, rng)
    other.load_state(one.state())
    for _ in range(3):
        assert one.step({"x": x, "y": y}, rng) == other.step({"x": x, "y": y}, rng)
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in NAMES)
    with pytest.raises(ValueError, match="u is"):
        other.load_state(made(5).state())
