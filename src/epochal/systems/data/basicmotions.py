"""Four motions of four people with a smartwatch, 80 recordings of ten seconds (BasicMotions; Bagnall et al. 2018).

Accelerometer and gyroscope at 10 Hz, the accelerometer without gravity; their units are not stated. Half of the
recordings are the published test set. Nobody says who wore the sensor, so the same people train and test: good for a
quick check, no measure of how well strangers are recognised.
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
    from epochal.systems.data.dataset import Array, Splits


@dataclass(frozen=True, kw_only=True)
class BasicMotions(NpzRecordings):
    """Columns as `recordings` says, divided as published; the numbers of recordings go on from training to test."""

    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Joins the recordings of each split."""
        keys = ("train_x", "train_y", "test_x", "test_y")
        found = npz.read(location.path, keys, hint=self.remedy)
        first, splits = 0, {}
        for split in ("train", "test"):
            x, y = found[f"{split}_x"], found[f"{split}_y"]
            if x.ndim != 3 or x.shape[1] != len(self.channels) or y.shape != x.shape[:1]:
                raise EpochalError(
                    f"{location.path} holds {split}_x {x.shape} and {split}_y {y.shape}; "
                    f"(n, {len(self.channels)}, samples) and (n,) are needed.",
                    hint=self.remedy,
                )
            self.insist_on(location.path, x, y, len(self.classes) - 1)
            splits[split] = _joined(x, y, first)
            first += len(x)
        return splits, splits_digest(splits)


def _joined(x: Array, y: Array, first: int) -> dict[str, Array]:
    """The four columns of recordings (n, channels, samples) that are numbered from `first` on."""
    import numpy as np

    count, channels, length = x.shape
    return recordings.columns(
        x.transpose(0, 2, 1).reshape(count * length, channels),
        np.repeat(y, length),
        np.full(count * length, recordings.UNKNOWN),
        np.repeat(np.arange(first, first + count), length),
    )


BASICMOTIONS = BasicMotions(
    name="basicmotions",
    what="ten-second recordings of a smartwatch, 6 channels at 10 Hz, 4 motions (BasicMotions)",
    kind=recordings.KIND,
    classes=("standing", "running", "walking", "badminton"),
    licence="BSD 3-Clause, (c) 2019 - present, The sktime developers",
    items=(40, 40),
    stand_in="wrist",
    folders=("basicmotions", "BasicMotions"),
    by_hand="basicmotions.npz",
    rate_hz=10.0,
    unit="an unstated unit",
    channels=("acceleration x", "acceleration y", "acceleration z", "turning x", "turning y", "turning z"),
)
