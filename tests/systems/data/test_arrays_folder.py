"""A folder of arrays: what is read, and one clear sentence for everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import recordings, subjects, windows
from epochal.systems.data.arrays_folder import ARRAYS_FOLDER

ABOUT: dict[str, Any] = {"rate_hz": 100, "unit": "g"}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Twelve windows of three axes and 50 samples, four people, three activities."""
    rng = np.random.default_rng(0)
    return {
        "X": rng.normal(size=(12, 3, 50)),
        "y": np.arange(12) % 3,
        "subject": np.repeat(np.arange(4), 3),
    }


def write(folder: Path, arrays: dict[str, Any], about: Any = ABOUT, *, archive: bool = False) -> Path:
    """A folder of those arrays, in one file or in several."""
    folder.mkdir(exist_ok=True)
    if archive:
        np.savez(folder / "arrays.npz", **arrays)
    for name, array in arrays.items() if not archive else ():
        np.save(folder / f"{name}.npy", array)
    if about is not None:
        text = about if isinstance(about, str) else json.dumps(about)
        (folder / "about.json").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("dtype", ["uint8", "uint64", ">i2", "int32"])
def test_whole_numbers_of_any_kind(tmp_path: Path, arrays: dict[str, np.ndarray], dtype: str) -> None:
    """Whoever saved the labels chose their type: it does not matter, nor does the byte order of X."""
    stored = {
        "X": arrays["X"].astype(">f4"),
        **{name: arrays[name].astype(dtype) for name in ("y", "subject")},
    }
    train = ARRAYS_FOLDER.load(str(write(tmp_path, stored))).splits["train"]
    assert train["activity"][::50].tolist() == arrays["y"].tolist()
    assert np.array_equal(train["samples"][:50], arrays["X"][0].T.astype(np.float32))


@pytest.mark.parametrize("archive", [False, True])
def test_windows_come_back_as_they_were(tmp_path: Path, arrays: dict[str, np.ndarray], archive: bool) -> None:
    """Cut into windows of their own length, the recordings are X, y and subject again."""
    folder = write(tmp_path / "own", arrays, archive=archive)
    found = ARRAYS_FOLDER.load(str(folder))
    cut = windows.cut(recordings.of(found, "train"), length=50)
    assert np.array_equal(cut.x, arrays["X"].astype(np.float32))
    assert np.array_equal(cut.labels, arrays["y"]) and np.array_equal(cut.subject, arrays["subject"])
    assert cut.recording.tolist() == list(range(12)) and cut.dropped == {
        "mixed": 0,
        "unlabelled": 0,
        "too short": 0,
    }
    assert found.classes == ("0", "1", "2") and found.extras["channels"] == ("x", "y", "z")
    assert (found.extras["rate_hz"], found.extras["unit"]) == (100.0, "g") and not found.drawn
    assert not len(found.splits["test"]["samples"])
    assert ARRAYS_FOLDER.find(str(folder)) == folder == ARRAYS_FOLDER.fetch(str(folder))
    assert ARRAYS_FOLDER.verify(str(folder)).passed


