"""What a recording of a worn sensor is, whatever file it came from: samples in time, of somebody who does something.

Sources of this kind (`KIND`) give one row a sample, in both splits:

- "samples" (N, channels) float32, NaN nowhere, in the unit of `Dataset.extras["unit"]` ("g", "m/s²", "counts", …),
- "activity" (N,) int16: index into `Dataset.classes`; `UNLABELLED` where nothing is known,
- "subject" (N,) int32: who wore it; `UNKNOWN` where nobody says,
- "recording" (N,) int32: samples of one number are consecutive in time, `1 / Dataset.extras["rate_hz"]` seconds
  apart; a window never reaches over its end.

Other extras are "channels", their names; "window", where the recordings are windows already, their length in samples;
and "subjects", where people have names, those names, of which the column holds the places. Who is trained on and who
tests is not the source's affair but `subjects`': "train" holds everybody, and "test" nobody, unless the publisher
divided them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epochal.systems.data.dataset import Array, Dataset

KIND = "recordings of a worn sensor by subject"
UNLABELLED = -1
UNKNOWN = -1
GRAVITY = 9.80665
"""One g in m/s² (by definition: CGPM 1901)."""


@dataclass(frozen=True)
class Recordings:
    """One split of a source of this kind; the arrays are those of the module's docstring.

    Raises:
        ValueError: arrays of unequal length, or samples that are not (N, channels).
    """

    samples: Array
    activity: Array
    subject: Array
    recording: Array
    rate_hz: float
    unit: str
    classes: Sequence[str]
    channels: Sequence[str]

    def __post_init__(self) -> None:
        rows = {len(self.samples), len(self.activity), len(self.subject), len(self.recording)}
        if self.samples.ndim != 2 or len(rows) > 1:
            raise ValueError(
                f"recordings need samples (N, channels) and N labels, subjects and recordings, but got "
                f"{self.samples.shape}, {self.activity.shape}, {self.subject.shape} and {self.recording.shape}"
            )


def of(found: Dataset, split: str) -> Recordings:
    """A split of a data set of this kind."""
    rows, extras = found.splits[split], found.extras
    return Recordings(
        samples=rows["samples"],
        activity=rows["activity"],
        subject=rows["subject"],
        recording=rows["recording"],
        rate_hz=float(extras["rate_hz"]),
        unit=extras["unit"],
        classes=found.classes,
        channels=extras["channels"],
    )


def columns(samples: Array, activity: Array, subject: Array, recording: Array) -> dict[str, Array]:
    """The four columns in the types that they are kept in."""
    import numpy as np

    return {
        "samples": np.ascontiguousarray(samples, np.float32),
        "activity": np.ascontiguousarray(activity, np.int16),
        "subject": np.ascontiguousarray(subject, np.int32),
        "recording": np.ascontiguousarray(recording, np.int32),
    }


def nobody(like: Mapping[str, Array]) -> dict[str, Array]:
    """The columns of a split without a sample."""
    return {name: column[:0] for name, column in like.items()}


def in_unit(samples: Array, unit: str, wanted: str) -> Array:
    """Accelerations in another unit, g or m/s².

    Raises:
        EpochalError: one cannot be made of the other (uncalibrated counts).
    """
    if unit == wanted:
        return samples
    factors = {("g", "m/s²"): GRAVITY, ("m/s²", "g"): 1 / GRAVITY}
    if (unit, wanted) not in factors:
        raise EpochalError(
            f"The samples are in {unit}; {wanted} are needed, and one cannot be made of the other.",
            hint="Choose a network that was trained on a sensor with the same unit.",
        )
    converted: Array = samples * samples.dtype.type(factors[unit, wanted])
    return converted
