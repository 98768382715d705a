"""Drawn microscopy with exact masks: what stands in for nuclei, membranes and photographs where those are not found.

`cells` looks like nuclei under fluorescence, `tissue` like membranes under the electron microscope, `stained-cells`
like stained cells of twenty kinds. Masks are the drawn shapes themselves, before blur and noise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from epochal.systems.data.drawn import DrawnSource
from epochal.systems.data.masks import COLOUR, GREY, VOID

if TYPE_CHECKING:
    import numpy as np

    from epochal.systems.data.dataset import Array, Splits

    Scene = Callable[[np.random.Generator], tuple[Array, Array]]

SIDE = 256
SEED = 30
CELLS_ITEMS, TISSUE_ITEMS, STAINED_ITEMS = (240, 60), (24, 6), (240, 60)

FORMS = {"round": (1.15, 0.03, 2), "long": (2.6, 0.05, 2), "lobed": (1.1, 0.3, 3), "ring": (1.2, 0.04, 2)}
"""Length over width, and how far the rim departs from an ellipse, in how many waves."""
STAINS = {
    "blue": (0.30, 0.32, 0.66),
    "pink": (0.86, 0.45, 0.62),
    "brown": (0.52, 0.34, 0.20),
    "green": (0.30, 0.60, 0.42),
    "grey": (0.42, 0.43, 0.45),
}
KINDS = tuple(f"{stain} {form}" for form in FORMS for stain in STAINS)


def draw(items: tuple[int, int], scene: Scene) -> Splits:
    """Training and test items, each from a random stream of its own.

    Args:
        items: how many training and test items.
        scene: `rng -> (image uint8, mask uint8)`.
    """
    import numpy as np

    splits: dict[str, dict[str, Array]] = {}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # NumPy and SciPy leave Python's lock
        for number, (split, count) in enumerate(zip(("train", "test"), items, strict=True)):
            streams = [np.random.default_rng([SEED, number, item]) for item in range(count)]
            images, masks = zip(*pool.map(scene, streams), strict=True)
            splits[split] = {"images": np.stack(images), "masks": np.stack(masks)}
    return splits


# --- cells: nuclei under fluorescence
# --------------------------------------------------------------------------------------------------


def cells(rng: np.random.Generator) -> tuple[Array, Array]:
    """One field of nuclei: image (256, 256) uint8, mask (256, 256) uint8, 1 = nucleus."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    radius = rng.uniform(5.5, 10.5)
    count = int(np.clip(rng.lognormal(3.2, 0.7), 3, 90))
    light = np.zeros((SIDE, SIDE), np.float32)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for centre in _centres(rng, count, 1.7 * radius):
        size = radius * rng.lognormal(0, 0.18)
        where, depth = _blob(rng, centre, size, stretch=rng.uniform(1, 1.6), wobble=0.06, waves=2)
        inside = depth > 0
        mask[where] |= inside
        # A nucleus is thickest in its middle; nuclei that overlap add their light.
        light[where] += inside * (0.6 + 0.4 * np.minimum(1.6 * depth, 1)) * rng.lognormal(-0.7, 0.35)
    for centre in rng.uniform(0, SIDE, (rng.poisson(2), 2)):  # debris, which is no nucleus
        where, depth = _blob(rng, centre, rng.uniform(1, 2.2), stretch=1.5, wobble=0.1, waves=2)
        light[where] += (depth > 0) * rng.uniform(0.2, 0.8)
    chromatin = 1 + 0.22 * _clouds(rng, 1.8)
    haze = gaussian_filter(light, 14)
    blurred = gaussian_filter(light * chromatin, rng.lognormal(0.1, 0.3)) + rng.uniform(0.1, 0.5) * haze
    photons = rng.uniform(80, 500)
    seen = rng.poisson(np.maximum(blurred + rng.uniform(0.01, 0.08), 0) * photons) / photons
    grey = rng.uniform(60, 200) * seen + rng.uniform(2, 8) + rng.normal(0, 1, seen.shape)
    return _bytes(grey), mask


