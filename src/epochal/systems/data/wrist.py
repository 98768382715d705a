"""Simulated recordings of a wrist sensor: what stands in for real ones where there are none (see `wrist_simulator`).

One recording a subject, in which every activity comes once; everybody is for training, as in real sources of this kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.systems.data import recordings
from epochal.systems.data.drawn import DrawnSource
from epochal.systems.data.wrist_simulator import ACTIVITIES, RATE_HZ, simulate

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits

SUBJECTS = 24
SECONDS = 60.0
"""Of each activity, on average."""
SEED = 500
# Part of the cached file's name: raised whenever a change of the simulator changes a sample.
EDITION = 1


def draw_all() -> Splits:
    """Simulates all subjects, each from a random stream of its own."""
    import numpy as np

    parts = [simulate(np.random.default_rng([SEED, subject]), SECONDS) for subject in range(SUBJECTS)]
    who = np.repeat(np.arange(SUBJECTS), [len(activity) for _, activity in parts])
    samples, activity = (np.concatenate(column) for column in zip(*parts, strict=True))
    train = recordings.columns(samples, activity, who, who)
    return {"train": train, "test": recordings.nobody(train)}


WRIST = DrawnSource(
    name="wrist",
    what=f"simulated recordings of a wrist accelerometer, {len(ACTIVITIES)} activities; needs no download",
    kind=recordings.KIND,
    classes=tuple(activity.name for activity in ACTIVITIES),
    items=(SUBJECTS, 0),
    draw=draw_all,
    seed=SEED,
    edition=EDITION,
    extras={"rate_hz": float(RATE_HZ), "unit": "g", "channels": ("x", "y", "z")},
)