def test_labels_from_one_make_no_empty_class(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Labels 1, 7 and 14 are three classes that bear these names; -1 stays unlabelled."""
    arrays["y"] = np.array([1, 7, 14, -1] * 3)
    found = ARRAYS_FOLDER.load(str(write(tmp_path, arrays)))
    assert found.classes == ("1", "7", "14")
    assert found.splits["train"]["activity"][::50].tolist() == [0, 1, 2, -1] * 3


def test_names_that_are_given(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Classes and channels of about.json are kept, also one that no window bears; m/s^2 is m/s²."""
    about = {"rate_hz": 31.25, "unit": "m/s^2", "classes": list("abcd"), "channels": ["u", "v", "w"]}
    found = ARRAYS_FOLDER.load(str(write(tmp_path, arrays, about)))
    assert found.classes == tuple("abcd") and found.extras["channels"] == ("u", "v", "w")
    assert found.extras["unit"] == "m/s²" and found.extras["rate_hz"] == 31.25


@pytest.mark.parametrize("split", [["train"] * 9 + ["test"] * 3, [0] * 9 + [1] * 3, [False] * 9 + [True] * 3])
@pytest.mark.parametrize("archive", [False, True])
def test_a_published_division_is_kept(
    tmp_path: Path, arrays: dict[str, np.ndarray], split: list[Any], archive: bool
) -> None:
    """By name, number or truth value: the last three windows, one person's, test."""
    found = ARRAYS_FOLDER.load(
        str(write(tmp_path / "own", {**arrays, "split": np.array(split)}, archive=archive))
    )
    test = windows.cut(recordings.of(found, "test"), length=50)
    assert np.array_equal(test.x, arrays["X"][9:].astype(np.float32)) and test.recording.tolist() == [
        9,
        10,
        11,
    ]
    who = {name: columns["subject"] for name, columns in found.splits.items()}
    subjects.insist_disjoint(who)


def _with(**changed: Any) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    return lambda arrays: {**arrays, **changed}


def _nan(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    arrays["X"][[4, 6], 1, 7] = np.nan
    return arrays


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with(X=np.zeros((12, 150))), r"X has the shape \(12, 150\); \(n, channels, samples\) is needed"),
        (_with(X=np.zeros((0, 3, 50))), r"X has the shape \(0, 3, 50\)"),
        (_with(X=np.full((12, 3, 50), "a")), "X holds <U1; numbers are needed"),
        (
            _with(X=np.full((12, 3, 50), 1e300)),
            r"X\[0\] holds NaN or infinite samples, as do 12 of 12 windows",
        ),
        (_nan, r"X\[4\] holds NaN or infinite samples, as do 2 of 12 windows"),
        (_with(y=np.arange(11)), r"y has the shape \(11,\), but X has 12 windows; \(12,\) is needed"),
        (_with(subject=np.zeros((12, 1), int)), r"subject has the shape \(12, 1\)"),
        (_with(y=np.linspace(0, 2, 12)), "y holds float64; whole numbers are needed"),
        (_with(subject=np.array(["ann"] * 12)), "subject holds <U3; whole numbers are needed"),
        (_with(y=np.full(12, -2)), "y holds -2; whole numbers from 0"),
        (_with(subject=np.full(12, 2**40)), "subject holds 1099511627776; whole numbers from 0"),
        (
            _with(y=np.array([None] * 12)),
            r"(y\.npy is no \.npy file of a plain|is no \.npz file of plain).*pickled",
        ),
        (_with(split=np.array(["train"] * 11 + ["dev"])), "split holds 'dev', 'train'"),
        (_with(split=np.arange(12)), "split holds 0, 1, 2, 3, 4"),
        (_with(split=np.zeros(11)), r"split has the shape \(11,\)"),
        (_with(split=np.ones(12, int)), "split leaves no window to train on"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    change: Callable[[dict[str, np.ndarray]], dict[str, Any]],
    said: str,
    archive: bool,
) -> None:
    """Each mistake is named with its value and has a hint, whichever of the two forms the arrays have."""
    folder = write(tmp_path / "own", change(arrays), archive=archive)
    with pytest.raises(EpochalError, match=said) as error:
        ARRAYS_FOLDER.load(str(folder))
    assert error.value.hint and str(folder) in error.value.what
    failed = ARRAYS_FOLDER.verify(str(folder))
    assert not failed.passed and failed.checks[0].detail == error.value.what


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (None, "There is no about.json in .*: the rate is missing"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ([1], "is no JSON object; it may have rate_hz, unit, classes, channels"),
        ({**ABOUT, "rate": 3}, "has rate; it may have rate_hz"),
        ({"unit": "g"}, "lacks rate_hz"),
        ({}, "lacks rate_hz and unit"),
        ({**ABOUT, "rate_hz": 0}, "rate_hz is 0; a number above 0"),
        ({**ABOUT, "rate_hz": True}, "rate_hz is True"),
        ({**ABOUT, "rate_hz": "100"}, "rate_hz is '100'"),
        ({**ABOUT, "rate_hz": float("nan")}, "rate_hz is nan"),
        ({**ABOUT, "rate_hz": 10**400}, "rate_hz is 1000.*at most 1,000,000, is needed"),
        ({**ABOUT, "unit": " "}, "unit is ' '; a text"),
        ({**ABOUT, "classes": []}, r"classes is \[\]; a list of names"),
        ({**ABOUT, "classes": ["a", "b", "a"]}, "classes has a name twice: a, b, a"),
        (
            {**ABOUT, "classes": ["a", "b"]},
            "y holds 2, but about.json names 2 classes: labels go from 0 to 1",
        ),
        ({**ABOUT, "channels": ["x", "y"]}, "X has 3 channels, but about.json names 2: x, y"),
    ],
)
def test_what_about_json_must_say(
    tmp_path: Path, arrays: dict[str, np.ndarray], about: Any, said: str
) -> None:
    """Without the rate nothing can be recognised; each mistake in the file is named."""
    with pytest.raises(EpochalError, match=said) as error:
        ARRAYS_FOLDER.load(str(write(tmp_path / "own", arrays, about)))
    assert error.value.hint


def test_what_is_missing(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """No folder, a folder without arrays, one without some, one with both forms, a damaged file."""
    with pytest.raises(UsageError, match="arrays-folder needs a folder"):
        ARRAYS_FOLDER.load(None)
    assert ARRAYS_FOLDER.find(None) is None and ARRAYS_FOLDER.find(str(tmp_path)) is None
    with pytest.raises(EpochalError, match=r"holds neither arrays.npz nor X.npy"):
        ARRAYS_FOLDER.load(str(write(tmp_path, {})))
    write(tmp_path, {"X": arrays["X"]})
    with pytest.raises(EpochalError, match=r"lacks y.npy and subject.npy"):
        ARRAYS_FOLDER.load(str(tmp_path))
    write(tmp_path, arrays)
    (tmp_path / "y.npy").write_bytes((tmp_path / "y.npy").read_bytes()[:-3])
    with pytest.raises(EpochalError, match=r"y.npy is no .npy file of a plain array: it is damaged"):
        ARRAYS_FOLDER.load(str(tmp_path))
    (tmp_path / "arrays.npz").write_bytes(b"PK")
    with pytest.raises(EpochalError, match=r"holds both arrays.npz and X.npy"):
        ARRAYS_FOLDER.load(str(tmp_path))
    (tmp_path / "X.npy").unlink()
    with pytest.raises(EpochalError, match=r"arrays.npz is no .npz file"):
        ARRAYS_FOLDER.load(str(tmp_path))
    write(tmp_path, {"X": arrays["X"]}, archive=True)
    with pytest.raises(EpochalError, match=r"arrays.npz lacks the array 'y'"):
        ARRAYS_FOLDER.load(str(tmp_path))
