"""What every source in files gets from `FileSource`: looking, copies, downloads by hand, and verifying."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems.data import catalogue, kept
from epochal.systems.data.digests import splits_digest
from epochal.systems.data.source import FileSource, Location

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits


@dataclass(frozen=True, kw_only=True)
class Numbers(FileSource):
    """Numbers in two text files, the smallest source there can be."""

    quick: bool = True

    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """Either file, or both."""
        files = {path.stem: path for path in (place / "train.txt", place / "test.txt") if path.is_file()}
        missing = tuple(f"{stem}.txt" for stem in ("train", "test") if stem not in files)
        return Location(place, files, missing) if files else None

    def read_items(self, location: Location) -> "tuple[Splits, str]":
        """One number a line."""
        assert location.files is not None
        try:
            splits = {
                split: {"numbers": np.array([int(line) for line in path.read_text().split()])}
                for split, path in location.files.items()
            }
        except ValueError as error:
            raise EpochalError(f"{location.path} is damaged: {error}.", hint=self.remedy) from error
        return splits, splits_digest(splits)

    def slow(self, location: Location) -> bool:
        """As told."""
        return not self.quick


NUMBERS = Numbers(
    name="numbers",
    what="numbers",
    kind="numbers",
    classes=(),
    licence="CC0 1.0",
    items=(2, 1),
    stand_in="glyphs",
    folders=("numbers",),
    by_hand="train.txt and test.txt",
)


def _write(place: Path, *names: str, content: str = "1 2") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name in names or ("train.txt", "test.txt"):
        (place / name).write_text(content)
    return place


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def test_whole_copies_go_before_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are searched in order, but half a copy in the first does not hide a whole one in the last."""
    _write(tmp_path / "data", "train.txt")
    _write(tmp_path / "env" / "numbers")
    _write(tmp_path / "cache")
    monkeypatch.setenv("EPOCHAL_DATA", str(tmp_path / "env"))
    assert NUMBERS.find(str(tmp_path / "data")) == tmp_path / "env" / "numbers"
    _write(tmp_path / "data" / "numbers")
    assert NUMBERS.find(str(tmp_path / "data")) == tmp_path / "data" / "numbers"


def test_a_part_is_found_and_explained(tmp_path: Path) -> None:
    """Somebody who has half of the files wants to know which half is missing, not to see other data."""
    folder = str(_write(tmp_path / "data", "train.txt"))
    for verb in (NUMBERS.load, NUMBERS.fetch):
        with pytest.raises(EpochalError, match=r"holds numbers only in part: test\.txt missing"):
            verb(folder)
    assert [check.passed for check in NUMBERS.verify(folder).checks] == [True, False]


def test_what_cannot_be_downloaded_is_asked_for(tmp_path: Path) -> None:
    """Without an address to fetch it from, the message says what to put where, and what needs no files."""
    (tmp_path / "data").mkdir()
    for verb in (NUMBERS.load, NUMBERS.fetch):
        with pytest.raises(EpochalError, match="numbers is not on this machine") as error:
            verb(str(tmp_path / "data"))
        assert f"Put train.txt and test.txt into {tmp_path / 'data'}" in str(error.value.hint)
        assert "--data.source glyphs" in str(error.value.hint)
    assert "put train.txt and test.txt there" in NUMBERS.verify(None).checks[0].detail


def test_damaged_files_are_never_replaced_where_nothing_can_be_fetched(tmp_path: Path) -> None:
    """Even in the cache: there they were put by hand."""
    _write(tmp_path / "cache", content="1 two")
    with pytest.raises(EpochalError, match="is damaged") as error:
        NUMBERS.fetch(None)
    assert "epochal data fetch" not in str(error.value.hint)
    assert not NUMBERS.verify(None).passed


def test_slow_sources_are_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is found by the files' content: changed files are read anew, equal ones elsewhere are not."""
    slow = replace(NUMBERS, quick=False)
    reads = []
    original = Numbers.read_items
    monkeypatch.setattr(Numbers, "read_items", lambda *given: (reads.append(1), original(*given))[1])
    folder = _write(tmp_path / "data")
    first = slow.load(str(folder))
    again = slow.load(str(_write(tmp_path / "copy")))
    assert (len(reads), again.sha256, again.origin) == (1, first.sha256, str(tmp_path / "copy"))
    assert again.splits["train"]["numbers"].tolist() == [1, 2]
    _write(folder, content="3")
    assert slow.load(str(folder)).splits["train"]["numbers"].tolist() == [3]
    assert slow.verify(str(folder)).passed and len(reads) == 3  # what verifies reads the files themselves
    NUMBERS.load(str(folder))
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2


def test_a_copy_that_cannot_be_kept_only_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or read-only cache costs time, not the data; errors of the files themselves come through."""
    slow = replace(NUMBERS, quick=False)
    folder = _write(tmp_path / "data")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(kept, "write", full)
    with pytest.warns(UserWarning, match=r"unpacked numbers cannot be kept in .*: no space left"):
        assert slow.load(str(folder)).splits["test"]["numbers"].tolist() == [1, 2]
    _write(tmp_path, "file")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "data" / "train.txt" / "cache"))
    with pytest.warns(UserWarning, match="The unpacked numbers cannot be kept"):
        slow.load(str(folder))
    _write(folder, content="x")
    with pytest.warns(UserWarning), pytest.raises(EpochalError, match="is damaged"):
        slow.load(str(folder))


def test_every_registered_source_has_a_stand_in_of_its_kind() -> None:
    """A recipe written for the real data takes what is drawn in its place: names and kinds fit together."""
    for name, source in catalogue.SOURCES.items():
        assert source.name == name and source.kind and source.licence
        assert source.items[0] > 0 or source.items == (0, 0), "a user's own are not known beforehand"
        if source.stand_in is not None:
            stand_in = catalogue.SOURCES[source.stand_in]
            assert stand_in.stand_in is None and stand_in.kind == source.kind
