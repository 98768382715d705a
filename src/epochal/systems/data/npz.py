"""Reader of .npz files of plain arrays: nothing that is pickled is ever opened."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array


def read(path: Path, keys: Iterable[str], *, hint: str) -> dict[str, Array]:
    """Reads some arrays of an .npz file, whatever its members are compressed with.

    Args:
        path: the file.
        keys: names of the arrays, all needed.
        hint: what to do about a bad file, for the error message.

    Raises:
        EpochalError: the file is damaged, is no .npz file of plain arrays, or lacks an array.
    """
    import numpy as np

    keys = tuple(keys)
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {}
            for key in keys:
                arrays[key] = np.asarray(archive[key])
            return arrays
    except KeyError as error:
        raise EpochalError(
            f"{path} lacks the array {key!r}; it must hold {', '.join(keys)}.", hint=hint
        ) from error
    except (ValueError, OSError, EOFError, MemoryError, TypeError, AttributeError) as error:
        # A plain .npy or a pickle ends here too: nothing that is pickled is ever opened.
        # NumPy's own words advise to load a pickle all the same.
        reason = "it is no zip archive, or holds pickled objects" if isinstance(error, ValueError) else error
        raise EpochalError(f"{path} is no .npz file of plain arrays: {reason}.", hint=hint) from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError) as error:
        raise EpochalError(f"{path} is damaged: {error}.", hint=hint) from error


def narrowed(labels: Array) -> Array:
    """Labels as uint8 where they all fit; wider integers are common in .npz files."""
    if labels.dtype.kind in "iu" and ((labels >= 0) & (labels <= 255)).all():
        return labels.astype("uint8")
    return labels
