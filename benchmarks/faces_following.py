"""How much of the change that a condition asks for happens, measured on drawn faces without any network.

The renderer draws the same persons twice, with one condition at its one end and at its other. A network that encodes
the first picture and decodes it with the other condition should draw the second. `followed` is the change it makes,
projected on the true one: <Δy, Δx> / <Δx, Δx>, in pixels, the median over persons. What it could make at best is what
changes when it also encodes the second picture (`reach`): less than 1 where its pictures are blurred. A code that
repeats a condition holds the picture back, and `followed` stays behind `reach`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from epochal.systems.data import faces_drawn
from epochal.training.task import Trained

SEED = [5, 9]
"""Of the persons; no stream that a network is trained or tested on."""
AXES = ("sex", "hair", "mouth", "eyes")
LOW, HIGH = 0.1, 0.9
"""Ends of hair, mouth and eyes; of sex both styles."""


@dataclass(frozen=True)
class Following:
    """Of one condition: the share of the true change that is made, and the most that the network's pictures show."""

    followed: float
    reach: float


def following(trained: Trained, persons: int = 100) -> dict[str, Following]:
    """What a cvae-faces makes of each condition, moved from end to end."""
    conditions, people = faces_drawn.sample(SEED, 0, persons)
    encoder, decoder = trained.nets["encoder"], trained.nets["decoder"]
    found = {}
    with torch.no_grad():
        for axis in AXES:
            before, after = ends(conditions, axis)
            x, target = (pictures(c, people) for c in (before, after))
            c, changed = torch.from_numpy(before), torch.from_numpy(after)
            z, of_target = encoder(x, c)[0], encoder(target, changed)[0]
            y = decoder(z, c)
            wanted = target - x
            found[axis] = Following(
                share(decoder(z, changed) - y, wanted), share(decoder(of_target, changed) - y, wanted)
            )
    return found


def ends(conditions: Any, axis: str) -> tuple[Any, Any]:
    """The conditions (n, 5) with one of them at its low and at its high end."""
    low, high = conditions.copy(), conditions.copy()
    if axis == "sex":
        low[:, :2], high[:, :2] = (0, 1), (1, 0)
    else:
        place = 1 + AXES.index(axis)
        low[:, place], high[:, place] = LOW, HIGH
    return low, high


def pictures(conditions: Any, people: Any) -> torch.Tensor:
    """(n, 3, 120, 120) in [0, 1]."""
    drawn = np.ascontiguousarray(faces_drawn.draw(conditions, people).transpose(0, 3, 1, 2))
    return torch.from_numpy(drawn).float() / 255


def share(change: torch.Tensor, wanted: torch.Tensor) -> float:
    """Median over pictures of <change, wanted> / <wanted, wanted>."""
    along = (change * wanted).flatten(1).sum(1) / wanted.square().flatten(1).sum(1)
    return float(along.median())
