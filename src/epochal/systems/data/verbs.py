"""The verbs of the data room: list, resolve, load, fetch and verify sources."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError, UsageError
from epochal.folders import cache_folder
from epochal.systems.data import files
from epochal.systems.data.catalogue import COLUMNS, FILE_SOURCES, FileSource
from epochal.systems.data.dataset import Check, Dataset, SourceInfo, Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTO = "auto"
GLYPHS = "glyphs"
NAMES = (*FILE_SOURCES, GLYPHS)


def load(source: str, *, folder: str | None = None, limit: int | None = None) -> Dataset:
    """Reads a source; downloads or draws it first where that is needed.

    Args:
        source: "mnist", "fashion-mnist", "glyphs" or "auto" (see `resolve`).
        folder: where to look first, before `$EPOCHAL_DATA` and the cache.
        limit: use only the first N training items, in stored order; all test items stay.

    Raises:
        UsageError: unknown source, a folder that does not exist, `limit` below 1.
        EpochalError: a file is damaged or is not what its name says, or the download failed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"data.limit is {limit}; at least 1 training item is needed.")
    name = resolve(source, folder)
    data = _load_glyphs() if name == GLYPHS else _load_files(FILE_SOURCES[name], folder)
    return data if limit is None else _limited(data, limit)


def resolve(source: str, folder: str | None = None) -> str:
    """The source that a name stands for: "auto" is mnist when it is found on this machine, else glyphs.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
    """
    if source == AUTO:
        return "mnist" if files.find(FILE_SOURCES["mnist"], folder) else GLYPHS
    if source not in NAMES:
        near = difflib.get_close_matches(source.lower().replace("_", "-"), (*NAMES, AUTO), n=1, cutoff=0.5)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"There is no data source {source!r}.", hint=f"{meant}Sources: {', '.join((*NAMES, AUTO))}."
        )
    return source


def sources(folder: str | None = None) -> list[SourceInfo]:
    """What can be loaded, and where each source was found.

    Raises:
        UsageError: a folder that does not exist.
    """
    from epochal.systems.data import glyphs

    described = []
    for source in FILE_SOURCES.values():
        location = files.find(source, folder)
        found = str(location.path) if location else None
        described.append(
            SourceInfo(source.name, source.what, source.items, found, source.licence, source.download_bytes)
        )
    drawn = glyphs.cache_file()
    found = str(drawn) if drawn.is_file() else None
    described.append(SourceInfo(GLYPHS, glyphs.WHAT, glyphs.ITEMS, found, "CC0 1.0", 0))
    return described


def fetch(name: str, folder: str | None = None) -> Path:
    """Makes a source available on this machine and says where it lies.

    Nothing is transferred when a whole, undamaged copy is found. Otherwise its files go to `folder`/NAME,
    or to the cache. "glyphs" are drawn.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
        EpochalError: a copy outside the cache is damaged (it is the user's: nothing is overwritten), or no
            mirror served the files.
    """
    from epochal.systems.data import glyphs

    name = resolve(name, folder)
    if name == GLYPHS:
        glyphs.splits()
        return glyphs.cache_file()
    source = FILE_SOURCES[name]
    found = files.find(source, folder)
    if found is not None:
        try:
            files.read(source, found)
            return found.path
        except EpochalError:
            if not found.path.is_relative_to(cache_folder()):
                raise
    return _download(source, folder)


def verify(name: str, folder: str | None = None) -> Verification:
    """Reads a source that lies on this machine and checks every digest that is known of it.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
    """
    name = resolve(name, folder)
    if name == GLYPHS:
        return _verify_glyphs()
    source = FILE_SOURCES[name]
    location = files.find(source, folder)
    if location is None:
        searched = ", ".join(map(str, files.roots(folder)))
        missing = f"not in {searched}; `epochal data fetch {name}` downloads it"
        return Verification(name, None, (Check("found", False, missing),))
    checks = [Check("found", True, str(location.path))]
    if location.files is not None:
        checks += _published_checks(source, location.files)
    checks.append(_check("items", lambda: files.read(source, location)[1]))
    return Verification(name, str(location.path), tuple(checks))


def _load_files(source: FileSource, folder: str | None) -> Dataset:
    location = files.find(source, folder)
    if location is None:
        _download(source, folder)
        location = files.find(source, folder)
        assert location is not None  # just written and checked
    splits, digest = files.read(source, location)
    return Dataset(source.name, str(location.path), False, digest, source.classes, splits)


def _load_glyphs() -> Dataset:
    from epochal.systems.data import glyphs

    splits, digest = glyphs.splits()
    return Dataset(GLYPHS, glyphs.ORIGIN, True, digest, glyphs.CLASSES, splits)


def _limited(data: Dataset, limit: int) -> Dataset:
    train = {column: array[:limit] for column, array in data.splits["train"].items()}
    return Dataset(
        data.name, data.origin, data.drawn, data.sha256, data.classes, {**data.splits, "train": train}
    )


def _download(source: FileSource, folder: str | None) -> Path:
    from epochal.systems.data import download

    target = (Path(folder).expanduser() if folder else cache_folder()) / source.name
    download.fetch_files(source, target)
    files.read(source, files.Location(target, files.idx_files(target)))
    return target


def _published_checks(source: FileSource, paths: Mapping[str, Path]) -> list[Check]:
    import pooch  # type: ignore[import-untyped]

    checks = []
    for stem in COLUMNS:
        path = paths[stem]
        if path.name.endswith(".gz"):
            digest = pooch.file_hash(str(path))
            published = source.files[stem].sha256
            detail = f"SHA-256 {digest}" + (f", published {published}" if digest != published else "")
            checks.append(Check(path.name, digest == published, detail))
    return checks


def _verify_glyphs() -> Verification:
    from epochal.systems.data import glyphs

    path = glyphs.cache_file()
    if not path.is_file():
        return Verification(GLYPHS, None, (Check("drawn", True, "not yet: drawn when first used"),))
    return Verification(GLYPHS, str(path), (_check("items", lambda: glyphs.read(path)[1]),))


def _check(what: str, digest: Callable[[], str]) -> Check:
    try:
        return Check(what, True, f"SHA-256 {digest()}")
    except EpochalError as error:
        return Check(what, False, error.what)
