"""The two-layer classifier: derivatives against independent ones, the course's numbers, stacked against separate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax as scipy_log_softmax

from epochal.systems.scratch.two_layer import NAMES, Array, TwoLayerFleet, TwoLayerNet, log_softmax
from epochal.training.task import Batch

GRID = [(0.05, 0.0), (0.1, 0.01), (0.2, 0.1)]
RNG = np.random.default_rng(0)


def net(sizes: tuple[int, int, int], seed: int, **optim: float) -> TwoLayerNet:
    """A network in float64 with weights large enough that every unit matters."""
    network = TwoLayerNet(*sizes, dtype="float64", **{"std": 0.5, "lr": 0.1, "reg": 0.1, **optim})  # type: ignore[arg-type]
    network.init(np.random.default_rng(seed))
    return network


def batch(x: Array, y: Array, epoch: int = 1) -> Batch:
    """A batch as the engine gives it."""
    made = Batch(x=x, y=y)
    made.epoch = epoch
    return made


def numerical(loss: Callable[[], float], at: Array, step: float = 1e-6) -> Array:
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
@given(
    rows=st.integers(1, 5),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 4)),
    reg=st.floats(0.01, 1),
    seed=st.integers(0, 10_000),
)
def test_derivatives_agree_with_differences(
    rows: int, sizes: tuple[int, int, int], reg: float, seed: int
) -> None:
    """Every parameter's and the input's derivative, for any shape, to 1e-6 in float64."""
    rng = np.random.default_rng(seed)
    network = net(sizes, seed, reg=reg)
    network.b1[...] = 1.0  # so that no unit is off for every row: nothing could be compared
    x, y = rng.normal(size=(rows, sizes[0])), rng.integers(0, sizes[2], rows)
    if np.abs(x @ network.W1 + network.b1).min() < 1e-4:
        return  # a ReLU on the brink has no derivative there
    _, gradient = network.gradients(x, y, by_input=True)
    for name, at in {"x": x, **{name: getattr(network, name) for name in NAMES}}.items():
        wanted = numerical(lambda: network.gradients(x, y)[0]["loss"], at)
        if max(np.linalg.norm(wanted), np.linalg.norm(gradient[name])) > 1e-8:
            assert relative_error(gradient[name], wanted) < 1e-6, name


def test_derivatives_agree_with_autograd() -> None:
    """PyTorch's derivatives of the same formulas are the same to rounding."""
    network, rng = net((7, 9, 5), seed=1), np.random.default_rng(2)
    x, y = rng.normal(size=(6, 7)), rng.integers(0, 5, 6)
    measured, gradient = network.gradients(x, y, by_input=True)
    of = {
        name: torch.tensor(value, requires_grad=True) for name, value in {**network.state(), "x": x}.items()
    }
    scores = torch.relu(of["x"] @ of["W1"] + of["b1"]) @ of["W2"] + of["b2"]
    wanted = torch.nn.functional.cross_entropy(scores, torch.tensor(y))
    assert measured["cross_entropy"] == pytest.approx(wanted.item(), abs=1e-13)
    wanted = wanted + network.reg * ((of["W1"] ** 2).sum() + (of["W2"] ** 2).sum())
    wanted.backward()
    assert measured["loss"] == pytest.approx(wanted.item(), abs=1e-13)
    for name, parameter in of.items():
        assert parameter.grad is not None
        np.testing.assert_allclose(gradient[name], parameter.grad.numpy(), atol=1e-13)


def course_network(reg: float) -> tuple[TwoLayerNet, Array, Array]:
    """The course's toy network and data, from its own seeds of NumPy's legacy generator."""
    weights, data = np.random.RandomState(0), np.random.RandomState(1)
    network = TwoLayerNet(4, 10, 3, std=0.1, lr=0.1, reg=reg, dtype="float64")
    network.W1[...] = 0.1 * weights.randn(4, 10)
    network.W2[...] = 0.1 * weights.randn(10, 3)
    return network, 10 * data.randn(5, 4), np.array([0, 1, 2, 2, 1])


def test_the_course_publishes_the_same_scores_and_loss() -> None:
    """CS231n's notebook prints scores and, at reg 0.05, the loss 1.30378789133: the penalty has no ½."""
    network, x, y = course_network(reg=0.05)
    measured, _ = network.gradients(x, y)
    assert measured["loss"] == pytest.approx(1.30378789133, abs=1e-11)
    published = [[-0.81233741, -1.27654624, -0.70335995], [-0.00618733, -0.12435261, -0.15226949]]
    np.testing.assert_allclose(network.forward(x)[1][[0, 4]], published, atol=1e-8)


def test_the_toy_data_are_learnt_as_reported() -> None:
    """100 steps on the whole toy set from the course's own weights end near the reported loss of 0.017."""
    network, x, y = course_network(reg=5e-6)
    for epoch in range(1, 101):
        measured = network.step(batch(x, y, epoch), RNG)
    assert measured["loss"] == pytest.approx(0.017, abs=0.003)
    assert (network.predict(x) == y).all()


