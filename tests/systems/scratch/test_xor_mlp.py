"""The XOR networks: hand-written derivatives against two independent ones, many at once against one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.systems.scratch.xor_mlp import ROWS, TARGETS, Array, XorMLP, XorMLPFleet, sigmoid

BATCH = {"x": ROWS, "t": TARGETS}
RATES = (0.5, 0.1, 0.01)


def drawn(hidden: int, seed: int, lr: float = 0.5) -> XorMLP:
    """A network with normal weights."""
    network = XorMLP(hidden, lr)
    network.init(np.random.default_rng(seed))
    return network


def numerical(loss: Callable[[], float], at: Array, step: float = 1e-5) -> Array:
    """∂loss/∂at by central differences: (loss(a + h) - loss(a - h)) / 2h for each number."""
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        kept = at[i]
        at[i] = kept + step
        above = loss()
        at[i] = kept - step
        gradient[i] = (above - loss()) / (2 * step)
        at[i] = kept
    return gradient


def relative_error(a: Array, b: Array) -> float:
    """‖a - b‖ / (‖a‖ + ‖b‖)."""
    return float(np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b)))


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 6), hidden=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_derivatives_agree_with_differences(rows: int, hidden: int, seed: int) -> None:
    """Every parameter's and the input's derivative, for any shape, to 1e-6 in float64."""
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(rows, 2)), rng.uniform(size=(rows, 1))
    network = drawn(hidden, seed)
    _, gradient = network.gradients(x, t)
    for name, at in {"x": x, **{name: getattr(network, name) for name in ("W1", "b1", "W2", "b2")}}.items():
        wanted = numerical(lambda: network.gradients(x, t)[0], at)
        assert relative_error(gradient[name], wanted) < 1e-6, name


@pytest.mark.parametrize("hidden", [1, 4])
def test_derivatives_agree_with_autograd(hidden: int) -> None:
    """PyTorch's derivatives of the same formulas are the same to rounding."""
    network = drawn(hidden, seed=3)
    loss, gradient = network.gradients(ROWS, TARGETS)
    of = {
        name: torch.tensor(value, requires_grad=True)
        for name, value in {**network.state(), "x": ROWS}.items()
    }
    h = torch.sigmoid(of["x"] @ of["W1"] + of["b1"])
    y = torch.sigmoid(h @ of["W2"] + of["b2"])
    wanted = 0.5 * ((y - torch.tensor(TARGETS)) ** 2).sum()
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), abs=1e-14)
    for name, parameter in of.items():
        assert parameter.grad is not None
        np.testing.assert_allclose(gradient[name], parameter.grad.numpy(), atol=1e-14)


def test_sigmoid_is_the_logistic_function() -> None:
    """The form by tanh equals 1 / (1 + e⁻ᶻ), and saturates without a warning."""
    z = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(sigmoid(z), 1 / (1 + np.exp(-z)), atol=1e-15)
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]


def test_zero_weights_never_move() -> None:
    """From all zeros every derivative is exactly zero: the errors cancel over the rows, W2 = 0 blocks the rest."""
    network = XorMLP(4, lr=0.5, init="zeros")
    network.init(np.random.default_rng(0))
    _, gradient = network.gradients(ROWS, TARGETS)
    assert all((gradient[name] == 0).all() for name in ("W1", "b1", "W2", "b2", "x"))
    fleet = XorMLPFleet([network, drawn(4, 0)], [0, 1])
    fleet.init([np.random.default_rng(0), np.random.default_rng(1)])
    for _ in range(10):
        loss = fleet.step(stacked(2), [])["loss"]
    assert loss[0] == 0.5
    assert all((array[0] == 0).all() and array[1].any() for array in fleet.state().values())


def test_a_network_learns_xor() -> None:
    """At the reported rate of 0.5 a typical network is below 0.02 after some 850 iterations."""
    network = drawn(4, seed=0)
    losses = [network.step(BATCH, np.random.default_rng(0))["loss"] for _ in range(2000)]
    assert losses[-1] < 0.02 < losses[400]
    assert ((network.forward(ROWS)[1] > 0.5) == (TARGETS > 0.5)).all()


