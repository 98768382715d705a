"""Do samples look real, and do they show all that is real? Balls around features stand for where images are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochal.evidence.metrics.arrays import finite, numpy_of
from epochal.evidence.metrics.neighbours import squared_distances, squared_radii

K = 3
"""Neighbours of precision and recall, as in Kynkäänniemi et al. 2019."""
K_DENSITY = 5
"""Neighbours of density and coverage, as in Naeem et al. 2020."""
_ROUNDING = 1e-12  # of squared distances, as a share of the features' mean square


@dataclass(frozen=True)
class Manifolds:
    """How two sets of features lie upon each other.

    B_k(f) is the ball around a feature that reaches to its k-th nearest other one of the same set.

    Attributes:
        precision: share of generated features inside B_3(r) of any real one: do samples look real?
        recall: share of real features inside B_3(g) of any generated one: is everything shown?
        density: number of balls B_5(r) around a generated feature, mean, divided by 5: above 1 where samples crowd
            where real images are dense. An outlier with a large ball counts little, unlike for precision.
        coverage: share of real features with a generated one inside B_5(r).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifolds(real: Any, generated: Any, *, k: int = K, k_density: int = K_DENSITY) -> Manifolds:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    All depend on both numbers of features: only those of equal numbers compare.

    Args:
        real: features (m, d), m >= 2.
        generated: features (n, d), n >= 2.
        k: neighbours of precision and recall; m - 1 or n - 1 where there are fewer.
        k_density: those of density and coverage, likewise.

    Raises:
        ValueError: fewer features, or different dimensions.
    """
    r, g = (numpy_of(features).astype(np.float64) for features in (real, generated))
    if r.ndim != 2 or g.ndim != 2 or r.shape[1] != g.shape[1] or min(len(r), len(g)) < 2:
        raise ValueError(f"features must be (m, d) and (n, d), m, n >= 2, but got {r.shape} and {g.shape}")
    finite(r, g)
    # A copy of the k-th neighbour lies on the ball's surface: rounding must not push it out.
    slack = _ROUNDING * float(np.square(r - r.mean(axis=0)).sum(axis=1).mean())
    ball, wide = (radii + slack for radii in squared_radii(r, k, k_density))
    (ball_generated,) = (radii + slack for radii in squared_radii(g, k))
    k_density = min(k_density, len(r) - 1)
    precise, inside = 0, 0
    recalled, covered = np.zeros(len(r), dtype=bool), np.zeros(len(r), dtype=bool)
    for part, squares in squared_distances(g, r):
        precise += int((squares <= ball).any(axis=1).sum())
        recalled |= (squares <= ball_generated[part, None]).any(axis=0)
        within = squares <= wide
        inside += int(within.sum())
        covered |= within.any(axis=0)
    return Manifolds(
        precision=precise / len(g),
        recall=float(recalled.mean()),
        density=inside / (k_density * len(g)),
        coverage=float(covered.mean()),
    )