def test_the_learning_rate_decays_by_epoch() -> None:
    """A step in epoch 3 is decay² of one in epoch 1."""
    steps = []
    for epoch in (1, 3):
        network, x, y = course_network(reg=0.0)
        before = network.W1.copy()
        network.step(batch(x, y, epoch), RNG)
        steps.append(network.W1 - before)
    np.testing.assert_allclose(steps[1], 0.95**2 * steps[0], rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_log_softmax_is_stable(scores: list[float]) -> None:
    """It agrees with scipy's, whatever the scores: a sure and wrong network has a large loss, not an infinite one."""
    np.testing.assert_allclose(
        log_softmax(np.array([scores])), scipy_log_softmax([scores], axis=1), atol=1e-11
    )


def data_of(seeds: int, steps: int, rows: int = 7, inputs: int = 5) -> list[Batch]:
    """Batches (seeds, rows, …) that differ from seed to seed."""
    rng = np.random.default_rng(5)
    return [
        batch(
            rng.normal(size=(seeds, rows - step % 2, inputs)),
            rng.integers(0, 3, (seeds, rows - step % 2)),
            1 + step // 50,
        )
        for step in range(steps)
    ]


def fleet_of(seeds: int, **changes: str) -> TwoLayerFleet:
    """Every seed with every setting of GRID."""
    settings_of = [{"std": 0.5, "lr": lr, "reg": reg, "dtype": "float64", **changes} for lr, reg in GRID]
    members = [TwoLayerNet(5, 6, 3, **one) for _ in range(seeds) for one in settings_of]  # type: ignore[arg-type]
    fleet = TwoLayerFleet(members, [seed for seed in range(seeds) for _ in GRID])
    fleet.init([np.random.default_rng(seed) for seed in range(seeds)])
    return fleet


def one_of(data: Batch, seed: int) -> Batch:
    """What that seed's members see."""
    return batch(data["x"][seed], data["y"][seed], data.epoch)


def test_many_at_once_equal_one_by_one() -> None:
    """After 300 steps with batches of changing size all weights and numbers agree to 1e-10 in float64."""
    fleet, data = fleet_of(seeds=2), data_of(seeds=2, steps=300)
    alone = [net((5, 6, 3), seed, lr=lr, reg=reg) for seed in range(2) for lr, reg in GRID]
    for each in data:
        measured = fleet.step(each, [])
        separate = [one.step(one_of(each, i // len(GRID)), RNG) for i, one in enumerate(alone)]
    for name, values in measured.items():
        np.testing.assert_allclose(values, [one[name] for one in separate], atol=1e-10)
    for name, array in fleet.state().items():
        wanted = np.stack([one.state()[name] for one in alone])
        assert array.shape == wanted.shape
        np.testing.assert_allclose(array, wanted, atol=1e-10)


def test_float32_stays_float32() -> None:
    """The fast arithmetic of a fleet never widens, and agrees with float64 to its own precision."""
    narrow, wide = fleet_of(seeds=1, dtype="float32"), fleet_of(seeds=1)
    for each in data_of(seeds=1, steps=50):
        narrow.step(batch(each["x"].astype(np.float32), each["y"], each.epoch), [])
        wide.step(each, [])
    for name, array in narrow.state().items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wide.state()[name], atol=1e-4)


def test_those_kept_go_on_as_before() -> None:
    """Members that are done leave, seeds may end up with different numbers of them; the others go on."""
    data, chosen = data_of(seeds=3, steps=20), np.array([0, 2, 7])
    all_of_them, fewer = fleet_of(seeds=3), fleet_of(seeds=3)
    for step, each in enumerate(data):
        all_of_them.step(each, [])
        if step == 10:
            fewer.keep(chosen)
        fewer.step(each, [])
    for name, array in fewer.state().items():
        np.testing.assert_allclose(array, all_of_them.state()[name][chosen], atol=1e-12)


def test_a_state_goes_back_whole_or_not_at_all() -> None:
    """Training goes on from a saved state to the bit; the state of another size is refused, not broadcast."""
    each = data_of(seeds=1, steps=1)[0]
    network, other = net((5, 6, 3), 0), net((5, 6, 3), 1)
    other.load_state(network.state())
    assert other.step(one_of(each, 0), RNG) == network.step(one_of(each, 0), RNG)
    with pytest.raises(ValueError, match="W1"):
        net((5, 4, 3), 0).load_state(network.state())
    with pytest.raises(ValueError, match="W1"):
        fleet_of(seeds=1).load_state(fleet_of(seeds=2).state())
    with pytest.raises(ValueError, match="one size"):
        TwoLayerFleet([net((5, 4, 3), 0), net((5, 6, 3), 0)], [0, 0])