def stacked(seeds: int) -> dict[str, Array]:
    """The four rows for each of some seeds."""
    return {name: np.broadcast_to(rows, (seeds, *rows.shape)) for name, rows in BATCH.items()}


def trained_alone(hidden: int, seeds: int, steps: int) -> list[XorMLP]:
    """Networks of every seed and rate, trained one by one."""
    networks = [drawn(hidden, seed, lr) for seed in range(seeds) for lr in RATES]
    for network in networks:
        for _ in range(steps):
            network.step(BATCH, np.random.default_rng(0))
    return networks


def fleet_of(hidden: int, seeds: int) -> XorMLPFleet:
    """The same networks as one fleet."""
    members = [XorMLP(hidden, lr) for _ in range(seeds) for lr in RATES]
    fleet = XorMLPFleet(members, [seed for seed in range(seeds) for _ in RATES])
    fleet.init([np.random.default_rng(seed) for seed in range(seeds)])
    return fleet


@pytest.mark.parametrize("hidden", [1, 4])
def test_many_at_once_equal_one_by_one(hidden: int) -> None:
    """After 400 steps all weights agree to 1e-10, and the fleet's state is the networks' states stacked."""
    fleet, alone = fleet_of(hidden, seeds=3), trained_alone(hidden, seeds=3, steps=400)
    for _ in range(400):
        losses = fleet.step(stacked(3), [])["loss"]
    for name, array in fleet.state().items():
        wanted = np.stack([network.state()[name] for network in alone])
        assert array.shape == wanted.shape
        np.testing.assert_allclose(array, wanted, atol=1e-10)
    assert losses.shape == (9,)
    with_next = [network.step(BATCH, np.random.default_rng(0))["loss"] for network in alone]
    np.testing.assert_allclose(fleet.step(stacked(3), [])["loss"], with_next, atol=1e-10)


def test_those_kept_go_on_as_before() -> None:
    """Members that are done leave; the others, and a fleet made anew from their state, go on alike."""
    fleet, alone = fleet_of(4, seeds=3), trained_alone(4, seeds=3, steps=40)
    chosen = np.array([1, 2, 6])
    for _ in range(20):
        fleet.step(stacked(3), [])
    fleet.keep(chosen)
    again = XorMLPFleet([XorMLP(4, RATES[i % 3]) for i in chosen], [0, 0, 2])
    again.load_state(fleet.state())
    for one in (fleet, again):
        for _ in range(20):
            one.step(stacked(3), [])
        for name, array in one.state().items():
            np.testing.assert_allclose(array, [alone[i].state()[name] for i in chosen], atol=1e-12)


def test_another_number_of_rows_is_taken() -> None:
    """A batch may hold part of the table; the fleet lays its buffers out anew."""
    fleet, network = fleet_of(4, seeds=1), drawn(4, 0, RATES[0])
    for rows in (slice(0, 4), slice(0, 3), slice(2, 4)):
        fleet.step({name: array[:, rows] for name, array in stacked(1).items()}, [])
        network.step({name: array[rows] for name, array in BATCH.items()}, np.random.default_rng(0))
    np.testing.assert_allclose(fleet.state()["W1"][0], network.W1, atol=1e-12)


def test_a_state_goes_back_whole_or_not_at_all() -> None:
    """Training goes on from a saved state to the bit; the state of another size is refused, not broadcast."""
    network = drawn(4, 0)
    network.step(BATCH, np.random.default_rng(0))
    other = XorMLP(4, 0.5)
    other.load_state(network.state())
    assert other.step(BATCH, np.random.default_rng(0)) == network.step(BATCH, np.random.default_rng(0))
    with pytest.raises(ValueError, match="W1"):
        XorMLP(3).load_state(network.state())
    with pytest.raises(ValueError, match="W1"):
        fleet_of(4, seeds=1).load_state(fleet_of(4, seeds=2).state())
    with pytest.raises(ValueError, match="one size"):
        XorMLPFleet([XorMLP(3), XorMLP(4)], [0, 0])