def _centres(rng: np.random.Generator, count: int, spacing: float) -> Array:
    """(count, 2) positions, of which four in ten lie beside an earlier one."""
    import numpy as np

    centres = rng.uniform(0, SIDE, (count, 2))
    angles = rng.uniform(0, 2 * np.pi, count)
    for item in range(1, count):
        if rng.random() < 0.4:
            step = spacing * rng.uniform(0.8, 1.3) * np.array([np.sin(angles[item]), np.cos(angles[item])])
            centres[item] = centres[rng.integers(item)] + step
    return centres


def _blob(
    rng: np.random.Generator, centre: Array, radius: float, *, stretch: float, wobble: float, waves: int
) -> tuple[tuple[slice, slice], Array]:
    """An ellipse whose rim waves: the window that holds it, and there 1 - distance / rim (above 0 inside).

    Args:
        rng: turns it and draws its waves.
        centre: row and column.
        radius: of the circle of the same area.
        stretch: length over width.
        wobble: amplitude of the rim's waves, as a share of the radius.
        waves: the rim has so many, and one more at half the amplitude.
    """
    import numpy as np

    reach = radius * np.sqrt(stretch) * (1 + 2 * wobble) + 1
    window = tuple(
        slice(int(np.clip(c - reach, 0, SIDE)), int(np.clip(c + reach + 1, 0, SIDE))) for c in centre
    )
    y, x = np.mgrid[window].astype(np.float32) - np.asarray(centre, np.float32)[:, None, None]
    turn, *phases = rng.uniform(0, 2 * np.pi, 3)
    u = (np.cos(turn) * x + np.sin(turn) * y) / (radius * np.sqrt(stretch))
    v = (np.cos(turn) * y - np.sin(turn) * x) * np.sqrt(stretch) / radius
    angle = np.arctan2(v, u)
    rim = 1 + wobble * (np.cos(waves * angle + phases[0]) + 0.5 * np.cos((waves + 1) * angle + phases[1]))
    return (window[0], window[1]), 1 - np.hypot(u, v) / rim


def _clouds(rng: np.random.Generator, size: float) -> Array:
    """Smooth noise (256, 256) of mean 0 and deviation 1, whose clouds are about `size` pixels."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rng.standard_normal((SIDE, SIDE), np.float32), size, mode="wrap")
    clouds: Array = (smooth - smooth.mean()) / smooth.std()
    return clouds


def _bytes(grey: Array) -> Array:
    import numpy as np

    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


# --- tissue: membranes under the electron microscope
# --------------------------------------------------------------------------------------------------


def tissue(rng: np.random.Generator) -> tuple[Array, Array]:
    """One slice: image (256, 256) uint8, mask (256, 256) uint8, 1 = membrane.

    Cells are the regions nearest to scattered points, in a plane that is bent at random; membranes lie where the two
    nearest points are about equally far.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    points = rng.uniform(-30, SIDE + 30, (rng.integers(40, 80), 2))
    plane = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    bent = np.stack([axis + 7 * _clouds(rng, 16) for axis in plane], -1)
    distances, _ = cKDTree(points).query(bent.reshape(-1, 2), k=2)
    gap = (distances[:, 1] - distances[:, 0]).reshape(SIDE, SIDE)
    # Where the plane is stretched, the difference grows slowly; dividing by its slope gives pixels.
    gap /= np.clip(np.hypot(*np.gradient(gap)), 0.4, 2)
    membrane = gap < 2.6 + 0.5 * _clouds(rng, 25)
    grey = 150 - 85 * gaussian_filter(membrane.astype(np.float32), 0.9) + 10 * _clouds(rng, 20)
    for centre in rng.uniform(
        0, SIDE, (rng.poisson(6), 2)
    ):  # mitochondria: dark, with a membrane that is none here
        where, depth = _blob(rng, centre, rng.uniform(6, 11), stretch=1.6, wobble=0.06, waves=2)
        # Only the part that lies inside one cell, away from its membranes.
        inside = (depth > 0) & (gap[where] > 5)
        grey[where] -= inside * np.where(depth < 0.25, 60, 25 + 12 * np.sin(9 * depth))
    grey += 9 * _clouds(rng, 1.5) + rng.normal(0, 16, grey.shape)
    return _bytes(gaussian_filter(grey, 0.5)), membrane.astype(np.uint8)


