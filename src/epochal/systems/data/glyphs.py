"""Drawn digits: the data set that needs no network, with the width of every stroke known.

A digit is a skeleton of smooth strokes (`glyph_faces`) that is jittered, slanted, turned, stretched and bent
at random, then inked with one stroke width: the grey of a pixel follows from its distance to the skeleton.
Like MNIST's, the digits fill about 20 of 28 pixels and are centred by mass.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from epochal.systems.data.drawn import DrawnSource
from epochal.systems.data.glyph_faces import FACES, Face, Stroke
from epochal.systems.data.mnist import KIND

if TYPE_CHECKING:
    import numpy as np

    from epochal.systems.data.dataset import Array, Splits

ITEMS = (60_000, 10_000)
SEED = 20
# Part of the cached file's name: raised whenever a change of this module or of the faces changes a pixel.
EDITION = 1

SIDE = 28
THINNEST, THICKEST = 1.2, 5.0  # stroke width in pixels
SEGMENT = 0.09  # length of the straight pieces that a curve is inked in, for a digit that is 1 high
BATCH = 256


def draw_all() -> Splits:
    """Draws all training and test digits, from independent random streams."""
    return {"train": draw(ITEMS[0], [SEED, 0]), "test": draw(ITEMS[1], [SEED, 1])}


def draw(items: int, seed: list[int]) -> dict[str, Array]:
    """Draws digits, all classes equally often, in mixed order.

    Args:
        items: how many.
        seed: of NumPy's `default_rng`.

    Returns:
        "images" (items, 28, 28) uint8, "labels" (items,) uint8, "thickness" (items,) float32 in pixels.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(items) % 10).astype(np.uint8)
    faces = (rng.random(items) * np.array([len(faces) for faces in FACES])[labels]).astype(int)
    hands = _Hands.draw(rng, items)
    images = np.zeros((items, SIDE, SIDE), np.uint8)

    def ink(job: tuple[Face, Array]) -> None:
        face, chosen = job
        images[chosen] = _ink(_curves(face, hands, chosen), hands.thickness[chosen])

    jobs = []
    for label, faces_of_label in enumerate(FACES):
        for number, face in enumerate(faces_of_label):
            chosen = np.flatnonzero((labels == label) & (faces == number))
            # Strokes of like width in one batch: its widest decides how many pixels are looked at.
            chosen = chosen[np.argsort(hands.thickness[chosen], kind="stable")]
            jobs += [(face, chosen[k : k + BATCH]) for k in range(0, len(chosen), BATCH)]
    with ThreadPoolExecutor(
        min(4, os.cpu_count() or 1)
    ) as pool:  # NumPy leaves Python's lock while it computes
        list(pool.map(ink, jobs))
    return {"images": images, "labels": labels, "thickness": hands.thickness}


@dataclass(frozen=True)
class _Hands:
    """What is random about each of n digits, apart from its face.

    Attributes:
        thickness: (n,) stroke width in pixels.
        height: (n,) of the skeleton, in pixels.
        matrix: (n, 2, 2): stretch, slant and rotation.
        jitter: (n, MOST_POINTS, 2) displacement of the skeleton's points, for a digit that is 1 high.
        bend: (n, 2, 4): for x and y, amplitude, frequencies along x and y, and phase of a wave that bends the
            whole digit.
    """

    thickness: Array
    height: Array
    matrix: Array
    jitter: Array
    bend: Array

    @staticmethod
    def draw(rng: np.random.Generator, n: int) -> _Hands:
        import numpy as np

        def normal(mean: float, deviation: float, low: float, high: float) -> Array:
            return np.clip(rng.normal(mean, deviation, n), low, high).astype(np.float32)

        thickness = (THINNEST + (THICKEST - THINNEST) * rng.beta(1.9, 3.0, n)).astype(np.float32)
        # The ink, wider than the skeleton by the stroke, is what fills the picture.
        height = normal(19.4, 0.9, 16.5, 21.0) - 0.55 * thickness
        width = np.exp(normal(0.0, 0.15, -0.4, 0.4))
        slant = normal(0.13, 0.19, -0.35, 0.65)
        turn = normal(0.0, 0.06, -0.16, 0.16)
        cos, sin = np.cos(turn), np.sin(turn)
        # Rotation after slant (x -= slant * y, for y goes down) after stretch of x.
        matrix = np.stack(
            [
                np.stack([cos * width, -cos * slant - sin], -1),
                np.stack([sin * width, -sin * slant + cos], -1),
            ],
            -2,
        )
        most_points = max(len(_points(face)) for faces in FACES for face in faces)
        jitter = rng.normal(0, 0.021, (n, most_points, 2)).astype(np.float32)
        amplitude = np.clip(rng.normal(0, 0.03, (n, 2, 1)), -0.06, 0.06)
        frequency = np.clip(rng.normal(0, 2.2, (n, 2, 2)), -3.5, 3.5)
        phase = rng.uniform(0, 2 * np.pi, (n, 2, 1))
        bend = np.concatenate([amplitude, frequency, phase], -1).astype(np.float32)
        return _Hands(thickness, height, matrix.astype(np.float32), jitter, bend)


@cache
def _points(face: Face) -> tuple[tuple[float, float], ...]:
    """The distinct points of a face: strokes that share one are jittered together there."""
    return tuple(dict.fromkeys(point for stroke in face for point in stroke))


