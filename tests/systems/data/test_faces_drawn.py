"""Drawn faces: the same everywhere, true to their conditions, smooth, and drawn only as far as they are used."""

from __future__ import annotations

import itertools
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from epochal.errors import UsageError
from epochal.systems import data
from epochal.systems.data import faces, faces_drawn, faces_paint, faces_people, kept_rows
from epochal.systems.data.catalogue import SOURCES

MALE, HAIR, MOUTH, EYES = 0, 2, 3, 4


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conditions, persons and pictures of some faces."""
    conditions, persons = faces_drawn.sample([7], 0, 24)
    return conditions, persons, faces_drawn.draw(conditions, persons)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A source of few faces in shards of four, and an empty cache; gives the file of training images."""
    source = replace(faces_drawn.DRAWN_FACES, items=(22, 5))
    monkeypatch.setitem(SOURCES, source.name, source)
    monkeypatch.setattr(kept_rows, "SHARD", 4)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    return source.images("train").path


def moved(column: int, values: list[float], persons: int = 6) -> np.ndarray:
    """Pictures (persons, values, 120, 120, 3) of the same persons with one condition moved, all else in the middle."""
    _, numbers = faces_drawn.sample([8], 0, persons)
    conditions = np.full((persons, len(values), 5), 0.5, np.float32)
    conditions[..., :2] = 1, 0
    conditions[..., column] = values
    if column == MALE:
        conditions[..., 1] = 1 - conditions[..., 0]
    images = faces_drawn.draw(conditions.reshape(-1, 5), np.repeat(numbers, len(values), 0))
    return images.reshape(persons, len(values), *images.shape[1:]).astype(float)


