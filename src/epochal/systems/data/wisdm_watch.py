"""A smartwatch on the dominant hand: two minutes of each of six activities, 51 people (Weiss 2019, "WISDM").

Acceleration in m/s² at 20 Hz, gravity included. Each recording is one person's 2,400 samples of one activity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data import npz, recordings
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.recordings_npz import NpzRecordings
from epochal.systems.data.source import Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits


@dataclass(frozen=True, kw_only=True)
class WisdmWatch(NpzRecordings):
    """Columns as `recordings` says; subjects are 1600 to 1650."""

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Joins the recordings, one after another."""
        import numpy as np

        found = npz.read(location.path, ("accel", "subject", "activity"), hint=self.remedy)
        accel, subject, activity = (found[name] for name in ("accel", "subject", "activity"))
        if accel.ndim != 3 or accel.shape[2] != 3 or not (subject.shape == activity.shape == accel.shape[:1]):
            raise EpochalError(
                f"{location.path} holds accel {accel.shape}, subject {subject.shape} and activity {activity.shape}; "
                "(n, samples, 3), (n,) and (n,) are needed.",
                hint=self.remedy,
            )
        self.insist_on(location.path, accel, activity, len(self.classes) - 1)
        count, length = accel.shape[:2]
        train = recordings.columns(
            accel.reshape(count * length, 3),
            np.repeat(activity, length),
            np.repeat(subject, length),
            np.repeat(np.arange(count), length),
        )
        splits = {"train": train, "test": recordings.nobody(train)}
        return splits, splits_digest(splits)


WISDM_WATCH = WisdmWatch(
    name="wisdm-watch",
    what="two-minute recordings of a smartwatch, 3 axes at 20 Hz, 6 activities, 51 people (WISDM)",
    kind=recordings.KIND,
    classes=("walking", "jogging", "climbing stairs", "sitting", "standing", "kicking a soccer ball"),
    licence="none stated in the copy; CC BY 4.0 at UCI (from memory)",
    items=(304, 0),
    stand_in="wrist",
    folders=("wisdm-watch", "wisdm"),
    by_hand="wisdm_watch_accel_6act.npz",
    rate_hz=20.0,
    unit="m/s²",
    channels=("x", "y", "z"),
)
