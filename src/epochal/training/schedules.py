"""Learning-rate schedules: factors on an optimiser's `lr`, as functions of the step (from 0) and the epoch (from 1).

Standard library only: recipes use them when they describe their optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi

Schedule = Callable[[int, int], float]


def cosine(steps: int, *, warm_up: int = 0, end: float = 0.0) -> Schedule:
    """Half a cosine from 1 down to `end` over `steps` steps, after `warm_up` of them that rise linearly to 1.

        factor(t) = end + (1 - end)/2 · (1 + cos(π (t - warm_up)/(steps - warm_up)))

    SGDR without restarts (Loshchilov and Hutter 2017). Later steps keep `end`.

    Args:
        steps: of the whole training.
        warm_up: first steps, with the factors 1/warm_up, 2/warm_up, …, 1.
        end: factor at the last step.

    Raises:
        ValueError: `warm_up` is not below `steps`.
    """
    _check(steps, warm_up)

    def factor(step: int, epoch: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        done = min((step - warm_up) / max(steps - warm_up, 1), 1.0)
        return end + (1 - end) * (1 + cos(pi * done)) / 2

    return factor


def one_cycle(steps: int, *, peak: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Rises from `start` to 1 over the first `peak` of the training, then falls to `end`; both as half cosines.

    The 1cycle policy of Smith and Topin (2018) in the two-phase form of PyTorch's OneCycleLR, whose defaults these
    are: a first factor of 1/25 and a last one of 1/25/10,000.

    Args:
        steps: of the whole training.
        peak: share of the steps after which the factor is 1.
        start: factor at the first step.
        end: factor at the last step.

    Raises:
        ValueError: `peak` does not lie between 0 and 1.
    """
    if not 0 < peak < 1:
        raise ValueError(f"0 < peak < 1 must hold, but got peak={peak}")
    top = max(peak * steps - 1, 1e-9)

    def factor(step: int, epoch: int) -> float:
        if step <= top:
            return _between(start, 1.0, step / top)
        return _between(1.0, end, min((step - top) / max(steps - 1 - top, 1e-9), 1.0))

    return factor


def step_decay(factor: float, *, every: int = 1) -> Schedule:
    """Multiplies the learning rate by `factor` after every `every` epochs.

    Raises:
        ValueError: `every` is below 1.
    """
    if every < 1:
        raise ValueError(f"every >= 1 must hold, but got every={every}")
    return lambda step, epoch: factor ** ((epoch - 1) // every)


def staircase(factors: Sequence[float], until: Sequence[int]) -> Schedule:
    """Keeps `factors[i]` while fewer than `until[i]` epochs are done, and the last factor from then on.

    A stair of no epochs (`until` 0, or not above the one before) is left out.

    Raises:
        ValueError: there is not one factor more than ends of stairs.
    """
    if len(factors) != len(until) + 1:
        raise ValueError(f"factors must be one more than until, but got {len(factors)} and {len(until)}")
    return lambda step, epoch: next(
        (factor for factor, end in zip(factors, until, strict=False) if epoch - 1 < end), factors[-1]
    )


def _between(first: float, last: float, share: float) -> float:
    return first + (last - first) * (1 - cos(pi * share)) / 2


def _check(steps: int, warm_up: int) -> None:
    if not 0 <= warm_up < max(steps, 1):
        raise ValueError(f"0 <= warm_up < steps must hold, but got (warm_up={warm_up}, steps={steps})")