def test_a_face_depends_on_its_own_row_alone(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The same bytes one by one, in another order, and in batches of another size; another stream differs."""
    conditions, persons, images = drawn
    assert images.shape == (24, 120, 120, 3) and images.dtype == np.uint8
    for item in (0, 9, 23):
        one = slice(item, item + 1)
        assert np.array_equal(faces_drawn.draw(conditions[one], persons[one])[0], images[item])
    assert np.array_equal(faces_drawn.draw(conditions[::-3], persons[::-3]), images[::-3])
    assert np.array_equal(faces_paint.paint(faces_people.people(conditions, persons)), images)
    later = faces_drawn.sample([7], 5, 8)
    assert np.array_equal(later[0], conditions[5:8]) and np.array_equal(later[1], persons[5:8])
    assert not np.array_equal(faces_drawn.sample([8], 0, 24)[0], conditions)


def test_the_pixels_are_those_of_this_edition(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """A change of the drawing must raise EDITION, or caches would mix. Exactly rounded arithmetic: no tolerance."""
    assert faces_drawn.EDITION == 2
    assert sha256(drawn[2].tobytes()).hexdigest()[:16] == "53d5408f708ea255"


def test_conditions_are_exact_and_independent() -> None:
    """Sex style 0 or 1 in equal shares, the others uniform, none correlated with another or with what else varies."""
    columns = faces_drawn.columns("train", 4000)
    conditions = columns["conditions"]
    assert conditions.shape == (4000, len(faces.CONDITIONS)) and conditions.dtype == np.float32
    assert set(np.unique(conditions[:, :2])) == {0, 1} and (conditions[:, :2].sum(1) == 1).all()
    assert abs(conditions[:, MALE].mean() - 0.5) < 0.03
    deciles = np.stack([np.histogram(conditions[:, k], 10, (0, 1))[0] for k in (HAIR, MOUTH, EYES)])
    assert deciles.min() > 320 and deciles.max() < 480
    others = ("glasses", "tilt", "turn", "scale", "skin", "smile", "curl")
    varied = np.column_stack([conditions[:, 1:], *(columns[name] for name in others), columns["shift"]])
    correlation = np.corrcoef(varied.T) - np.eye(varied.shape[1])
    assert np.abs(correlation).max() < 0.07  # 4.4 standard errors
    assert columns["glasses"].dtype == np.uint8 and 0.18 < columns["glasses"].mean() < 0.26
    assert 3 < np.abs(columns["tilt"]).max() < 8.1


def test_no_single_measure_tells_the_sex_style_but_all_together_do() -> None:
    """A judge must weigh the whole face: the best threshold on one measure errs, a linear rule on all does not."""
    from sklearn.linear_model import LogisticRegression

    conditions, persons = faces_drawn.sample([9], 0, 3000)
    who = faces_people.people(conditions, persons)
    male = conditions[:, MALE]
    names = (
        "jaw",
        "square",
        "chin",
        "neck",
        "shoulder",
        "stubble",
        "lash",
        "brow_thickness",
        "brow_arch",
        "lips",
    )
    cues = np.stack([getattr(who, name) for name in (*names, "lip_red", "length", "brow_height")], 1)
    for cue in cues.T:
        right = [np.mean((cue > level) == male) for level in np.quantile(cue, np.linspace(0.02, 0.98, 97))]
        assert 0.7 < max(*right, 1 - min(right)) < 0.96
    cues = (cues - cues.mean(0)) / cues.std(0)
    assert LogisticRegression().fit(cues[:2000], male[:2000]).score(cues[2000:], male[2000:]) > 0.995


def test_darker_hair_is_darker() -> None:
    """Every step of hair darkness darkens the top of the head, for everyone, and nothing below the chin."""
    images = moved(HAIR, [0, 0.25, 0.5, 0.75, 1])
    lightness = images[:, :, 26:32, 50:70].mean((2, 3, 4))
    assert (np.diff(lightness, axis=1) < -10).all()
    assert (lightness[:, 0] - lightness[:, -1] > 100).all()
    assert np.array_equal(images[:, 0, 117:, 58:62], images[:, -1, 117:, 58:62])


def test_a_more_open_mouth_shows_more_of_its_dark() -> None:
    """Dark red pixels around the mouth grow with its openness, and the forehead stays as it is."""
    images = moved(MOUTH, [0, 0.2, 0.4, 0.6, 0.8, 1])
    mouth = images[:, :, 70:104, 42:78]
    dark = ((mouth.max(-1) < 150) & (mouth[..., 0] > 1.8 * mouth[..., 1])).sum((2, 3))
    # The skin of some is dark and red as well: what counts is what is added.
    added = dark - dark[:, :1]
    assert (added[:, -1] > 60).all() and (np.diff(added.mean(0)) > 0).all()
    assert np.array_equal(images[:, 0, :40], images[:, -1, :40])


def test_more_open_eyes_show_more_white() -> None:
    """White pixels between the lids grow with openness from none, and the lower half stays as it is."""
    images = moved(EYES, [0, 0.4, 0.6, 0.8, 1])
    # Some skins are nearly as light: what counts is what is added.
    white = (images[:, :, 46:78, 34:86].min(-1) > 190).sum((2, 3))
    shown = white - white[:, :1]
    assert (np.diff(shown.mean(0)) > 0).all() and (shown[:, -1] > 40).all()
    assert np.array_equal(images[:, 0, 80:], images[:, -1, 80:])


def test_sex_style_changes_the_same_person() -> None:
    """Between the extremes, and half way for half a style, the picture changes; no condition but this one moves."""
    images = moved(MALE, [0, 0.5, 1])
    far = np.abs(images[:, 0] - images[:, 2]).mean((1, 2, 3))
    assert (far > 2).all()
    assert (np.abs(images[:, 0] - images[:, 1]).mean((1, 2, 3)) > 0.5).all()


def test_edges_are_smooth(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Moving a head by a quarter of a pixel moves grey levels along its edges, and hardly any pixel at once."""
    conditions, persons, images = drawn
    who = faces_people.people(conditions, persons)
    nudged = faces_paint.paint(replace(who, shift_x=who.shift_x + np.float32(0.25))).astype(int)
    change = np.abs(nudged - images).max(-1)
    assert (change > 0).mean() > 0.15
    # A hard edge would flip a quarter of its pixels from one side's colour to the other's.
    contrast = np.abs(np.diff(images.astype(int), axis=2)).max(-1)
    assert (change > 90).sum() < 0.02 * (contrast > 90).sum()


def test_windows_cut_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part painted in its window is what painting it in the whole picture gives, in the most extreme poses."""
    conditions, persons = faces_drawn.sample([10], 0, 32)
    conditions[:, MOUTH:] = 1
    signs = np.array(list(itertools.product((-1, 1), repeat=5)), np.float32)
    reach = np.array([4, 3, 0.08, 0.07, 1], np.float32)
    pose = dict(zip(("shift_x", "shift_y", "scale", "half_tilt", "turn"), (signs * reach).T, strict=True))
    pose["scale"] = pose["scale"] + 1
    who = replace(faces_people.people(conditions, persons), glasses=np.ones(32, np.float32), **pose)
    images = faces_paint.paint(who)
    monkeypatch.setattr(faces_paint, "WINDOWS", dict.fromkeys(faces_paint.WINDOWS, faces_paint.WHOLE))
    assert np.array_equal(faces_paint.paint(who), images)


@pytest.mark.parametrize(
    ("conditions", "persons", "says"),
    [
        (np.zeros((2, 4)), np.zeros((2, 64)), r"shape \(2, 4\)"),
        (np.array([[0.5, 0.5, 0, 0, 1.5]]), np.zeros((1, 64)), "one is 1.5"),
        (np.full((1, 5), np.nan), np.zeros((1, 64)), "one is nan"),
        (np.full((2, 5), 0.5), np.zeros((1, 64)), "2 rows of conditions and 1 persons"),
        (np.full((1, 5), 0.7), np.zeros((1, 64)), "must be 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(conditions: np.ndarray, persons: np.ndarray, says: str) -> None:
    """A wrong shape or value is named before anything is painted."""
    with pytest.raises(UsageError, match=says):
        faces_drawn.draw(conditions, persons)


# --- the source
# -------------------------------------------------------------------------------------------------------


def test_the_source(small: Path) -> None:
    """Splits of the stated columns, whose pictures are those of their numbers; training and test faces differ."""
    found = data.load("drawn-faces")
    assert found.drawn and SOURCES["drawn-faces"].kind == faces.KIND and "seed 120" in found.origin
    train, test = found.splits["train"], found.splits["test"]
    assert train["images"].shape == (22, 120, 120, 3) and train["images"].dtype == np.uint8
    assert all(len(column) == 22 for column in train.values()) and len(test["conditions"]) == 5
    assert np.array_equal(train["images"], faces_drawn.draw_rows("train", 0, 22))
    assert np.array_equal(test["images"], faces_drawn.draw_rows("test", 0, 5))
    assert not np.array_equal(train["images"][:5], test["images"])


def test_only_what_is_used_is_drawn(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`limit` draws the shards it needs and no more; more of it later draws the rest alone; the digest is the same."""
    asked: list[tuple[str, int]] = []
    monkeypatch.setitem(SOURCES, "drawn-faces", _watched(asked))
    few = data.load("drawn-faces", limit=5)
    assert sorted(asked) == [("test", 0), ("test", 4), ("train", 0), ("train", 4)]
    assert np.array_equal(few.splits["train"]["images"], faces_drawn.draw_rows("train", 0, 5))
    asked.clear()
    divided = data.load("drawn-faces", limit=9, hold_out=1)
    assert sorted(asked) == [("train", 8), ("train", 20)]
    assert np.array_equal(divided.splits["validation"]["images"], faces_drawn.draw_rows("train", 21, 22))
    asked.clear()
    whole = data.load("drawn-faces")
    assert sorted(asked) == [("train", 12), ("train", 16)]
    assert few.sha256 == divided.sha256 == whole.sha256


def _watched(asked: list[tuple[str, int]]) -> data.catalogue.Source:
    """The source at hand, noting which shards are drawn."""
    source = SOURCES["drawn-faces"]

    def draw(split: str, start: int, stop: int) -> np.ndarray:
        asked.append((split, start))
        return faces_drawn.draw_rows(split, start, stop)

    return replace(source, draw=draw)


def test_a_later_start_reads_the_file(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn once: later loads map the same file, and what a user writes into the array does not reach it."""
    data.load("drawn-faces").splits["train"]["images"][:] = 0
    asked: list[tuple[str, int]] = []
    monkeypatch.setitem(SOURCES, "drawn-faces", _watched(asked))
    monkeypatch.setattr(kept_rows, "_checked", {})
    images = data.load("drawn-faces").splits["train"]["images"]
    assert not asked and np.array_equal(images[3:4], faces_drawn.draw_rows("train", 3, 4))


@pytest.mark.parametrize("damage", ["cut", "empty", "altered", "other", "record", "gone", "half"])
def test_a_damaged_cache_is_drawn_anew(small: Path, damage: str) -> None:
    """Whatever happened to the files, `verify` tells and the faces are drawn again, bit for bit."""
    first = data.load("drawn-faces").splits["train"]["images"].copy()
    assert data.verify("drawn-faces").passed
    record = small.with_suffix(".json")
    content = small.read_bytes()
    if damage == "record":
        record.write_text("{")
    elif damage == "gone":
        small.unlink()
    elif damage == "half":  # killed after the bytes of a shard, before its digest
        lines = record.read_text().splitlines()
        record.write_text("\n".join([*lines[:2], *lines[3:]]))
    else:
        with open(small, "r+b") as file:  # in place, as a fault of the disk would be
            if damage == "altered":
                file.seek(len(content) - 1000)
                file.write(bytes([content[-1000] ^ 1]))
            else:
                file.truncate(0)
                file.write({"cut": content[:-500], "empty": b"", "other": b"\x80\x04."}[damage])
    if damage not in ("record", "half"):  # nothing drawn is said to be there
        assert not data.verify("drawn-faces").passed
    assert np.array_equal(data.load("drawn-faces").splits["train"]["images"], first)
    assert data.verify("drawn-faces").passed


def test_a_cache_that_cannot_be_written_only_warns(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place to keep them, the faces that are used are drawn into memory each time."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        images = data.load("drawn-faces", limit=3).splits["train"]["images"]
    assert np.array_equal(images, faces_drawn.draw_rows("train", 0, 3))


def test_holding_out_too_much_draws_nothing(small: Path) -> None:
    """A mistake is told at once, not after minutes of drawing."""
    with pytest.raises(UsageError, match="hold_out is 22"):
        data.load("drawn-faces", hold_out=22)
    assert not small.exists()
