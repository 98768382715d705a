"""The verbs of the data room: list, resolve, load, fetch and verify sources. They only find the source."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from epochal.errors import UsageError
from epochal.systems.data.catalogue import SOURCES
from epochal.systems.data.dataset import Dataset, SourceInfo, Verification
from epochal.systems.data.source import Source, roots

AUTO = "auto"


def load(
    source: str,
    *,
    wanted: str | None = None,
    folder: str | None = None,
    limit: int | None = None,
    hold_out: int = 0,
) -> Dataset:
    """Reads a source; downloads or draws it first where that is needed.

    Args:
        source: a name from `sources()`, or "auto" (see `resolve`).
        wanted: the source that a recipe is written for.
        folder: where to look first, before `$EPOCHAL_DATA` and the cache.
        limit: use only the first N training items, in stored order, of those that are not held out; all test
            items stay.
        hold_out: the last N training items, in stored order, become the split "validation"; 0: no such split.

    Raises:
        UsageError: unknown source or one of another kind than `wanted`, a folder that does not exist, `limit`
            below 1, `hold_out` that leaves no training item.
        EpochalError: a file is damaged or is not what its name says, or the download failed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"data.limit is {limit}; at least 1 training item is needed.")
    if hold_out < 0:
        raise UsageError(f"data.hold_out is {hold_out}; it cannot be negative.", hint="0 holds nothing out.")
    data = SOURCES[resolve(source, folder, wanted=wanted)].load_used(folder, limit, hold_out)
    return _divided(data, limit, hold_out)


def resolve(source: str, folder: str | None = None, *, wanted: str | None = None) -> str:
    """The source that a name stands for.

    "auto" is the wanted source (mnist where none is named) when it is found on this machine, else its drawn
    stand-in: mnist → glyphs, cifar10 → shapes. Nothing is downloaded unasked, and who names a folder is never
    given drawn items: what was meant lies elsewhere.

    Raises:
        UsageError: unknown source, one of another kind than `wanted`, a folder that does not exist, or one that
            was named although nothing of what is wanted is found.
    """
    if source == AUTO:
        real = _source(wanted or "mnist")
        if real.stand_in is None or real.find(folder):
            return real.name
        if folder:
            raise UsageError(
                f"--data.dir is {folder!r}, where no {real.name} was found.",
                hint=f"Put {real.by_hand} there, or name the folder that holds it. "
                f"`--data.source {real.stand_in}` needs no files.",
            )
        return real.stand_in
    chosen = _source(source)
    if wanted is not None and chosen.kind != (kind := _source(wanted).kind):
        fitting = (*(other.name for other in SOURCES.values() if other.kind == kind), AUTO)
        raise UsageError(
            f"The data source {source!r} holds {chosen.kind}; {kind} are needed here.",
            hint=f"Choose one of {', '.join(fitting)}.",
        )
    return source


def check(source: str, folder: str | None = None) -> None:
    """Refuses what no recipe could read, before it is known which source is wanted.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
    """
    roots(folder)
    if source != AUTO:
        _source(source)


def sources(folder: str | None = None) -> list[SourceInfo]:
    """What can be loaded, and where each source was found.

    Raises:
        UsageError: a folder that does not exist.
    """
    return [
        SourceInfo(
            source.name,
            source.what,
            source.items,
            str(found) if (found := source.find(folder)) else None,
            source.licence,
            source.download_bytes,
            source.stand_in is None,
        )
        for source in SOURCES.values()
    ]


def fetch(name: str, folder: str | None = None) -> Path:
    """Makes a source available on this machine and says where it lies.

    Nothing is transferred when a whole, undamaged copy is found. Otherwise its files go to `folder`/NAME,
    or to the cache. Drawn sources are drawn.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
        EpochalError: a copy outside the cache is damaged (it is the user's: nothing is overwritten), or no
            mirror served the files.
    """
    return SOURCES[resolve(name, folder)].fetch(folder)


def verify(name: str, folder: str | None = None) -> Verification:
    """Reads a source that lies on this machine and checks every digest that is known of it.

    Raises:
        UsageError: unknown source, or a folder that does not exist.
    """
    return SOURCES[resolve(name, folder)].verify(folder)


def _source(name: str) -> Source:
    if name not in SOURCES:
        names = (*SOURCES, AUTO)
        near = difflib.get_close_matches(name.lower().replace("_", "-"), names, n=1, cutoff=0.5)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"There is no data source {name!r}.", hint=f"{meant}Sources: {', '.join(names)}.")
    return SOURCES[name]


def _divided(data: Dataset, limit: int | None, hold_out: int) -> Dataset:
    """The same data with the last training items as validation, then the first `limit` of the others."""
    train, test = data.splits["train"], data.splits["test"]
    items = len(next(iter(train.values())))
    if hold_out >= items:
        raise UsageError(
            f"data.hold_out is {hold_out:,}, but {data.name} has {items:,} training items: none would be left.",
            hint=f"Hold out at most {items - 1:,}.",
        )
    end = items - hold_out
    first = end if limit is None else min(limit, end)
    splits = {"train": {column: array[:first] for column, array in train.items()}, "test": test}
    if hold_out:
        splits["validation"] = {column: array[end:] for column, array in train.items()}
    return replace(data, splits=splits)
