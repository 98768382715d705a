"""Finds, reads and checks the file sources: four IDX files or one .npz."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError, UsageError
from epochal.folders import cache_folder
from epochal.systems.data import idx
from epochal.systems.data.catalogue import COLUMNS, IMAGE_SHAPE, NPZ_KEYS, FileSource

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array, Splits


@dataclass(frozen=True)
class Location:
    """Where a source lies: one .npz file, or a folder with four IDX files (`files`, by stem)."""

    path: Path
    files: Mapping[str, Path] | None = None


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


def find(source: FileSource, folder: str | None) -> Location | None:
    """The first place that holds the whole source, or None."""
    for root in roots(folder):
        if found := _find_in(source, root):
            return found
    return None


def _find_in(source: FileSource, root: Path) -> Location | None:
    for place in (root, *(root / sub for sub in source.folders)):
        for name in source.npz_names:
            if (place / name).is_file():
                return Location(place / name)
        files = idx_files(place)
        if len(files) == len(COLUMNS) and (place != root or _plausible(source, files)):
            return Location(place, files)
    return None


def idx_files(folder: Path) -> dict[str, Path]:
    """The IDX files in a folder, by stem; named with - or . before "idx", with or without .gz."""
    found: dict[str, Path] = {}
    for stem, (_, column) in COLUMNS.items():
        dimensions = 3 if column == "images" else 1
        for end in ("", ".gz"):
            for separator in "-.":
                path = folder / f"{stem}{separator}idx{dimensions}-ubyte{end}"
                if path.is_file():
                    found.setdefault(stem, path)
    return found


def _plausible(source: FileSource, files: Mapping[str, Path]) -> bool:
    """Whether files that lie in a folder without the source's name may be this source's.

    MNIST and Fashion-MNIST files have the same names; the small file of test labels tells them apart. A
    damaged one counts as this source's, so that reading it explains what is wrong.
    """
    import numpy as np

    try:
        labels = idx.read(files["t10k-labels"], item_shape=(), hint="")
    except EpochalError:
        return True
    if source.idx_sha256 is not None:
        return column_digest(labels) == source.idx_sha256["t10k-labels"]
    return source.labels_each is None or bool(
        (np.bincount(labels, minlength=len(source.classes)) == source.labels_each[1]).all()
    )


def read(source: FileSource, location: Location) -> tuple[Splits, str]:
    """Reads and checks a source.

    Returns:
        The splits, and the digest over all of them.

    Raises:
        EpochalError: a file is damaged, or its items are not the source's.
    """
    hint = (
        f"Put the published files there instead, or remove it and run `epochal data fetch {source.name}`. "
        "`--data.source glyphs` needs no files."
    )
    if location.files is None:
        columns = _read_npz(location.path, hint)
        paths = dict.fromkeys(COLUMNS, location.path)
    else:
        paths = dict(location.files)
        columns = {
            stem: idx.read(path, item_shape=IMAGE_SHAPE if stem.endswith("images") else (), hint=hint)
            for stem, path in paths.items()
        }
    digests = {stem: column_digest(array) for stem, array in columns.items()}
    for stem in COLUMNS:
        _check_items(source, paths[stem], columns, stem, hint)
        _check_identity(source, paths[stem], columns[stem], stem, digests[stem], hint)
    splits: dict[str, dict[str, Array]] = {"train": {}, "test": {}}
    for stem, (split, column) in COLUMNS.items():
        splits[split][column] = columns[stem]
    return splits, items_digest({"/".join(place): digests[stem] for stem, place in COLUMNS.items()})


def _read_npz(path: Path, hint: str) -> dict[str, Array]:
    import numpy as np

    columns = {}
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            for stem, key in NPZ_KEYS.items():
                columns[stem] = np.asarray(archive[key])
    except KeyError as error:
        raise EpochalError(
            f"{path} lacks the array {key!r}; it must hold {', '.join(NPZ_KEYS.values())}.", hint=hint
        ) from error
    except (ValueError, OSError, EOFError, MemoryError, TypeError, AttributeError) as error:
        # A plain .npy or a pickle ends here too: nothing that is pickled is ever opened.
        # NumPy's own words advise to load a pickle all the same.
        reason = "it is no zip archive, or holds pickled objects" if isinstance(error, ValueError) else error
        raise EpochalError(f"{path} is no .npz file of plain arrays: {reason}.", hint=hint) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise EpochalError(f"{path} is damaged: {error}.", hint=hint) from error
    for stem, array in columns.items():
        # Labels of wider integers are common in .npz files; those that do not fit are refused below.
        if stem.endswith("labels") and array.dtype.kind in "iu" and ((array >= 0) & (array <= 255)).all():
            columns[stem] = array.astype(np.uint8)
    return columns


def _check_items(source: FileSource, path: Path, columns: Mapping[str, Array], stem: str, hint: str) -> None:
    array = columns[stem]
    split, column = COLUMNS[stem]
    item_shape = IMAGE_SHAPE if column == "images" else ()
    if array.dtype != "uint8" or array.shape[1:] != item_shape or array.ndim != 1 + len(item_shape):
        expected = ", ".join(("n", *map(str, item_shape)))
        raise EpochalError(
            f"{path}: the {split} {column} are {array.dtype} of shape {array.shape}; "
            f"uint8 of shape ({expected}) is expected.",
            hint=hint,
        )
    items = len(columns[stem.replace("labels", "images")])
    if len(array) != items:
        raise EpochalError(f"{path} holds {len(array):,} {split} labels for {items:,} images.", hint=hint)
    if column == "labels" and len(array) and array.max() >= len(source.classes):
        raise EpochalError(
            f"{path}: a {split} label is {array.max()}; labels go from 0 to {len(source.classes) - 1}.",
            hint=hint,
        )


def _check_identity(source: FileSource, path: Path, array: Array, stem: str, digest: str, hint: str) -> None:
    import numpy as np

    split, column = COLUMNS[stem]
    expected_items = source.items[0 if split == "train" else 1]
    if len(array) != expected_items:
        raise EpochalError(
            f"{path} is not {source.name}: it holds {len(array):,} {split} {column}, not {expected_items:,}.",
            hint=hint,
        )
    if source.idx_sha256 is not None and digest != source.idx_sha256[stem]:
        raise EpochalError(
            f"{path} is not {source.name}: the {split} {column} have SHA-256 {digest[:16]}…, "
            f"{source.idx_sha256[stem][:16]}… is expected.",
            hint=hint,
        )
    if source.labels_each is not None and column == "labels":
        each = source.labels_each[0 if split == "train" else 1]
        counts = np.bincount(array, minlength=len(source.classes))
        if (counts != each).any():
            wrong = int(np.argmax(counts != each))
            raise EpochalError(
                f"{path} is not {source.name}: {counts[wrong]:,} {split} items have label {wrong}, "
                f"not {each:,}.",
                hint=hint,
            )


def column_digest(array: Array) -> str:
    """SHA-256 of an array; that of the canonical IDX file for unsigned bytes."""
    digest = hashlib.sha256(idx.header(array.shape) if array.dtype == "uint8" else b"")
    digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
    return digest.hexdigest()


def items_digest(columns: Mapping[str, str]) -> str:
    """SHA-256 over a whole data set, from the digests of its columns by name ("train/images")."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(columns.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
