"""What a source of data is, and what all sources that lie in files have in common.

`FileSource` owns the way from a name to checked items: where it looks, when it downloads, what `verify`
reports. Each source says in `look_in` how its files are recognised and in `read_items` how they are read.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError
from epochal.folders import cache_folder
from epochal.systems.data.dataset import Check, Dataset, Verification
from epochal.systems.data.digests import files_digest
from epochal.systems.data.download import Remote, fetch_files
from epochal.systems.data.kept import kept_or_made

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Splits


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """One source of data.

    Attributes:
        name: as typed.
        what: what an item is.
        kind: what a recipe gets from it. A recipe that wants one source takes every source of the same kind.
        classes: name of each label.
        licence: as its publisher states it.
        items: number of training and test items; none where they are the user's own.
        stand_in: the drawn source that takes its place where it is not found; None for a drawn one.
        by_hand: the files to put into a folder by hand, in words; empty for a drawn one.
    """

    name: str
    what: str
    kind: str
    classes: tuple[str, ...]
    licence: str
    items: tuple[int, int]
    stand_in: str | None = None
    by_hand: str = ""

    @property
    def download_bytes(self) -> int:
        """What fetching it transfers."""
        return 0

    @abstractmethod
    def find(self, folder: str | None) -> Path | None:
        """The file or folder on this machine that would be read, or None."""

    @abstractmethod
    def load(self, folder: str | None) -> Dataset:
        """Reads it; downloads or draws it first where that is needed."""

    def load_used(self, folder: str | None, limit: int | None, hold_out: int) -> Dataset:
        """All items, of which only some will be used: a source that draws them may leave out the others' images.

        Args:
            folder: as for `load`.
            limit: the first so many training items are used; None: all.
            hold_out: and the last so many, besides.
        """
        return self.load(folder)

    @abstractmethod
    def fetch(self, folder: str | None) -> Path:
        """Makes it available on this machine and says where it lies."""

    @abstractmethod
    def verify(self, folder: str | None) -> Verification:
        """Reads what lies on this machine and checks every digest that is known of it."""


@dataclass(frozen=True)
class Location:
    """Where a source lies.

    Attributes:
        path: the file or folder to name to the user.
        files: its files by a name of the source's choice, where it consists of several.
        missing: names of files that belong to it and are not there. A whole copy elsewhere goes first.
    """

    path: Path
    files: Mapping[str, Path] | None = None
    missing: tuple[str, ...] = ()


def roots(folder: str | None) -> list[Path]:
    """The folders that are searched, first to last: `folder`, `$EPOCHAL_DATA`, the cache.

    Raises:
        UsageError: a folder that was asked for is none.
    """
    given = [("--data.dir", folder), ("EPOCHAL_DATA", os.environ.get("EPOCHAL_DATA"))]
    places = []
    for origin, text in given:
        if not text:
            continue
        place = Path(text).expanduser()
        if not place.is_dir():
            what = "is no folder" if place.exists() else "does not exist"
            raise UsageError(
                f"{origin} is {text!r}, which {what}.", hint="Name the folder that holds the data files."
            )
        places.append(place)
    return [*places, cache_folder()]


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A source that lies in files.

    Attributes:
        folders: where it may lie inside a data folder, besides directly in it.
        remote: where it can be downloaded, None where nowhere.
        edition: raised with every change of what is made of the files: copies in the cache are then made anew.
    """

    folders: tuple[str, ...]
    remote: Remote | None = None
    edition: int = 1

    @abstractmethod
    def look_in(self, place: Path, *, named: bool) -> Location | None:
        """The source, if it lies directly in this folder.

        Args:
            place: the folder.
            named: whether the folder bears the source's name: files with names that other sources use too
                then count as this source's.
        """

    @abstractmethod
    def read_items(self, location: Location) -> tuple[Splits, str]:
        """Reads and checks the items of a location where no file is missing.

        Returns:
            The splits, and the digest over all of them (`digests.splits_digest`).

        Raises:
            EpochalError: a file is damaged, or its items are not the source's; with `remedy` as hint.
        """

    def slow(self, location: Location) -> bool:
        """Whether reading takes seconds, so that `load` keeps an unpacked copy in the cache."""
        return False

    def origin(self, location: Location, splits: Splits) -> str:
        """Where the items come from, as runs record it."""
        return str(location.path)

    def extras(self, location: Location, splits: Splits) -> Mapping[str, Any]:
        """What else one must know to read the items (`Dataset.extras`)."""
        return {}

    def published_checks(self, location: Location) -> list[Check]:
        """Checks of whole files against their published digests, for `verify`."""
        return []

    @property
    def download_bytes(self) -> int:
        """Size of all published files."""
        return self.remote.size if self.remote else 0

    @property
    def remedy(self) -> str:
        """What to do about files that are not what they should be."""
        anew = f"remove it and run `epochal data fetch {self.name}`" if self.remote else "get it anew"
        return f"Put the published files there instead, or {anew}. {self._without_files}"

    @property
    def _without_files(self) -> str:
        return f"`--data.source {self.stand_in}` needs no files." if self.stand_in else ""

    def places(self, folder: str | None) -> Iterator[Location]:
        """Everywhere that it lies: directly in a data folder, or in one of `folders`; best first."""
        for root in roots(folder):
            for place in (root, *(root / sub for sub in self.folders)):
                if found := self.look_in(place, named=place != root):
                    yield found

    def locate(self, folder: str | None) -> Location | None:
        """The first place that holds it whole, else the first that holds some of it, else None."""
        in_part = None
        for location in self.places(folder):
            if not location.missing:
                return location
            in_part = in_part or location
        return in_part

    def read(self, location: Location) -> tuple[Splits, str]:
        """Reads and checks the items from their files; returns them and their digest.

        Raises:
            EpochalError: a file is missing or damaged, or the items are not the source's.
        """
        if location.missing:
            raise EpochalError(
                f"{location.path} holds {self.name} only in part: {', '.join(location.missing)} missing.",
                hint=f"Put what is missing there. {self._without_files}",
            )
        return self.read_items(location)

    def _recall(self, location: Location) -> tuple[Splits, str]:
        """What `read` gives, from an unpacked copy in the cache where reading is slow."""
        if location.missing or not self.slow(location):
            return self.read(location)
        paths = [location.path] if location.files is None else list(location.files.values())
        copy = cache_folder() / f"{self.name}-{self.edition}-{files_digest(paths)[:16]}.npz"
        return kept_or_made(copy, lambda: self.read(location), f"The unpacked {self.name}")

    def find(self, folder: str | None) -> Path | None:
        """The file or folder that would be read, or None."""
        location = self.locate(folder)
        return location.path if location else None

    def load(self, folder: str | None) -> Dataset:
        """Reads it; downloads it first where it is not found."""
        location = self.locate(folder)
        if location is None:
            self._download(folder)
            location = self.locate(folder)
            assert location is not None  # just written and checked
        splits, digest = self._recall(location)
        extras = self.extras(location, splits)
        classes = extras.get("classes", self.classes)  # of the user's own data only the files know them
        return Dataset(self.name, self.origin(location, splits), False, digest, classes, splits, extras)

    def fetch(self, folder: str | None) -> Path:
        """Downloads it unless a whole, undamaged copy is found; files outside the cache are never replaced."""
        found = self.locate(folder)
        if found is not None:
            try:
                self.read(found)
                return found.path
            except EpochalError:
                if self.remote is None or not found.path.is_relative_to(cache_folder()):
                    raise
        return self._download(folder)

    def verify(self, folder: str | None) -> Verification:
        """Checks what is found; not being found is a failed check that says how to get it."""
        location = self.locate(folder)
        if location is None:
            missing = f"not in {', '.join(map(str, roots(folder)))}; {self._to_get_it}"
            return Verification(self.name, None, (Check("found", False, missing),))
        origin = str(location.path)
        try:
            splits, digest = self.read(location)
            origin = self.origin(location, splits)
            items = Check("items", True, f"SHA-256 {digest}")
        except EpochalError as error:
            items = Check("items", False, error.what)
        found = Check("found", True, str(location.path))
        return Verification(self.name, origin, (found, *self.published_checks(location), items))

    @property
    def _to_get_it(self) -> str:
        if self.remote:
            return f"`epochal data fetch {self.name}` downloads it"
        return f"put {self.by_hand} there"

    def _download(self, folder: str | None) -> Path:
        target = (Path(folder).expanduser() if folder else cache_folder()) / self.name
        without = f"or use --data.source {self.stand_in}, which needs no network." if self.stand_in else ""
        if self.remote is None:
            searched = ", ".join(map(str, roots(folder)))
            raise EpochalError(
                f"{self.name} is not on this machine (searched: {searched}), and cannot be downloaded.",
                hint=f"Put {self.by_hand} into {target.parent} (--data.dir and EPOCHAL_DATA name other "
                f"folders). {self._without_files}",
            )
        hint = (
            f"Offline? Put {self.by_hand} into {target} by hand (--data.dir and EPOCHAL_DATA name other "
            f"folders), {without}"
        )
        fetch_files(self.name, self.remote, target, hint=hint)
        location = self.look_in(target, named=True)
        assert location is not None  # just written
        self.read(location)
        return target
