"""An accelerometer on the chest, 15 people, seven activities (Casale, Pujol and Radeva 2012).

Uncalibrated counts of 3 axes at 52 Hz: no acceleration in g or m/s² can be made of them. Some labels name two things
that are done at once or in turn, as their publisher has them.
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
class Chest(NpzRecordings):
    """Columns as `recordings` says; each recording is all of one person's samples, in order."""

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads the samples; the file's activity 0 means that there is no label."""
        import numpy as np

        found = npz.read(location.path, ("accel", "subject", "activity"), hint=self.remedy)
        accel, subject, activity = (found[name] for name in ("accel", "subject", "activity"))
        if accel.ndim != 2 or accel.shape[1] != 3 or not (subject.shape == activity.shape == accel.shape[:1]):
            raise EpochalError(
                f"{location.path} holds accel {accel.shape}, subject {subject.shape} and activity {activity.shape}; "
                "(n, 3), (n,) and (n,) are needed.",
                hint=self.remedy,
            )
        self.insist_on(location.path, accel, activity, len(self.classes))
        label = activity.astype(np.int16) - 1
        label[activity == 0] = recordings.UNLABELLED
        recording = np.cumsum(np.diff(subject, prepend=subject[:1]) != 0)
        train = recordings.columns(accel, label, subject, recording)
        splits = {"train": train, "test": recordings.nobody(train)}
        return splits, splits_digest(splits)


CHEST = Chest(
    name="chest",
    what="recordings of an accelerometer on the chest, 3 axes at 52 Hz in counts, 7 activities, 15 people",
    kind=recordings.KIND,
    classes=(
        "working at a computer",
        "standing up, walking and stairs",
        "standing",
        "walking",
        "stairs",
        "walking and talking",
        "talking while standing",
    ),
    licence="none stated; for activity recognition research; CC BY 4.0 at UCI (from memory)",
    items=(15, 0),
    stand_in="wrist",
    folders=("chest",),
    by_hand="chest_accel_15subj.npz",
    rate_hz=52.0,
    unit="counts",
    channels=("x", "y", "z"),
)
