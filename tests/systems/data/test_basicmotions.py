"""Four motions: the real file with its published division, and damaged copies of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import recordings, subjects, windows
from epochal.systems.data.basicmotions import BASICMOTIONS


def test_the_real_recordings(real_data: Path) -> None:
    """40 + 40 recordings of 100 samples and 6 channels, cut back into the series of the file."""
    found = BASICMOTIONS.load(str(real_data))
    with np.load(real_data / "basicmotions.npz") as archive:
        for split in ("train", "test"):
            cut = windows.cut(recordings.of(found, split), length=100)
            assert np.array_equal(cut.x, archive[f"{split}_x"]) and cut.x.shape == (40, 6, 100)
            assert np.array_equal(cut.labels, archive[f"{split}_y"])
        assert [name.capitalize() for name in found.classes] == archive["class_names"].tolist()
    train, test = (found.splits[split] for split in ("train", "test"))
    assert train["recording"].max() + 1 == test["recording"].min() == 40
    assert found.extras["rate_hz"] == 10.0 and len(found.extras["channels"]) == 6


def test_nobody_is_known(real_data: Path) -> None:
    """The same four people may train and test: refused unless that is asked for, so that no report is silent on it."""
    found = BASICMOTIONS.load(str(real_data))
    who = {split: found.splits[split]["subject"] for split in ("train", "test")}
    with pytest.raises(EpochalError, match="In train and test it is not known"):
        subjects.insist_disjoint(who)
    subjects.insist_disjoint(who, allow_unknown=True)


def test_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A series with a channel too few, a label too many: the split is named."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    good = {f"{split}_x": np.zeros((4, 6, 10), np.float32) for split in ("train", "test")}
    good |= {f"{split}_y": np.arange(4, dtype=np.uint8) for split in ("train", "test")}
    for changed, said in (
        ({"test_x": np.zeros((4, 5, 10), np.float32)}, r"test_x \(4, 5, 10\) and test_y \(4,\)"),
        ({"train_y": np.arange(5)}, r"train_x \(4, 6, 10\) and train_y \(5,\)"),
        ({"train_y": np.array([0, 1, 2, 4])}, "labels beyond 0 to 3"),
    ):
        np.savez(tmp_path / BASICMOTIONS.by_hand, **{**good, **changed})
        with pytest.raises(EpochalError, match=said):
            BASICMOTIONS.load(str(tmp_path))
