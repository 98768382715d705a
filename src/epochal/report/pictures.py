"""Copies of a run's pictures beside the log, so that the log can be moved with them."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.journal import atomic

if TYPE_CHECKING:
    from epochal.journal import Run

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_BYTES = 64 * 2**20


def copy(run: Run, folder: Path) -> list[PurePath]:
    """Copies a run's figures (the last sample where none were drawn yet) to `folder/RUN/`.

    Links and files that are no PNG are left alone: a run folder may come from somebody else.

    Returns:
        Paths relative to the folder that holds `folder`, by name.

    Raises:
        EpochalError: the disk refuses.
    """
    found = _pngs(run.figures_dir) or _pngs(run.samples_dir)[-1:]
    copied = []
    for source, content in found:
        place = folder / run.path.name / source.name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic.explain(error, place) from error
        if not place.is_file() or place.read_bytes() != content:
            atomic.write_bytes(place, content)
        copied.append(PurePath(folder.name, run.path.name, source.name))
    return copied


def title_of(path: Path) -> str:
    """What a PNG file says it shows; in want of that, what its name says."""
    from PIL import Image

    named = path.stem.replace("-", " ").replace("_", " ")
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return str(picture.info.get("Title") or named)
    except (OSError, SyntaxError, ValueError):
        return named


def _pngs(folder: Path) -> list[tuple[Path, bytes]]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.glob("*.png")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EpochalError(f"cannot read {path}: {error.strerror or error}.") from error
        if content.startswith(_PNG):
            found.append((path, content))
    return found
