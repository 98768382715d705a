"""Windows of recordings: the vectorised cut against a plain loop, on random labellings and on real recordings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import recordings, windows
from epochal.systems.data.chest import CHEST
from epochal.systems.data.recordings import UNLABELLED, Recordings


def made(activity: list[int], lengths: list[int], channels: int = 2) -> Recordings:
    """Recordings of those lengths, each of a person of its own; every sample differs from all others."""
    rows = len(activity)
    return Recordings(
        samples=np.arange(rows * channels, dtype=np.float32).reshape(rows, channels),
        activity=np.array(activity, np.int16),
        subject=np.repeat(np.arange(len(lengths), dtype=np.int32) + 50, lengths),
        recording=np.repeat(np.arange(len(lengths), dtype=np.int32) * 2, lengths),
        rate_hz=10.0,
        unit="g",
        classes=("a", "b", "c"),
        channels=("x", "y")[:channels],
    )


def plainly(
    whole: Recordings, length: int, step: int, purity: float
) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Start and label of each window that is kept, and what is dropped: one row after the other."""
    kept, dropped = [], {"mixed": 0, "unlabelled": 0, "too short": 0}
    for number in dict.fromkeys(whole.recording.tolist()):
        rows = [row for row, other in enumerate(whole.recording.tolist()) if other == number]
        dropped["too short"] += len(rows) < length
        for place in range(0, len(rows) - length + 1, step):
            start = rows[place]
            count = Counter(whole.activity[start : start + length].tolist())
            most = max(count.values())
            label = min(
                (one for one, n in count.items() if n == most), key=lambda one: (one == UNLABELLED, one)
            )
            if label == UNLABELLED:
                dropped["unlabelled"] += 1
            elif most / length < purity:
                dropped["mixed"] += 1
            else:
                kept.append((start, label))
    return kept, dropped


@given(data=st.data())
def test_the_cut_is_that_of_a_plain_loop(data: st.DataObject) -> None:
    """For any labelling, lengths, step and purity: the same windows, labels, people and counts as row by row."""
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    label = st.integers(UNLABELLED, 2)
    activity = data.draw(st.lists(label, min_size=sum(lengths), max_size=sum(lengths)))
    length, step = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 9))
    purity = data.draw(st.sampled_from([0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0]))
    whole = made(activity, lengths)
    wanted, dropped = plainly(whole, length, step, purity)
    if not wanted:
        with pytest.raises(EpochalError, match="No window of"):
            windows.cut(whole, length=length, step=step, purity=purity)
        return
    found = windows.cut(whole, length=length, step=step, purity=purity)
    assert list(zip(found.start.tolist(), found.labels.tolist(), strict=True)) == wanted
    assert found.dropped == dropped and len(found) == len(wanted)
    for place, (start, _) in enumerate(wanted):
        assert np.array_equal(found.x[place], whole.samples[start : start + length].T)
        assert (
            found.recording[place] == whole.recording[start] and found.subject[place] == whole.subject[start]
        )


def test_shapes_and_types() -> None:
    """What recipes rely on: x (n, channels, length) float32 and contiguous, labels and start int64."""
    found = windows.cut(made([0] * 20, [20], channels=1), length=6)
    assert found.x.shape == (3, 1, 6) and found.x.dtype == np.float32 and found.x.flags.c_contiguous
    assert found.labels.dtype == found.start.dtype == np.int64
    assert found.start.tolist() == [0, 6, 12], "without a step none overlap"
    assert found.subject.dtype == found.recording.dtype == np.int32


def test_a_share_is_reached_exactly() -> None:
    """7 samples of 10 reach a purity of 0.7, as typed, though 0.7 is no binary fraction; 0.71 they do not reach."""
    whole = made([1] * 7 + [0] * 3, [10])
    assert windows.cut(whole, length=10, purity=0.7).labels.tolist() == [1]
    with pytest.raises(
        EpochalError, match="1 windows are mixed, 0 unlabelled, and 0 recordings are too short"
    ):
        windows.cut(whole, length=10, purity=0.71)


def test_two_people_share_no_window() -> None:
    """Even where a recording's number goes on, a window lies within one person's rows."""
    whole = made([0] * 8, [4, 4])
    whole.recording[:] = 3
    assert windows.cut(whole, length=3, step=1).start.tolist() == [0, 1, 4, 5]


def test_real_recordings(real_data: Path) -> None:
    """All of the chest recordings, 1.9 million samples: within each window one person, one recording and one label."""
    whole = recordings.of(CHEST.load(str(real_data)), "train")
    found = windows.cut(whole, length=520, step=260)
    ends = found.start + 519
    assert found.x.shape[1:] == (3, 520) and len(found) > 6_000
    for column in (whole.subject, whole.recording, whole.activity):
        assert np.array_equal(column[found.start], column[ends])
    place = len(found) // 2
    start = int(found.start[place])
    assert set(whole.activity[start : start + 520].tolist()) == {found.labels[place]}
    mostly = windows.cut(whole, length=520, step=260, purity=0.5)
    assert len(mostly) > len(found) and sum(found.dropped.values()) + len(found) == sum(
        mostly.dropped.values()
    ) + len(mostly), "every window is kept or counted"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"length": 0}, "The length of a window is 0; at least 1 sample"),
        ({"length": 5, "step": 0}, "The step of a window is 0; at least 1 sample"),
        ({"length": 5, "purity": 0.0}, "purity of a window is 0.0; it must be above 0 and at most 1"),
        ({"length": 5, "purity": 1.5}, "purity of a window is 1.5"),
        ({"length": 5, "purity": float("nan")}, "purity of a window is nan"),
    ],
)
def test_what_cannot_be_asked_for(asked: dict[str, float], said: str) -> None:
    """A length, step or purity out of range is refused before anything is cut."""
    with pytest.raises(UsageError, match=said):
        windows.cut(made([0] * 9, [9]), **asked)  # type: ignore[arg-type]


def test_no_window_is_left() -> None:
    """The message counts why: too short, unlabelled or mixed; without a sample too."""
    with pytest.raises(
        EpochalError, match=r"No window of 30 samples .* 2 recordings \(30 samples\).* 2 recordings are"
    ):
        windows.cut(made([0] * 30, [10, 20]), length=30)
    with pytest.raises(EpochalError, match="0 windows are mixed, 3 unlabelled"):
        windows.cut(made([UNLABELLED] * 30, [30]), length=10)
    with pytest.raises(EpochalError, match="left of 0 recordings"):
        windows.cut(made([], []), length=10)
