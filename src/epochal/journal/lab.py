"""A lab: the folder that holds runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from epochal.errors import EpochalError, UsageError
from epochal.journal import atomic, runfile
from epochal.journal.run import SUBFOLDERS, Run, now, trainer

if TYPE_CHECKING:
    from epochal.journal.index import Index, Row
    from epochal.journal.references import Part

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LONGEST_PART = 40


class Lab:
    """A folder of runs, made when the first run is.

    Args:
        path: the folder; by default $EPOCHAL_LAB, or ./lab.

    Raises:
        UsageError: the path is a file.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        chosen = os.environ.get("EPOCHAL_LAB") or "lab" if path is None else path
        if not os.fspath(chosen).strip():
            raise UsageError("the lab has an empty name.", hint="Choose a folder, with --lab.")
        self.path = Path(os.path.abspath(os.path.expanduser(chosen)))
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(
                f"the lab {self.path} is a file, not a folder.", hint="Choose a folder, with --lab."
            )

    def __repr__(self) -> str:
        return f"Lab({str(self.path)!r})"

    def create_run(self, *, recipe: str, roster: Sequence[Mapping[str, Any]] = (), **fields: Any) -> Run:
        """Makes a run folder, whole and at once; fields that are not given start as run.json's defaults.

        Args:
            recipe: name of the recipe.
            roster: of a fleet, the lines of its members.jsonl.
            fields: other fields of run.json; `id` and `created` are given by the lab.

        Raises:
            EpochalError: a field is of the wrong kind, or the disk refuses; nothing is left behind.
        """
        meta = {**runfile.defaults(), **fields, "recipe": recipe, "created": now()}
        meta["process"] = trainer(meta["status"])
        meta["members"] = len(roster)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic.explain(error, self.path) from error
        atomic.remove_leftovers(self.path)
        while True:
            meta["id"] = _new_id(meta)
            wrong = runfile.fault({**meta, "patch": {key: list(pair) for key, pair in meta["patch"].items()}})
            if wrong is not None:
                raise EpochalError(f"no run is made: its {runfile.NAME} would be one that {wrong}.")
            with suppress(FileExistsError):  # another process took this id: draw again
                return self._place(meta, roster)

    def runs(self) -> list[Run]:
        """All readable runs, newest first. `broken` tells of the others."""
        from epochal.journal import references

        return [references.as_run(row, self.path) for row in self.index().rows]

    def summaries(self) -> list[dict[str, Any]]:
        """One dict a run with stable keys (run, recipe, version, seed, status, final …), newest first."""
        return [row.summary() for row in self.index().rows]

    def broken(self) -> dict[Path, str]:
        """Folders whose run.json cannot be read, with what is wrong."""
        return {self.path / row.folder: row.problem or "" for row in self.index().broken}

    @overload
    def find(self, ref: str | Run, *, many: Literal[False] = False) -> Run: ...
    @overload
    def find(self, ref: str | Run, *, many: Literal[True]) -> list[Run]: ...
    def find(self, ref: str | Run, *, many: bool = False) -> Run | list[Run]:
        """The run that `ref` means.

        Args:
            ref: an id or its unique beginning; "last"; "recipe:version@seed" or a part of it that fits one
                version and seed (of several such runs, the newest); a folder, relative to here or absolute.
                A fork's name stands in the version's place; without a name it is found by id only.
                A fleet's member is "FLEET#12", its twelfth from 0, or "FLEET@3", the one of seed 3; a
                selector with a seed finds it too. A recipe may be named by the file that it was run from.
                A run itself is read anew.
            many: return all that fit, newest first, instead of one.

        Raises:
            UsageError: nothing fits, or (without `many`) several do: lists up to five.
            EpochalError: the folder named holds a run.json that cannot be read.
        """
        from epochal.journal import members, references

        if isinstance(ref, Run):
            return [ref.reload()] if many else ref.reload()
        ref = self.by_recipe(ref)
        folder = references.folder_of(ref, self.path)
        if folder is not None:
            run = Run(folder)
            run.meta  # noqa: B018 - what cannot be read is told here, not at the first use
            return [run] if many else run
        rows = self.index().rows
        fitting = references.choose(ref, rows)
        part = references.part_of_fleet(ref)
        if not fitting:
            fleet = None if part is None else self._fleet(part, rows)
            if fleet is None or part is None:
                raise references.nothing(ref, rows, self.path)
            number = part.number
            found = [members.one(fleet, number)] if part.sign == "#" else members.of_seed(fleet, number)
            return list(found) if many else members.only(found, ref)
        chosen = fitting if many else [references.one(ref, fitting, self.path)]
        runs: list[Run] = []
        for row in chosen:
            run = references.as_run(row, self.path)
            if row.members and part is not None:
                of_seed = members.of_seed(run, part.number)
                runs += of_seed if many else [members.only(of_seed, ref)]
            else:
                runs.append(run)
        return runs if many else runs[0]

    def by_recipe(self, ref: str) -> str:
        """The ref with the recipe's name where it begins with the file that a recipe was run from."""
        from epochal.journal import references

        return references.by_recipe(ref, self.index().rows) if ".py:" in ref else ref

    def _fleet(self, part: Part, rows: Sequence[Row]) -> Run | None:
        """The fleet that holds a member as typed; None when nothing of that name is one."""
        from epochal.journal import references

        folder = references.folder_of(part.fleet, self.path)
        if folder is not None:
            return Run(folder)
        fitting = references.choose(part.fleet, rows)
        if part.sign == "@":  # a version's run of a seed that it was not trained with is no fleet's matter
            fitting = [row for row in fitting if row.members]
        return (
            references.as_run(references.one(part.fleet, fitting, self.path), self.path) if fitting else None
        )

    def index(self) -> Index:
        """The index, brought up to date; rebuilt when missing or damaged."""
        from epochal.journal import index

        return index.refresh(self.path)

    def _place(self, meta: dict[str, Any], roster: Sequence[Mapping[str, Any]]) -> Run:
        """Makes the folder under a dot-name and renames it into place. FileExistsError: the id is taken."""
        folder = self.path / meta["id"]
        draft = self.path / f".new-{meta['id']}"
        try:
            draft.mkdir()
        except FileExistsError:
            raise
        except OSError as error:
            raise atomic.explain(error, folder, kept="Nothing was made.") from error
        try:
            for name in SUBFOLDERS:
                (draft / name).mkdir()
            if roster:
                from epochal.journal import members

                lines = b"".join(map(members.encode, roster))
                atomic.write_bytes(draft / members.NAME, lines)
            atomic.write_json(draft / runfile.NAME, meta)
            if folder.exists():
                raise FileExistsError(str(folder))
            os.rename(draft, folder)
            atomic.sync_folder(self.path)
        except FileExistsError:
            raise
        except OSError as error:
            taken = folder.exists() and draft.exists()  # between the look and the rename
            raise (FileExistsError(str(folder)) if taken else atomic.explain(error, folder)) from error
        finally:
            if draft.exists():
                atomic.remove_tree(draft)
        return Run(folder)


def _new_id(meta: dict[str, Any]) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    parts = [
        re.sub(r"[^\w.]+", "-", str(part))[:_LONGEST_PART].strip("-.")
        for part in (meta["recipe"], meta["name"] or meta["version"] or "run")
    ]
    drawn = "".join(_ALPHABET[byte % 32] for byte in os.urandom(4))
    return "-".join([stamp, *filter(None, parts), f"s{meta['seed']}", drawn])
