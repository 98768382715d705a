"""Learning-rate schedules against PyTorch's own, and at their edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from epochal.training.schedules import Schedule, cosine, one_cycle, staircase, step_decay

STEPS = 40


def _torch_factors(
    make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimiser)
    factors = []
    for _ in range(STEPS):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return factors


def _factors(schedule: Schedule) -> list[float]:
    return [schedule(step, 1) for step in range(STEPS)]


def test_cosine_equals_pytorchs() -> None:
    """Without warm-up the cosine is CosineAnnealingLR over all steps, the reference implementation of SGDR."""
    expected = _torch_factors(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1))
    assert _factors(cosine(STEPS, end=0.1)) == pytest.approx(expected, abs=1e-9)


def test_one_cycle_equals_pytorchs() -> None:
    """The one-cycle schedule is OneCycleLR with its default factors, step for step."""
    expected = _torch_factors(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=STEPS, cycle_momentum=False)
    )
    assert _factors(one_cycle(STEPS)) == pytest.approx(expected, abs=1e-9)


def test_warm_up_rises_to_the_full_rate() -> None:
    """Warm-up begins at 1/n, never at 0 (a wasted step), and the cosine takes over at the full rate."""
    schedule = cosine(10, warm_up=4)
    assert [schedule(step, 1) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_later_steps_keep_the_last_rate() -> None:
    """A run that is trained for longer than planned goes on with the last rate, not with a rising cosine."""
    assert cosine(10, end=0.2)(25, 1) == pytest.approx(0.2)
    assert one_cycle(10)(25, 1) == pytest.approx(4e-6)


def test_step_decay_counts_whole_epochs() -> None:
    """The rate falls after every second epoch and never inside one."""
    schedule = step_decay(0.95, every=2)
    assert [schedule(step, epoch) for step, epoch in [(0, 1), (99, 2), (100, 3)]] == [1.0, 1.0, 0.95]


@pytest.mark.parametrize(
    "make", [lambda: cosine(5, warm_up=5), lambda: one_cycle(5, peak=1), lambda: step_decay(1, every=0)]
)
def test_impossible_schedules_are_refused(make: Callable[[], Schedule]) -> None:
    """A schedule that could not be walked is refused when it is made, with its values."""
    with pytest.raises(ValueError, match="must hold, but got"):
        make()


def test_staircase_keeps_each_rate_for_its_epochs() -> None:
    """0.05 while e < 60 // 18, 0.01 while e < 20, 0.001 while e < 40, then 0.0001: a log's schedule, epochs from 0."""
    schedule = staircase((1.0, 0.2, 0.02, 0.002), (60 // 18, 60 // 3, 2 * 60 // 3))
    rates = [0.05 * schedule(0, epoch) for epoch in range(1, 61)]
    assert rates == pytest.approx([0.05] * 3 + [0.01] * 17 + [0.001] * 20 + [0.0001] * 20)


def test_staircase_leaves_out_stairs_without_an_epoch() -> None:
    """Of a training of one epoch nothing is left but the last rate; it must not fail for that."""
    assert staircase((1.0, 0.2, 0.02, 0.002), (0, 0, 0))(0, 1) == 0.002


def test_staircase_needs_one_rate_more_than_ends() -> None:
    """A rate too few would leave the last epochs without one."""
    with pytest.raises(ValueError, match="one more than until, but got 2 and 2"):
        staircase((1.0, 0.1), (3, 6))
