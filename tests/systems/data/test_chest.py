"""The recordings of the chest: the real file as it is published, and damaged copies of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import recordings
from epochal.systems.data.chest import CHEST


def test_the_real_recordings(real_data: Path) -> None:
    """15 people in order, one recording each; the published number of samples of each activity, 0 not labelled."""
    found = CHEST.load(str(real_data))
    whole = recordings.of(found, "train")
    assert (whole.rate_hz, whole.unit, whole.channels) == (52.0, "counts", ("x", "y", "z"))
    assert whole.samples.shape == (1_926_896, 3) and whole.samples.max() == 4095
    assert np.array_equal(whole.subject, whole.recording + 1) and set(whole.subject.tolist()) == set(
        range(1, 16)
    )
    counts = [3719, 608667, 47878, 216737, 357064, 51498, 47770, 593563]
    assert np.bincount(whole.activity + 1).tolist() == counts
    assert len(found.classes) == 7 and recordings.UNLABELLED == -1
    with np.load(real_data / "chest_accel_15subj.npz") as archive:
        assert np.array_equal(whole.samples, archive["accel"]), "float32 holds every count exactly"
    with pytest.raises(EpochalError, match=r"in counts; m/s² are needed"):
        recordings.in_unit(whole.samples, whole.unit, "m/s²")


def test_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that do not fit and unknown activities: one sentence each; a person who comes again begins anew."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    accel = np.zeros((6, 3), np.uint16)
    good = {"accel": accel, "subject": np.array([1, 1, 2, 2, 1, 1], np.uint8), "activity": np.arange(6)}
    for changed, said in (
        ({"accel": accel[:, :2]}, r"accel \(6, 2\).* are needed"),
        ({"activity": np.array([0, 1, 2, 3, 4, 8])}, "labels beyond 0 to 7"),
    ):
        np.savez(tmp_path / CHEST.by_hand, **{**good, **changed})
        with pytest.raises(EpochalError, match=said):
            CHEST.load(str(tmp_path))
    np.savez(tmp_path / CHEST.by_hand, **good)
    train = CHEST.load(str(tmp_path)).splits["train"]
    assert train["recording"].tolist() == [0, 0, 1, 1, 2, 2] and train["activity"].tolist() == [
        -1,
        0,
        1,
        2,
        3,
        4,
    ]
