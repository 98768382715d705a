"""Windows of recordings: pieces of equal length that lie in one recording and bear one label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.errors import EpochalError, UsageError
from epochal.systems.data.recordings import UNLABELLED

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array
    from epochal.systems.data.recordings import Recordings


@dataclass(frozen=True)
class Windows:
    """What `cut` gives, in the order of the recordings and of time.

    Attributes:
        x: (n, channels, length) float32, in the unit of the recordings.
        labels: (n,) int64, index into the recordings' classes.
        subject: (n,) int32, who wore the sensor.
        recording: (n,) int32, the recording that each lies in.
        start: (n,) int64, row of each window's first sample among the recordings' samples.
        dropped: how many windows were left out as "mixed" and as "unlabelled", and how many recordings as "too short".
    """

    x: Array
    labels: Array
    subject: Array
    recording: Array
    start: Array
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.labels)


def cut(recordings: Recordings, *, length: int, step: int | None = None, purity: float = 1.0) -> Windows:
    """Cuts recordings into windows of one length.

    The label of a window is the most frequent one of its samples (of equally frequent ones the first of the classes).
    A window is left out as "unlabelled" where most frequent is that nothing is known, and as "mixed" where fewer than
    the share `purity` of its samples bear its label.

    Args:
        recordings: samples in time. Neighbouring rows of one recording and one subject belong together.
        length: samples of a window.
        step: samples from the start of a window to that of the next; None: `length`, so that none overlap.
        purity: in (0, 1]; 1: all samples of a window bear its label.

    Raises:
        UsageError: a length or step below 1, or a purity outside (0, 1].
        EpochalError: no window is left.
    """
    import numpy as np

    step = length if step is None else step
    _insist_on(length, step, purity)
    first, rows = _runs(recordings)
    fitting = np.where(rows < length, 0, (rows - length) // step + 1)
    within = np.arange(fitting.sum()) - np.repeat(np.cumsum(fitting) - fitting, fitting)
    start = np.repeat(first, fitting) + within * step
    labels, count = _most_frequent(recordings.activity, start, length)
    unlabelled = labels == UNLABELLED
    # count / length, not purity * length: a share that was typed as 0.7 is reached by 7 samples of 10
    mixed = ~unlabelled & (count / length < purity)
    dropped = {
        "mixed": int(mixed.sum()),
        "unlabelled": int(unlabelled.sum()),
        "too short": int((rows < length).sum()),
    }
    kept = ~(unlabelled | mixed)
    if not kept.any():
        left_out = f"{dropped['mixed']:,} windows are mixed, {dropped['unlabelled']:,} unlabelled, and "
        raise EpochalError(
            f"No window of {length:,} samples is left of {len(first):,} recordings ({len(recordings.samples):,} "
            f"samples): {left_out}{dropped['too short']:,} recordings are too short.",
            hint=f"The longest recording has {rows.max(initial=0):,} samples. Choose shorter windows (--data.window), "
            "or a smaller purity (--data.purity).",
        )
    start = start[kept]
    pieces = np.lib.stride_tricks.sliding_window_view(recordings.samples, length, axis=0)
    return Windows(
        x=pieces[start].astype(np.float32, copy=False),  # (n, channels, length)
        labels=labels[kept],
        subject=recordings.subject[start],
        recording=recordings.recording[start],
        start=start,
        dropped=dropped,
    )


def _insist_on(length: int, step: int, purity: float) -> None:
    if length < 1 or step < 1:
        what, value = ("length", length) if length < 1 else ("step", step)
        raise UsageError(f"The {what} of a window is {value}; at least 1 sample is needed.")
    if not 0 < purity <= 1:
        raise UsageError(
            f"The purity of a window is {purity}; it must be above 0 and at most 1.",
            hint="It is the share of a window's samples that bear its label.",
        )


def _runs(recordings: Recordings) -> tuple[Array, Array]:
    """First row and number of rows of each stretch of one recording and one subject."""
    import numpy as np

    who, which = recordings.subject, recordings.recording
    if not len(which):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changes = np.flatnonzero((which[1:] != which[:-1]) | (who[1:] != who[:-1])) + 1
    bounds = np.concatenate([[0], changes, [len(which)]])
    return bounds[:-1], np.diff(bounds)


def _most_frequent(activity: Array, start: Array, length: int) -> tuple[Array, Array]:
    """The most frequent label of each window, and how many of its samples bear it: (n,) int64 each."""
    import numpy as np

    label = np.full(len(start), UNLABELLED, np.int64)
    most = np.zeros(len(start), np.int64)
    present = np.unique(activity)
    # What is unlabelled comes last: a class that is as frequent wins.
    for one in (*present[present != UNLABELLED], *present[present == UNLABELLED]):
        until = np.concatenate([[0], np.cumsum(activity == one)])
        count = until[start + length] - until[start]
        more = count > most
        label[more], most[more] = one, count[more]
    return label, most
