"""One run: a folder that tells everything about one training, valid at every instant."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from epochal.errors import EpochalError, UsageError
from epochal.journal import atomic, jsonl, locking, process, runfile

LogName = Literal["metrics", "probes"]

SUBFOLDERS = ("checkpoints", "samples", "figures")

# A run of another machine, whose processes cannot be asked, counts as alive this long after it last wrote.
_SILENCE_S = 3600.0


def now() -> str:
    """The time in ISO 8601, UTC, to the microsecond, so that it sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Run:
    """A run folder.

    `Run(path)` reads nothing; the first use of `meta` reads run.json and keeps it, `reload` reads it again.

    Args:
        path: the folder.
        content: the content of run.json where the caller has just read it.
    """

    def __init__(self, path: str | os.PathLike[str], *, content: str | bytes | None = None) -> None:
        self.path = Path(os.path.abspath(path))
        self._content = content
        self._meta: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def meta(self) -> dict[str, Any]:
        """The fields of run.json, all of them present. Change them by `update`.

        Raises:
            EpochalError: the folder holds no readable run.json; says what is wrong with it.
        """
        if self._meta is None:
            content = runfile.read(self.path) if self._content is None else self._content
            self._meta = runfile.parse(content, self.path)
            self._content = None
        return self._meta

    def reload(self) -> Run:
        """Forgets what was read; the next use of `meta` reads run.json again. Returns the run itself."""
        self._meta = self._content = None
        return self

    @property
    def id(self) -> str:
        """`YYYYMMDD-HHMMSS-recipe-version-sSEED-xxxx`."""
        return str(self.meta["id"])

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return str(self.meta["recipe"])

    @property
    def version(self) -> str | None:
        """Name of the recipe's version."""
        return _text(self.meta["version"])

    @property
    def name(self) -> str | None:
        """The name that the user gave."""
        return _text(self.meta["name"])

    @property
    def label(self) -> str:
        """What to call it in a reference: its name, or its version."""
        return self.name or self.version or "-"

    @property
    def title(self) -> str:
        """What to call it where people read: its version, and its name if it has one: `model-4 (less-grey)`."""
        return f"{self.version} ({self.name})" if self.version and self.name else self.label

    @property
    def seed(self) -> int:
        """The seed that all random streams derive from."""
        return int(self.meta["seed"])

    @property
    def members(self) -> int:
        """How many networks a fleet trained as one; 0 for an ordinary run. `journal.members` reads them."""
        return int(self.meta["members"])

    @property
    def status(self) -> str:
        """One of draft, running, finished, stopped, failed, as last written; see also `interrupted`."""
        return str(self.meta["status"])

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved settings, nested."""
        return dict(self.meta["settings"])

    @property
    def parent(self) -> str | None:
        """Id of the run that this one was forked from."""
        return _text(self.meta["parent"])

    @property
    def patch(self) -> dict[str, tuple[Any, Any]]:
        """What differs from the parent: dotted key → (old, new)."""
        return {key: (old, new) for key, (old, new) in self.meta["patch"].items()}

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of the weights (safetensors) and states."""
        return self.path / "checkpoints"

    @property
    def samples_dir(self) -> Path:
        """Folder of the pictures drawn while training."""
        return self.path / "samples"

    @property
    def figures_dir(self) -> Path:
        """Folder of the pictures drawn when the run ended."""
        return self.path / "figures"

    def update(self, **fields: Any) -> None:
        """Changes fields of run.json in one atomic rewrite; what others changed meanwhile is kept.

        `status="running"` also records this process, so that `alive` can tell; any other status removes it.

        Raises:
            EpochalError: a field is of the wrong kind, or the disk refuses; run.json is as it was.
        """
        with self.writing():
            self.reload()
            changed = {**self.meta, **fields}
            if "status" in fields:
                changed["process"] = trainer(changed["status"])
            wrong = runfile.fault(
                {**changed, "patch": {key: list(pair) for key, pair in changed["patch"].items()}}
            )
            if wrong is not None:
                raise EpochalError(
                    f"run {self.path.name} is not updated: its {runfile.NAME} would be one that {wrong}."
                )
            atomic.write_json(self.path / runfile.NAME, changed)
            self.reload()

    def append(self, log: LogName, records: Iterable[Mapping[str, Any]]) -> None:
        """Adds lines to metrics.jsonl or probes.jsonl by one write; readers see them at once.

        A kill loses at most the last line, a power cut what was not yet flushed: `sync` at checkpoints.

        Raises:
            EpochalError: the disk refuses; the log is as it was.
        """
        with self.writing():
            jsonl.append(self._log(log), records)

    def sync(self) -> None:
        """Waits until all appended lines are on the disk."""
        atomic.sync(self._log("metrics"))
        atomic.sync(self._log("probes"))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: time (s), step, epoch, scope, split, values; a torn last left out."""
        return jsonl.read(self._log("metrics")).records

    def probes(self) -> list[dict[str, Any]]:
        """The lines of probes.jsonl, of the same shape as those of `metrics`."""
        return jsonl.read(self._log("probes")).records

    def epoch_values(self, split: str = "train") -> dict[str, list[tuple[int, float]]]:
        """The curves over epochs: value name → [(epoch, value), …] in the order written.

        A fleet has none of its own: each member has.
        """
        curves: dict[str, list[tuple[int, float]]] = {}
        for line in self._epoch_lines():
            epoch, values = line.get("epoch"), line.get("values")
            if line.get("scope") != "epoch" or line.get("split") != split:
                continue
            if not isinstance(epoch, int) or not isinstance(values, dict):
                continue
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    curves.setdefault(name, []).append((epoch, float(value)))
        return curves

    def _epoch_lines(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl that may be of epochs, as fast as they can be told from the others."""
        if self.members:
            return []
        return jsonl.read(self._log("metrics"), skip='"scope": "step"').records

    def truncate(self, log: LogName, *, after_step: int) -> None:
        """Drops, all or nothing, every line of a later step, so that a resumed run writes them anew.

        Raises:
            EpochalError: the disk refuses; the log is as it was.
        """

        def is_kept(record: dict[str, Any]) -> bool:
            step = record.get("step")
            return isinstance(step, (int, float)) and step <= after_step

        with self.writing():
            jsonl.truncate(self._log(log), is_kept)

    def problems(self) -> list[str]:
        """What is wrong with the logs, in words: lines that are no JSON objects and were left out."""
        found = []
        for log in ("metrics", "probes"):
            for number in jsonl.read(self.path / f"{log}.jsonl").garbage:
                found.append(f"{log}.jsonl, line {number}: not a JSON object, left out")
        return found

    def note(self, text: str) -> None:
        """Adds a remark, dated, to notes.md (which may also be edited by hand).

        Raises:
            UsageError: the text is empty.
            EpochalError: the disk refuses.
        """
        if not text.strip():
            raise UsageError(
                "the note is empty.", hint='Write it in quotes: epochal note RUN "less grey than before"'
            )
        self.reload().meta  # noqa: B018 - a folder that is no run gets no notes
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        path = self.path / "notes.md"
        with self.writing():
            separator = "\n" if path.exists() else ""
            entry = f"{separator}**{stamp}**  \n{text.strip()}\n"
            atomic.append_bytes(path, entry.encode("utf-8", "replace"))

    def notes(self) -> str:
        """The text of notes.md; empty when there is none."""
        try:
            return atomic.read_bytes(self.path / "notes.md").decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def save_source(self, name: str, text: str) -> None:
        """Keeps the text of a recipe file with the run, as `source/NAME.txt`: to be read, never executed.

        Raises:
            UsageError: `name` is no plain file name.
            EpochalError: the disk refuses.
        """
        if not name or name.startswith(".") or any(c in '/\\:\0"<>|*?' or ord(c) < 32 for c in name):
            raise UsageError(f"{name!r} is no plain file name.", hint="Use letters, digits, dots, dashes.")
        folder = self.path / "source"
        with self.writing():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise atomic.explain(error, folder) from error
            atomic.write_text(folder / f"{name}.txt", text)

    def source(self) -> dict[str, str]:
        """The texts kept by `save_source`, by name."""
        files = sorted((self.path / "source").glob("*.txt"))
        return {
            file.name[: -len(".txt")]: atomic.read_bytes(file).decode("utf-8", "replace") for file in files
        }

    def alive(self) -> bool:
        """Whether the process that trains this run still works on it.

        A run of another machine counts as alive until it has written nothing for an hour.
        """
        if self.status != "running":
            return False
        answer = process.is_alive(self.meta["process"])
        if answer is not None:
            return answer
        written = [self.path / name for name in (runfile.NAME, "metrics.jsonl", "console.log")]
        last = max((path.stat().st_mtime for path in written if path.exists()), default=0.0)
        return time.time() - last < _SILENCE_S

    @property
    def interrupted(self) -> bool:
        """Whether its process ended without saying so (killed, power cut): it can be resumed."""
        return self.status == "running" and not self.alive()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for training it: `with run.lock(): …`. Released by the operating system on any death.

        Raises:
            EpochalError: another process holds it.
        """
        try:
            with locking.hold(self.path / "lock", wait=False) as held:
                self.reload()
                if not held and self.alive():  # a file system without locks: ask the process instead
                    raise self._is_busy()
                for folder in (self.path, self.figures_dir):
                    atomic.remove_leftovers(folder)
                if held:  # nobody else writes these: what a kill left half-written there is of no use
                    for folder in (self.checkpoints_dir, self.samples_dir):
                        atomic.remove_leftovers(folder, age_s=0)
                yield
        except locking.Busy:
            raise self.reload()._is_busy() from None

    def size_bytes(self) -> int:
        """Bytes of all its files. Linked folders are not entered."""
        return _size(self.path)

    def delete(self, *, own: bool = False) -> None:
        """Deletes the folder. It leaves the lab at once and whole, even if removing its files is interrupted.

        Args:
            own: also when this very process is noted as its trainer (a training that failed to begin).

        Raises:
            EpochalError: the run is still training, or the folder is no run, or it cannot be removed.
        """
        if self.reload().alive() and not (own and self.meta["process"] == process.identity()):
            raise self._is_busy()
        doomed = self.path.with_name(f".deleted-{self.path.name}-{os.urandom(3).hex()}")
        try:
            os.rename(self.path, doomed)
        except OSError as error:
            raise atomic.explain(error, self.path) from error
        if doomed.is_symlink():
            doomed.unlink()
        else:
            atomic.remove_tree(doomed)

    def _log(self, log: LogName) -> Path:
        if log not in ("metrics", "probes"):
            raise ValueError(f"a run has the logs metrics and probes, not {log!r}")
        return self.path / f"{log}.jsonl"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other writers of this run (a note, an evaluation beside the training) away for one write."""
        with locking.hold(self.path / ".write-lock", wait=True):
            yield

    def _is_busy(self) -> EpochalError:
        who = self.meta["process"] or {}
        by = f"process {who['pid']}" if "pid" in who else "another process"
        hint = "Wait until it ends, or stop it with Ctrl-C in its window; then repeat."
        return EpochalError(f"run {self.id} is being trained by {by}.", hint=hint)


def trainer(status: str) -> dict[str, Any] | None:
    """What run.json says of the process that trains: this one when the status is running, else nothing."""
    return process.identity() if status == "running" else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _size(folder: str | os.PathLike[str]) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
                total += _size(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total
