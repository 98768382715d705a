"""Drawn shapes: what stands in for CIFAR-10 where it is not found. 32x32 colour images, ten classes.

A picture is painted in layers: a background of waves between two colours, a soft shadow, the shape in a pose of
its own with light from one side, often a bar across everything, and grain. The outline says which class it is;
as in photographs, colours only hint at it (each class has colours that it likes), and texture, place, size and
light tell nothing. The outlines are distance functions (`_OUTLINES`), so that a whole batch is painted at once
and every edge is smooth.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from epochal.systems.data.cifar10 import KIND
from epochal.systems.data.drawn import DrawnSource

if TYPE_CHECKING:
    import numpy as np

    from epochal.systems.data.dataset import Array, Splits

ITEMS = (50_000, 10_000)
SEED = 32
# Part of the cached file's name: raised whenever a change of this module changes a pixel.
EDITION = 1
SIDE = 32
WAVES = 3
BATCH = 256
LOYAL = 0.4  # share of the pictures that have a colour which their class likes


def draw_all() -> Splits:
    """Draws all training and test images, from independent random streams."""
    return {"train": draw(ITEMS[0], [SEED, 0]), "test": draw(ITEMS[1], [SEED, 1])}


def draw(items: int, seed: list[int]) -> dict[str, Array]:
    """Draws images, all classes equally often, in mixed order.

    Args:
        items: how many.
        seed: of NumPy's `default_rng`.

    Returns:
        "images" (items, 32, 32, 3) uint8 and "labels" (items,) uint8.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(items) % len(_OUTLINES)).astype(np.uint8)
    scenes = _Scenes.draw(rng, labels)
    images = np.empty((items, SIDE, SIDE, 3), np.uint8)
    jobs = [
        (outline, chosen[k : k + BATCH])
        for label, outline in enumerate(_OUTLINES.values())
        for chosen in [np.flatnonzero(labels == label)]
        for k in range(0, len(chosen), BATCH)
    ]

    def paint(number: int) -> None:
        outline, chosen = jobs[number]
        # Each batch has a stream of grain of its own: threads may take them in any order.
        images[chosen] = _paint(outline, scenes.of(chosen), np.random.default_rng([*seed, number]))

    # NumPy leaves Python's lock while it computes.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(paint, range(len(jobs))))
    return {"images": images, "labels": labels}


