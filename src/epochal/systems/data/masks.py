"""What sources of pictures with masks share: reading both, pairing them by name, saying what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

VOID = 255
"""The mask value of pixels that count for nothing, as PASCAL VOC has it."""
GREY = "grey pictures with masks of two classes"
COLOUR = "256x256 colour pictures with masks of 21 classes"
"""Kinds of sources (see `catalogue`)."""

_NAMED = 5  # names that an error lists before it counts the rest


def pictures_in(folder: Path, endings: Iterable[str] = (".png",)) -> dict[str, Path]:
    """The pictures of a folder by name without ending, in numerical order where names are numbers."""
    wanted = tuple(endings)
    found = {file.stem: file for file in folder.iterdir() if file.suffix.lower() in wanted}
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def paired(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    *,
    where: Path,
    names: Iterable[str] | None = None,
    hint: str,
) -> list[tuple[Path, Path]]:
    """Image and mask of every name, in order.

    Args:
        images: by name.
        masks: by name.
        where: the folder that holds both, for the error.
        names: those that must be there; by default every image needs a mask and every mask an image.
        hint: what to do about it, for the error.

    Raises:
        EpochalError: a name lacks its image or its mask (the first few are listed), or there is no name at all.
    """
    wanted = list(names) if names is not None else list(dict.fromkeys([*images, *masks]))
    faults = []
    for what, found in (("image", images), ("mask", masks)):
        missing = [name for name in wanted if name not in found]
        if missing:
            more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
            faults.append(f"no {what} for {', '.join(missing[:_NAMED])}{more}")
    if not wanted:
        faults.append("no picture")
    if faults:
        raise EpochalError(f"{where}: images and masks do not pair: {'; '.join(faults)}.", hint=hint)
    return [(images[name], masks[name]) for name in wanted]


def read(
    path: Path,
    mode: str | None = None,
    *,
    size: tuple[int, int] | None = None,
    upright: bool = False,
    hint: str,
) -> Array:
    """A picture as uint8: (H, W) in the modes L and P (palette indices), (H, W, 3) in RGB.

    Args:
        path: the file.
        mode: Pillow's mode to convert to; None leaves it as stored, and refuses one of several channels.
        size: (H, W) to resize to: averaged in RGB and L, the nearest pixel where no mode is given.
        upright: turn it as its camera noted (EXIF); a picture with a mask stays as it is stored, as the mask does.
        hint: what to do about a bad file, for the error.

    Raises:
        EpochalError: no readable picture, one of more than 8 bits a pixel, or a mask of several channels.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened) if upright else opened
            if mode is None and picture.mode not in ("L", "P", "1"):
                raise EpochalError(
                    f"{path} is stored as {picture.mode}; a mask has one channel (grey or palette) "
                    "whose values are the classes.",
                    hint=hint,
                )
            if mode is not None and picture.mode.startswith(("I", "F")):  # Pillow would cut off at 255
                raise EpochalError(
                    f"{path} is stored as {picture.mode}, with more than 8 bits a pixel.",
                    hint="Save it with 8 bits a pixel, its values scaled to 0 … 255.",
                )
            pixels = picture.convert(mode) if mode else picture
            if size is not None:
                how = Image.Resampling.BILINEAR if mode else Image.Resampling.NEAREST
                pixels = pixels.resize((size[1], size[0]), how)
            return np.array(pixels, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise EpochalError(f"{path} cannot be read as a picture: {error}.", hint=hint) from error


def same_size(image: Path, mask: Path, hint: str) -> None:
    """Insists that two readable pictures have one size: a mask of another is not this image's.

    Raises:
        EpochalError: they have not.
    """
    from PIL import Image

    with Image.open(image) as first, Image.open(mask) as second:
        sizes = [f"{width}x{height}" for width, height in (first.size, second.size)]
    if sizes[0] != sizes[1]:
        raise EpochalError(f"{mask} is {sizes[1]} pixels, but its image {image} is {sizes[0]}.", hint=hint)


def same_shape(images: Array, masks: Array, path: Path, hint: str) -> None:
    """Insists that arrays of images and masks are uint8 of one shape (n, H, W).

    Raises:
        EpochalError: they are not.
    """
    right = images.dtype == "uint8" and masks.dtype == "uint8" and images.ndim == 3
    if not right or masks.shape != images.shape:
        raise EpochalError(
            f"{path}: images are {images.dtype} of shape {images.shape}, masks {masks.dtype} of shape "
            f"{masks.shape}; both must be uint8 of one shape (n, height, width).",
            hint=hint,
        )
