"""Persistence images kept in the cache as float16: made once for the same signals and settings."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError
from epochal.folders import cache_folder
from epochal.systems.data.cache import locked, replacing
from epochal.systems.data.persistence import LEAST
from epochal.systems.data.persistence_images import SIGMA, SIZE, check, images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike

    from epochal.systems.data.dataset import Array

EDITION = 1
"""Goes up when the same signals and settings give other pictures."""

_AT_ONCE = 512  # windows whose float32 pictures are held: 8 MiB a channel

log = logging.getLogger(__name__)


def kept_images(
    signals: Array,
    *,
    low: ArrayLike,
    high: ArrayLike,
    size: int = SIZE,
    sigma: float = SIGMA,
    paper_compat: bool = False,
) -> Array:
    """`images` of the same arguments as (n, channels, size, size) float16, from the cache where they lie there.

    They are mapped copy-on-write: only what is used is read, and changes stay in memory. A file that is not whole is
    made anew. A cache that cannot be written costs a warning, and the memory of all pictures.

    Raises:
        EpochalError, UsageError, ValueError: as `images`.
    """
    import numpy as np

    bottom, top = (np.broadcast_to(np.asarray(edge, float), signals.shape[:2]) for edge in (low, high))
    check(signals, bottom, top)
    shape = (*signals.shape[:2], size, size)

    def parts() -> Iterator[Array]:
        for start in range(0, len(signals), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            made = images(
                signals[rows],
                low=bottom[rows],
                high=top[rows],
                size=size,
                sigma=sigma,
                paper_compat=paper_compat,
            )
            yield made.astype("<f2")

    settings = {
        "edition": EDITION,
        "size": size,
        "sigma": sigma,
        "paper_compat": paper_compat,
        "least": LEAST,
    }
    path = cache_folder() / f"persistence-images-{_digest(settings, signals, bottom, top)[:32]}.npy"
    if (found := _kept(path, shape)) is not None:
        return found
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path.parent))
        except EpochalError as error:
            return _unkept(shape, parts(), f"Persistence images cannot be kept. {error.what}")
        if (found := _kept(path, shape)) is not None:  # of several processes, one makes them
            return found
        log.info("making persistence images, from now on kept in %s", path)
        try:
            _write(path, shape, parts())
        except OSError as error:
            return _unkept(shape, parts(), f"Persistence images cannot be kept in {path}: {error}.")
        found = _kept(path, shape)
    assert found is not None  # just written
    return found


def _digest(settings: dict[str, Any], *arrays: Array) -> str:
    """SHA-256 over settings and arrays, of whatever types and shapes."""
    import numpy as np

    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _kept(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The pictures that lie in the file; None where there are none, or not all of them."""
    import numpy as np

    try:
        array: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float16 else None


def _write(path: Path, shape: tuple[int, ...], parts: Iterable[Array]) -> None:
    import numpy as np

    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(part.data)


def _unkept(shape: tuple[int, ...], parts: Iterable[Array], why: str) -> Array:
    import numpy as np

    warnings.warn(why, stacklevel=3)
    made = np.empty(shape, np.float16)
    start = 0
    for part in parts:
        made[start : start + len(part)] = part
        start += len(part)
    return made