# --- stained-cells: twenty kinds in colour
# --------------------------------------------------------------------------------------------------


def stained_cells(rng: np.random.Generator) -> tuple[Array, Array]:
    """One field: image (256, 256, 3) uint8; mask (256, 256) uint8, 0 = background, 1 … 20 = kind, 255 = rim (void).

    Each form has its texture: round cells are smooth, long ones banded, lobed ones granular, rings hollow.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    paper = np.array([0.93, 0.90, 0.91], np.float32) + 0.015 * rng.standard_normal(3, np.float32)
    image = np.broadcast_to(paper, (SIDE, SIDE, 3)) + 0.02 * _clouds(rng, 12)[..., None]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.uint8)
    here = rng.choice(len(KINDS), 5, replace=False)  # a field holds few kinds, as a photograph does
    texture, granules = _clouds(rng, 2.5), _clouds(rng, 1.2) > 0.9
    for number, centre in enumerate(rng.uniform(0, SIDE, (rng.integers(5, 14), 2)), start=1):
        kind = int(rng.choice(here))
        stain, form = KINDS[kind].split()
        stretch, wobble, waves = FORMS[form]
        where, depth = _blob(rng, centre, rng.uniform(16, 30), stretch=stretch, wobble=wobble, waves=waves)
        inside = (depth > 0) & ((depth < 0.5) if form == "ring" else True)
        colour = np.array(STAINS[stain], np.float32) + 0.03 * rng.standard_normal(3, np.float32)
        shade = 1 + 0.08 * texture[where] - 0.15 * depth
        if form == "long":
            shade += 0.15 * np.sin(32 * depth)
        elif form == "lobed":
            shade -= 0.4 * granules[where]
        image[where] = np.where(inside[..., None], colour * shade[..., None], image[where])
        mask[where] = np.where(inside, kind + 1, mask[where])
        owner[where] = np.where(inside, number, owner[where])
    mask[maximum_filter(owner, 3) != minimum_filter(owner, 3)] = VOID
    blurred = gaussian_filter(image, (0.8, 0.8, 0)) + rng.normal(0, 0.02, image.shape)
    return _bytes(255 * blurred), mask


CELLS = DrawnSource(
    name="cells",
    what="drawn fluorescent nuclei, 256x256 grey, with exact masks; needs no download",
    kind=GREY,
    classes=("background", "nucleus"),
    items=CELLS_ITEMS,
    draw=lambda: draw(CELLS_ITEMS, cells),
    seed=SEED,
    edition=1,
)
TISSUE = DrawnSource(
    name="tissue",
    what="drawn tissue under the electron microscope, 256x256 grey, with exact membranes; needs no download",
    kind=GREY,
    classes=("interior", "membrane"),
    items=TISSUE_ITEMS,
    draw=lambda: draw(TISSUE_ITEMS, tissue),
    seed=SEED,
    edition=1,
)
STAINED_CELLS = DrawnSource(
    name="stained-cells",
    what="drawn stained cells of 20 kinds, 256x256 colour, with exact masks; needs no download",
    kind=COLOUR,
    classes=("background", *KINDS),
    items=STAINED_ITEMS,
    draw=lambda: draw(STAINED_ITEMS, stained_cells),
    seed=SEED,
    edition=2,
)
