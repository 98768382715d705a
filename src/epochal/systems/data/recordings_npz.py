"""Recordings of a worn sensor that lie in one .npz file of known name: what such sources have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits


@dataclass(frozen=True, kw_only=True)
class NpzRecordings(FileSource):
    """A source of the kind `recordings.KIND` in one file, `by_hand`.

    Attributes:
        rate_hz: samples a second.
        unit: of the samples, in words.
        channels: names.
    """

    rate_hz: float
    unit: str
    channels: tuple[str, ...]

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The .npz file."""
        return Location(place / self.by_hand) if (place / self.by_hand).is_file() else None

    def extras(self, location: Location, splits: Splits) -> Mapping[str, Any]:
        """Rate, unit and channels."""
        return {"rate_hz": self.rate_hz, "unit": self.unit, "channels": self.channels}

    def insist_on(self, path: Path, samples: Array, labels: Array, highest: int) -> None:
        """Refuses samples that are no finite numbers, and labels that are none of 0 to `highest`.

        Raises:
            EpochalError: with `remedy` as hint.
        """
        import numpy as np

        if samples.dtype.kind not in "fiu" or not np.isfinite(samples).all():
            raise EpochalError(f"{path} holds samples that are no finite numbers.", hint=self.remedy)
        if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels <= highest)).all():
            raise EpochalError(f"{path} holds labels beyond 0 to {highest}.", hint=self.remedy)