@dataclass(frozen=True)
class _Scenes:
    """What is random about each of n pictures, apart from its outline and its grain.

    Attributes:
        place: (n, 2) centre of the shape in pixels, x and y.
        size: (n,) its half extent in pixels.
        to_shape: (n, 2, 2): undoes turn, shear and stretch, from pixels around the centre to shape units.
        fill: (n, 3) colour of the shape.
        back: (n, 2, 3) the two colours of the background.
        bar: (n, 5): normal of a bar across the picture, its distance from the middle, half its width, opacity.
        bar_colour: (n, 3).
        waves: (n, WAVES, 3): frequencies along x and y in radians a pixel, and phase.
        hardness: (n,) of the waves' edges: from clouds to stripes.
        light: (n, 2) towards the light, in shape units; its length is the strength.
        outline: (n,) how dark the rim of the shape is.
        shadow: (n,) opacity of its shadow.
        grain: (n,) standard deviation of the noise.
    """

    place: Array
    size: Array
    to_shape: Array
    fill: Array
    back: Array
    bar: Array
    bar_colour: Array
    waves: Array
    hardness: Array
    light: Array
    outline: Array
    shadow: Array
    grain: Array

    def of(self, chosen: Array) -> _Scenes:
        """The scenes of some pictures."""
        return _Scenes(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def draw(rng: np.random.Generator, labels: Array) -> _Scenes:
        import numpy as np

        n = len(labels)

        def uniform(low: float, high: float, *shape: int) -> Array:
            return rng.uniform(low, high, (n, *shape)).astype(np.float32)

        def liked(circle: Array) -> Array:
            """Angles near the given ones for LOYAL of the pictures, anywhere for the others."""
            return np.where(rng.random(n) < LOYAL, circle + uniform(-0.6, 0.6), uniform(0, 2 * np.pi))

        size = uniform(6.5, 13.0)
        room = SIDE / 2 - 0.92 * size  # a corner may lie outside
        place = SIDE / 2 + uniform(-1, 1, 2) * np.maximum(room, 0.5)[:, None]
        share = 2 * np.pi * labels / len(_OUTLINES)
        hue, back_hue = liked(share), liked(3 * share + 2)
        # The shape is brighter or darker than the background by this much, where there is room for it.
        brightness = uniform(0.12, 0.88)
        contrast = uniform(0.16, 0.5) * np.where(liked(2 * share) % (2 * np.pi) < np.pi, 1, -1)
        contrast = np.where(np.abs(brightness + contrast - 0.5) > 0.45, -contrast, contrast)
        swing = uniform(0.02, 0.12)
        back = [
            _colour(brightness + sign * swing, back_hue + sign * uniform(0, 0.5), uniform(0.03, 0.22))
            for sign in (-1, 1)
        ]
        across = uniform(0, np.pi)
        opacity = uniform(0.7, 1.0) * (rng.random(n) < 0.4)
        bar = [np.cos(across), np.sin(across), uniform(-13, 13), uniform(0.8, 2.0), opacity]
        toward = uniform(0, 2 * np.pi)
        direction, frequency = uniform(0, 2 * np.pi, WAVES), uniform(0.06, 0.75, WAVES) ** 1.3
        return _Scenes(
            place=place,
            size=size,
            to_shape=_poses(rng, n),
            fill=_colour(brightness + contrast, hue, uniform(0.05, 0.3)),
            back=np.stack(back, 1),
            bar=np.stack(bar, 1).astype(np.float32),
            bar_colour=_colour(uniform(0.1, 0.9), uniform(0, 2 * np.pi), uniform(0, 0.25)),
            waves=np.stack(
                [frequency * np.cos(direction), frequency * np.sin(direction), uniform(0, 2 * np.pi, WAVES)],
                -1,
            ),
            hardness=np.exp(uniform(-0.7, 1.6)),
            light=uniform(0.02, 0.16)[:, None] * np.stack([np.cos(toward), np.sin(toward)], 1),
            outline=uniform(0.0, 0.35) * (rng.random(n) < 0.6),
            shadow=uniform(0.1, 0.5),
            grain=uniform(0.008, 0.045),
        )


def _poses(rng: np.random.Generator, n: int) -> Array:
    """Matrices (n, 2, 2) that undo a turn of up to 60 degrees, a shear, and a stretch that keeps the area."""
    import numpy as np

    turn, shear = rng.uniform(-np.pi / 3, np.pi / 3, n), rng.normal(0, 0.12, n)
    stretch = np.exp(rng.normal(0, 0.11, n))
    cos, sin = np.cos(turn), np.sin(turn)
    rows = [cos / stretch - shear * sin, sin / stretch + shear * cos, -sin * stretch, cos * stretch]
    return np.stack(rows, -1).reshape(n, 2, 2).astype(np.float32)


def _colour(brightness: Array, hue: Array, chroma: Array) -> Array:
    """Colours (n, 3) in [0, 1] from brightness in [0, 1], hue in radians, and distance from grey."""
    import numpy as np

    thirds = np.array([0, 2, 4], np.float32) * np.pi / 3
    rgb: Array = brightness[:, None] + chroma[:, None] * np.cos(hue[:, None] - thirds)
    return rgb.clip(0, 1).astype(np.float32)


def _paint(outline: Callable[[Array, Array], Array], scenes: _Scenes, rng: np.random.Generator) -> Array:
    """Paints pictures of one class: (n, 32, 32, 3) uint8."""
    import numpy as np

    def each(values: Array, axes: int) -> Array:
        return values.reshape(values.shape + (1,) * axes)

    axis = np.arange(SIDE, dtype=np.float32) + 0.5
    x, y = axis[None, None, :], axis[None, :, None]
    wave: Array = np.zeros((len(scenes.size), SIDE, SIDE), np.float32)
    for along_x, along_y, phase in scenes.waves.transpose(1, 2, 0):
        wave += np.sin(each(along_x, 2) * x + each(along_y, 2) * y + each(phase, 2))
    wave = 0.5 + 0.5 * np.tanh(each(scenes.hardness, 2) * wave)
    canvas = scenes.back[:, :1, None] + wave[..., None] * (
        scenes.back[:, 1:, None] - scenes.back[:, :1, None]
    )

    def in_shape_units(shift: float) -> tuple[Array, Array]:
        dx = (x - shift - each(scenes.place[:, 0], 2)) / each(scenes.size, 2)
        dy = (y - shift - each(scenes.place[:, 1], 2)) / each(scenes.size, 2)
        (a, b), (c, d) = each(scenes.to_shape, 2).transpose(1, 2, 0, 3, 4)
        return a * dx + b * dy, c * dx + d * dy

    def layer(opacity: Array, colour: Array | float) -> None:
        nonlocal canvas
        canvas += opacity[..., None] * (colour - canvas)

    size = each(scenes.size, 2)
    behind = outline(*in_shape_units(1.8)) * size
    layer(each(scenes.shadow, 2) * np.clip(0.5 - behind / 4, 0, 1), 0)
    u, v = in_shape_units(0)
    distance = outline(u, v) * size  # in pixels, negative inside
    light = each(scenes.light[:, 0], 2) * u + each(scenes.light[:, 1], 2) * v
    rim = each(scenes.outline, 2) * np.clip(1 - np.abs(distance + 0.9), 0, 1)
    lit = scenes.fill[:, None, None] * (1 - rim)[..., None] + light[..., None]
    layer(np.clip(0.5 - distance, 0, 1), lit)
    normal_x, normal_y, offset, half, opacity = (each(values, 2) for values in scenes.bar.T)
    away = np.abs(normal_x * (x - SIDE / 2) + normal_y * (y - SIDE / 2) - offset)
    layer(opacity * np.clip(0.5 + half - away, 0, 1), scenes.bar_colour[:, None, None])
    canvas += each(scenes.grain, 3) * rng.standard_normal(canvas.shape, np.float32)
    painted: Array = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return painted


def _star(points: int, inner: float) -> Callable[[Array, Array], Array]:
    """A star: its rays reach to 1, the corners between them to `inner`."""

    def distance(x: Array, y: Array) -> Array:
        import numpy as np

        sector = 2 * np.pi / points
        angle = np.arctan2(x, -y)  # from straight up
        angle = np.abs(angle - sector * np.round(angle / sector))
        radius = np.hypot(x, y)
        along, across = radius * np.cos(angle), radius * np.sin(angle)
        corner = inner * np.cos(sector / 2), inner * np.sin(sector / 2)
        edge = np.hypot(1 - corner[0], corner[1])
        flat: Array = ((along - 1) * corner[1] + across * (1 - corner[0])) / edge
        return flat

    return distance


def _overlap(one: Array, other: Array) -> Array:
    """What lies inside both."""
    import numpy as np

    distance: Array = np.maximum(one, other)
    return distance


def _union(one: Array, other: Array) -> Array:
    """What lies inside either."""
    import numpy as np

    distance: Array = np.minimum(one, other)
    return distance


def _disc(x: Array, y: Array, radius: float = 1.0) -> Array:
    import numpy as np

    distance: Array = np.hypot(x, y) - radius
    return distance


def _ring(x: Array, y: Array) -> Array:
    return abs(_disc(x, y, 0.76)) - 0.22


def _crescent(x: Array, y: Array) -> Array:
    return _overlap(_disc(x + 0.15, y), -_disc(x - 0.4, y, 0.82))


def _drop(x: Array, y: Array) -> Array:
    """A disc, and the cone of its tangents from a tip above."""
    radius, centre = 0.66, 0.34
    sin = radius / (1 + centre)
    cone = (1 - sin**2) ** 0.5 * abs(x) - sin * (y + 1)
    return _union(_overlap(cone, y - (centre - radius * sin)), _disc(x, y - centre, radius))


def _heart(x: Array, y: Array) -> Array:
    """A square standing on a corner, and discs on its two upper sides."""
    half, x, y = 0.8, abs(x), y + 0.05
    square = (x + abs(y) - half) / 2**0.5
    return _union(square, _disc(x - half / 2, y + half / 2, half / 2**0.5))


def _triangle(x: Array, y: Array) -> Array:
    y = y - 0.18
    return _overlap(y, 3**0.5 / 2 * abs(x) - y / 2) - 0.56


def _square(x: Array, y: Array) -> Array:
    return _overlap(abs(x), abs(y)) - 0.84


def _cross(x: Array, y: Array) -> Array:
    x, y = abs(x), abs(y)
    return _union(_overlap(x - 0.33, y - 1), _overlap(x - 1, y - 0.33))


def _arrow(x: Array, y: Array) -> Array:
    head = _overlap((1.1 * abs(x) - 0.85 * (y + 1)) / 1.39, y - 0.1)
    return _union(head, _overlap(abs(x) - 0.27, abs(y - 0.5) - 0.5))


# By class: from x and y (y goes down) in units of the shape's size to the distance from the outline.
_OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "drop": _drop,
    "heart": _heart,
    "triangle": _triangle,
    "square": _square,
    "star": _star(5, 0.42),
    "cross": _cross,
    "arrow": _arrow,
}

SHAPES = DrawnSource(
    name="shapes",
    what="drawn shapes, 32x32 colour; needs no download",
    kind=KIND,
    classes=tuple(_OUTLINES),
    items=ITEMS,
    draw=draw_all,
    seed=SEED,
    edition=EDITION,
)