@cache
def _curve_matrices(face: Face) -> tuple[Array, Array]:
    """Matrices (segments, points) that take a face's points to the starts and ends of its segments."""
    import numpy as np

    points = _points(face)
    starts, ends = [], []
    for stroke in face:
        to_curve = _stroke_matrix(stroke)
        chooses = np.array([[point == other for other in points] for point in stroke], float)
        sampled = (to_curve @ chooses).astype(np.float32)
        starts.append(sampled[:-1])
        ends.append(sampled[1:])
    return np.concatenate(starts), np.concatenate(ends)


def _stroke_matrix(stroke: Stroke) -> Array:
    """Matrix (samples, points) of the cubic spline through a stroke's points: splines are linear in them."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    points = np.array(stroke)
    # Knots at the square root of the distances (centripetal): no cusps or overshoot where points stand close.
    knots = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1) ** 0.5)])
    ring = stroke[0] == stroke[-1]
    basis = np.eye(len(points))
    if ring:
        basis[-1] = basis[0]
    spline = CubicSpline(knots, basis, bc_type="periodic" if ring else "natural")
    fine = spline(np.linspace(0, knots[-1], 400)) @ points
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    straight = len(points) == 2
    segments = max(1 if straight else 4, round(along[-1] / (3 * SEGMENT if straight else SEGMENT)))
    even = np.interp(np.linspace(0, along[-1], segments + 1), along, np.linspace(0, knots[-1], 400))
    matrix: Array = spline(even)
    return matrix


def _curves(face: Face, hands: _Hands, chosen: Array) -> Array:
    """Ends of the segments of some digits, in pixels: (digits, segments, 2 ends, 2 coordinates)."""
    import numpy as np

    points = np.array(_points(face), np.float32)
    written = points + hands.jitter[chosen, : len(points)]
    ends = np.stack([matrix @ written for matrix in _curve_matrices(face)], 2)
    amplitude, along_x, along_y, phase = (hands.bend[chosen][:, None, None, :, k] for k in range(4))
    ends = ends + amplitude * np.sin(along_x * ends[..., :1] + along_y * ends[..., 1:] + phase)
    ends = np.einsum("nij,nsej->nsei", hands.matrix[chosen], ends) * hands.height[chosen, None, None, None]
    return _centred(ends, hands.thickness[chosen])


def _centred(ends: Array, thickness: Array) -> Array:
    """Puts the centre of mass into the middle, as far as the ink then stays inside the picture."""
    import numpy as np

    room = SIDE - 1.5 - thickness[:, None]
    size = ends.max((1, 2)) - ends.min((1, 2))
    ends = ends * np.minimum(1, room / size).min(1)[:, None, None, None]
    length = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1, keepdims=True)
    mass = (ends.mean(2) * length).sum(1) / length.sum(1)
    ends = ends - mass[:, None, None]
    low, high = ends.min((1, 2)), ends.max((1, 2))
    shift: Array = SIDE / 2 + np.clip(0, -room / 2 - low, room / 2 - high)
    return ends + shift[:, None, None]


def _ink(ends: Array, thickness: Array) -> Array:
    """Inks segments: (digits, segments, 2, 2) in pixels and (digits,) widths → (digits, 28, 28) uint8.

    A pixel is black where its centre is further than half the width from every segment, white inside, grey
    over one pixel at the rim. Only the patch of pixels around a segment is looked at, a tenth of them.
    """
    import numpy as np

    radius = thickness / 2
    reach = float(radius.max()) + 0.5
    longest = float(np.abs(ends[:, :, 1] - ends[:, :, 0]).max())
    patch = int(np.ceil(longest + 2 * reach)) + 1
    margin = patch
    side = SIDE + 2 * margin
    nearest = np.full(len(ends) * side * side, np.float32(1e6))  # squared distances
    column, row = (grid.ravel() for grid in np.meshgrid(np.arange(patch), np.arange(patch)))
    pixels = row * side + column
    first = np.arange(len(ends)) * (side * side)
    for segment in range(ends.shape[1]):
        start, end = ends[:, segment, 0], ends[:, segment, 1]
        corner = np.floor(np.minimum(start, end) - reach)
        along = end - start
        unit = along / np.maximum((along**2).sum(1, keepdims=True), 1e-9)
        offset = (corner + 0.5 - start).astype(np.float32)
        x = column.astype(np.float32) + offset[:, :1]
        y = row.astype(np.float32) + offset[:, 1:]
        share = np.clip(x * unit[:, :1] + y * unit[:, 1:], 0, 1)
        x -= share * along[:, :1]
        y -= share * along[:, 1:]
        x *= x
        y *= y
        x += y
        index = (first + (corner[:, 1] + margin).astype(int) * side + (corner[:, 0] + margin).astype(int))[
            :, None
        ]
        index = index + pixels
        nearest[index] = np.minimum(nearest[index], x)
    distance = np.sqrt(nearest.reshape(-1, side, side)[:, margin:-margin, margin:-margin])
    ink = np.clip(radius[:, None, None] + 0.5 - distance, 0, 1)
    return (ink * 255 + 0.5).astype(np.uint8)


GLYPHS = DrawnSource(
    name="glyphs",
    what="drawn digits, 28x28 grey, with their stroke width; needs no download",
    kind=KIND,
    classes=tuple("0123456789"),
    items=ITEMS,
    draw=draw_all,
    seed=SEED,
    edition=EDITION,
)
