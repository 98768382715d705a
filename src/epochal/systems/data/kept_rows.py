"""Large columns that Epochal draws itself, kept in the cache as memory-mapped files and drawn as far as needed.

A column is one uncompressed .npy file of its full length, sparse where nothing was drawn yet. It is drawn and checked
in shards of some rows: the file beside it, `….json`, names the shards that are there with the SHA-256 of each. A shard
counts only once its bytes are on the disk and its digest is written, so a kill at any instant costs one shard; a shard
whose bytes are not what was written is drawn anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.systems.data.cache import locked, replacing

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

SHARD = 128
"""Rows."""
# What has been checked by this process, by path, with the file's time of change: a run loads its data several times.
_checked: dict[Path, tuple[int, set[int]]] = {}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptRows:
    """A column of bytes of which each row can be drawn by itself.

    Attributes:
        path: of its .npy file.
        shape: of the whole column, rows first.
        draw: from the first row and the row after the last one to these rows, uint8.
    """

    path: Path
    shape: tuple[int, ...]
    draw: Callable[[int, int], Array]

    def rows(self, wanted: Iterable[range]) -> Array:
        """The whole column, of which the wanted rows are drawn; what others hold is not said.

        Memory-mapped, copied on writing: the file never changes through it. In memory, with a warning, where the
        cache cannot be written.
        """
        import numpy as np

        shards = sorted(
            {shard for part in wanted if part for shard in range(part[0] // SHARD, part[-1] // SHARD + 1)}
        )
        if not shards:
            return np.zeros(self.shape, np.uint8)
        if not self.missing(shards):
            return np.asarray(self._mapped())
        try:
            with locked(self.path.parent):
                self._complete(self.missing(shards))
                return np.asarray(self._mapped())
        except (EpochalError, OSError) as error:
            why = error.what if isinstance(error, EpochalError) else f"{self.path}: {error}."
            warnings.warn(f"Drawn items cannot be kept. {why}", stacklevel=2)
            return self._in_memory(shards)

    def missing(self, shards: Sequence[int]) -> list[int]:
        """Which of the shards are not there as they were written."""
        recorded = self._recorded()
        try:
            column = self._mapped()
            changed = self.path.stat().st_mtime_ns
        except (OSError, ValueError):
            return list(shards)
        known_at, known = _checked.get(self.path, (0, set()))
        good = set(known) if known_at == changed else set()
        unknown = [shard for shard in shards if shard not in good and str(shard) in recorded]
        with ThreadPoolExecutor(threads()) as pool:
            digests = pool.map(lambda shard: _digest(column[self._slice(shard)]), unknown)
            good |= {s for s, digest in zip(unknown, digests, strict=True) if digest == recorded[str(s)]}
        _checked[self.path] = (changed, good)
        return [shard for shard in shards if shard not in good]

    def drawn(self) -> list[int]:
        """The shards that were drawn, whatever has become of them."""
        return sorted(int(shard) for shard in self._recorded())

    def count(self, shards: Iterable[int]) -> int:
        """How many rows they hold."""
        return sum(self._slice(shard).stop - self._slice(shard).start for shard in shards)

    def _slice(self, shard: int) -> slice:
        return slice(shard * SHARD, min((shard + 1) * SHARD, self.shape[0]))

    @property
    def _record(self) -> Path:
        return self.path.with_suffix(".json")

    def _recorded(self) -> dict[str, str]:
        try:
            found = json.loads(self._record.read_text(encoding="utf-8"))
            digests = found["sha256"]
            if found["rows"] != SHARD or not all(0 <= int(k) * SHARD < self.shape[0] for k in digests):
                return {}
            return {str(int(shard)): str(digest) for shard, digest in digests.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # Epochal's own file: drawn anew
            return {}

    def _mapped(self) -> Array:
        """The file as an array.

        Raises:
            OSError: it is not there.
            ValueError: it is something else, or cut off.
        """
        import numpy as np

        column: Array = np.lib.format.open_memmap(self.path, mode="c")
        if column.shape != self.shape or column.dtype != np.uint8 or not column.flags.c_contiguous:
            raise ValueError(f"{self.path} has shape {column.shape} and type {column.dtype}.")
        return column

    def _complete(self, shards: Sequence[int]) -> None:
        """Draws shards into the file."""
        import numpy as np

        if not shards:
            return
        log.info("drawing %s items, from now on kept in %s", f"{self.count(shards):,}", self.path)
        try:
            offset = self._mapped().offset  # type: ignore[attr-defined]
        except (OSError, ValueError):
            with replacing(self.path) as file:  # all zero, and nearly nothing on the disk
                empty = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
                np.lib.format.write_array_header_1_0(file, empty)
                offset = file.tell()
                file.truncate(offset + int(np.prod(self.shape, dtype=np.int64)))
            self._record.unlink(missing_ok=True)
        recorded = self._recorded()
        row = int(np.prod(self.shape[1:], dtype=np.int64))
        with open(self.path, "r+b") as file:
            for shard, images in self._drawn_in_turn(shards):
                file.seek(offset + shard * SHARD * row)
                file.write(images.data)
                file.flush()
                os.fsync(file.fileno())
                recorded[str(shard)] = _digest(images)
                with replacing(self._record) as record:
                    record.write(json.dumps({"rows": SHARD, "sha256": recorded}, indent=0).encode())
        _checked[self.path] = (self.path.stat().st_mtime_ns, {int(shard) for shard in recorded})

    def _drawn_in_turn(self, shards: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """Shards in order, drawn by several threads, a few of them ahead."""
        import numpy as np

        def draw(shard: int) -> Array:
            here = self._slice(shard)
            return np.ascontiguousarray(self.draw(here.start, here.stop))

        with ThreadPoolExecutor(threads()) as pool:
            left = iter(shards)
            ahead = [(shard, pool.submit(draw, shard)) for shard in islice(left, 2 * threads())]
            while ahead:
                shard, drawing = ahead.pop(0)
                yield shard, drawing.result()
                ahead += [(later, pool.submit(draw, later)) for later in islice(left, 1)]

    def _in_memory(self, shards: Sequence[int]) -> Array:
        import numpy as np

        column: Array = np.zeros(self.shape, np.uint8)
        for shard, images in self._drawn_in_turn(shards):
            column[self._slice(shard)] = images
        return column


def _digest(rows: Array) -> str:
    return hashlib.sha256(rows.data).hexdigest()


def threads() -> int:
    """How many draw and check: NumPy and hashing leave Python's lock."""
    return min(4, os.cpu_count() or 1)
