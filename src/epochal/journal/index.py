"""The index: a SQLite file beside the runs that spares reading every run.json; only ever a cache.

Each use compares every run.json with what the index saw (time, size, inode), reads those that changed, and
puts a new index file in place of the old by renaming. No process writes into a file that another has open,
so there is nothing to lock and nothing to corrupt: deleted, damaged or lost to a race, it is made again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from epochal.errors import EpochalError
from epochal.journal import atomic, runfile, strict_json
from epochal.journal.run import Run

NAME: Final = "index.sqlite"

# Written into the file; another number means another layout, and the index is made anew.
_LAYOUT: Final = 2


class Row(NamedTuple):
    """What the index knows of one run folder; `problem` says why it is not a readable run.

    `final` and `evaluation` are JSON texts, `content` is the text of run.json, `size_bytes` that of the
    folder when run.json was last rewritten.
    """

    folder: str
    mtime_ns: int
    json_bytes: int
    inode: int
    id: str = ""
    recipe: str = ""
    version: str | None = None
    name: str | None = None
    seed: int = 0
    members: int = 0
    status: str = ""
    created: str = ""
    parent: str | None = None
    epochs_done: int = 0
    final: str = "{}"
    evaluation: str = "{}"
    size_bytes: int = 0
    content: str = ""
    problem: str | None = None

    @property
    def label(self) -> str:
        """What the run is called: its name, or its version."""
        return self.name or self.version or "-"

    def summary(self) -> dict[str, Any]:
        """The row for people and scripts, with stable keys."""
        return {
            "run": self.id,
            "folder": self.folder,
            "recipe": self.recipe,
            "version": self.version,
            "name": self.name,
            "seed": self.seed,
            "members": self.members,
            "status": self.status,
            "created": self.created,
            "parent": self.parent,
            "epochs_done": self.epochs_done,
            "final": strict_json.restore(json.loads(self.final)),
            "evaluation": strict_json.restore(json.loads(self.evaluation)),
            "size_bytes": self.size_bytes,
        }


class Index(NamedTuple):
    """The index of a lab as of now.

    Attributes:
        path: the SQLite file, table `runs` (columns: the fields of `Row`); missing if the lab is read-only.
        rows: readable runs, newest first.
        broken: folders whose run.json cannot be read.
    """

    path: Path
    rows: list[Row]
    broken: list[Row]


def refresh(lab: Path) -> Index:
    """Brings the index of a lab up to date and returns it. Never fails because of the index file."""
    path = lab / NAME
    known = _load(path)
    current = {}
    for folder, stamp in _stamps(lab):
        row = known.get(folder)
        current[folder] = row if row is not None and row[1:4] == stamp else _row(lab, folder, stamp)
    if current != known or not path.exists():
        _save(path, current)
    rows = sorted(current.values(), key=lambda row: (row.created, row.id), reverse=True)
    return Index(
        path, [row for row in rows if row.problem is None], [row for row in rows if row.problem is not None]
    )


def _stamps(lab: Path) -> list[tuple[str, tuple[int, int, int]]]:
    """Run folders with what changes whenever their run.json is rewritten."""
    found = []
    with suppress(FileNotFoundError), os.scandir(lab) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # The inode tells two rewrites apart that fall into one tick of the file system's clock.
            with suppress(OSError):
                about = os.stat(os.path.join(entry.path, runfile.NAME))
                found.append((entry.name, (about.st_mtime_ns, about.st_size, about.st_ino)))
    return found


def _row(lab: Path, folder: str, stamp: tuple[int, int, int]) -> Row:
    try:
        content = runfile.read(lab / folder)
        run = Run(lab / folder, content=content)
        meta = run.meta
        return Row(
            folder,
            *stamp,
            id=run.id,
            recipe=run.recipe,
            version=run.version,
            name=run.name,
            seed=run.seed,
            members=run.members,
            status=run.status,
            created=meta["created"],
            parent=run.parent,
            epochs_done=meta["epochs_done"],
            final=strict_json.dumps(meta["final"]),
            evaluation=strict_json.dumps(meta["evaluation"]),
            size_bytes=run.size_bytes(),
            content=content.decode(),
        )
    except EpochalError as error:
        return Row(folder, *stamp, problem=str(error))


def _load(path: Path) -> dict[str, Row]:
    """The rows of an index file; none when it is missing, damaged or of another layout."""
    if not path.is_file():
        return {}
    try:
        # `immutable`: files are only ever replaced whole, so reading needs no lock and leaves no trace.
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            if database.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                return {}
            rows = database.execute(f"SELECT checksum, {', '.join(Row._fields)} FROM runs").fetchall()
    except (sqlite3.Error, OSError, UnicodeError):
        return {}
    # Damage inside a text does not trouble SQLite: such a row counts as unknown.
    return {row[1]: Row(*row[1:]) for row in rows if row[0] == _checksum(row[1:])}


def _checksum(row: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(tuple(row)).encode())


def _save(path: Path, rows: dict[str, Row]) -> None:
    columns = ", ".join(("checksum", *Row._fields))
    places = ", ".join("?" * (1 + len(Row._fields)))
    # A read-only lab, a reader that keeps the old file open on Windows, or a run.json with a text that SQLite
    # does not take: listing works without.
    with (
        suppress(EpochalError, sqlite3.Error, ValueError, OverflowError),
        atomic.replacing(path) as temporary,
        closing(sqlite3.connect(temporary)) as database,
    ):
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA user_version = {_LAYOUT}")
        database.execute(f"CREATE TABLE runs ({columns}, PRIMARY KEY (folder))")
        database.executemany(
            f"INSERT INTO runs VALUES ({places})", [(_checksum(row), *row) for row in rows.values()]
        )
        database.commit()
