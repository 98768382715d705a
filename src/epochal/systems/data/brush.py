"""Shapes as signed distances, and paint with smooth edges: what pictures of many people are painted with at once.

A distance is negative inside, in the units of the face; `Canvas.cover` turns it into the share of a pixel that is
covered. All that happens to a pixel is + - × ÷ √, minimum, maximum and floor, which are rounded alike everywhere: a
picture has the same bits alone, in a batch, and on another machine. Imported only when something is painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epochal.systems.data.dataset import Array

    Colour = Sequence[Array] | Array


@dataclass(frozen=True)
class Canvas:
    """A part of n pictures, or the whole.

    Attributes:
        rgb: (3, n, rows, columns) float32, painted in place.
        x: (n, rows, columns) of each pixel in units of the face, to the right.
        y: likewise, down.
        pixels: (n, 1, 1) pixels a unit.
    """

    rgb: Array
    x: Array
    y: Array
    pixels: Array

    def part(self, rows: slice, columns: slice) -> Canvas:
        """A window; painting it paints this canvas."""
        return Canvas(
            self.rgb[:, :, rows, columns], self.x[:, rows, columns], self.y[:, rows, columns], self.pixels
        )

    def cover(self, distance: Array, blur: float = 1.0) -> Array:
        """Share of each pixel that is inside; the edge is `blur` pixels wide."""
        covered = distance * (self.pixels * np.float32(-1 / blur))
        covered += np.float32(0.5)
        return _unit(covered)

    def paint(self, covered: Array, colour: Colour) -> None:
        """Lays a colour over it: three values that each fit a picture, or whole planes."""
        for plane, value in zip(self.rgb, colour, strict=True):
            change = value - plane
            change *= covered
            plane += change

    def shade(self, covered: Array, factors: tuple[float, float, float]) -> None:
        """Multiplies red, green and blue by factors, where covered."""
        for plane, factor in zip(self.rgb, factors, strict=True):
            left = covered * np.float32(factor - 1)
            left += np.float32(1)
            plane *= left


def ellipse(x: Array, y: Array, a: Array | float, b: Array | float) -> Array:
    """Distance from an ellipse with half axes a and b, to first order near its edge: f(f-1)/|∇f²/2|."""
    across, down = 1 / a, 1 / b
    u, v = x * across, y * down
    uu, vv = u * u, v * v
    uu += vv
    f = np.sqrt(uu, out=uu)
    u *= across
    v *= down
    u *= u
    v *= v
    u += v
    u += np.float32(1e-12)
    slope = np.sqrt(u, out=u)
    distance = f - 1
    distance *= f
    distance /= slope
    return distance


def squircle(x: Array, y: Array, a: Array | float, b: Array | float, square: Array | float) -> Array:
    """Distance from (u⁴ + v⁴ + 2(1 - square)u²v²)^¼ = 1: an ellipse at 0, a box with round corners at 1."""
    keep = 1 - square
    across, down = 1 / a, 1 / b
    u, v = x * across, y * down
    uu, vv = u * u, v * v
    du, dv = vv * keep, uu * keep
    du += uu
    dv += vv
    f4 = uu * du
    f4 += vv * dv
    f = np.sqrt(np.sqrt(f4))
    u *= across
    v *= down
    du *= u
    dv *= v
    du *= du
    dv *= dv
    du += dv
    slope = np.sqrt(du, out=du)
    slope += np.float32(1e-6)
    distance: Array = f - 1
    distance *= f
    distance *= f
    distance *= f
    distance /= slope
    return distance


def union(one: Array, other: Array, soft: float = 0.0) -> Array:
    """What lies inside either; `soft` fills the corner between them."""
    nearer: Array = np.minimum(one, other)
    if soft:
        nearer -= _corner(one, other, soft)
    return nearer


def overlap(one: Array, other: Array, soft: float = 0.0) -> Array:
    """What lies inside both; `soft` rounds the corner off."""
    farther: Array = np.maximum(one, other)
    if soft:
        farther += _corner(one, other, soft)
    return farther


def smooth(value: Array, low: Array | float, high: Array | float) -> Array:
    """0 at `low`, 1 at `high`, 3t² - 2t³ between; `low` may be the greater one."""
    t: Array = value - low
    t *= 1 / (high - low)
    eased = _unit(t) * -2
    eased += 3
    eased *= t
    eased *= t
    return eased


def blob(x: Array, y: Array, a: Array | float, b: Array | float) -> Array:
    """A soft spot (1 - u² - v²)²: 1 in the middle, 0 from the ellipse on."""
    u, v = x * (1 / a), y * (1 / b)
    u *= u
    v *= v
    spot: Array = u + v
    np.subtract(1, spot, out=spot)
    np.maximum(spot, 0, out=spot)
    spot *= spot
    return spot


def wave(value: Array) -> Array:
    """A smooth wave of period 1 between -1 (at whole numbers) and 1: a cosine made of cubics."""
    t = value - np.floor(value)
    t -= np.float32(0.5)
    np.abs(t, out=t)  # ½ at whole numbers, 0 between
    ripple: Array = t * 16
    ripple -= 12
    ripple *= t
    ripple *= t
    ripple *= 2
    ripple += 1
    return ripple


def scallop(value: Array) -> Array:
    """A row of round bumps of period 1, from 0 (at whole numbers) to 1."""
    t = value - np.floor(value)
    bumps: Array = 1 - t
    bumps *= t
    bumps *= 4
    return bumps


def _unit(value: Array) -> Array:
    """Cut off below 0 and above 1, in place."""
    np.maximum(value, 0, out=value)
    np.minimum(value, 1, out=value)
    return value


def _corner(one: Array, other: Array, soft: float) -> Array:
    gap = one - other
    np.abs(gap, out=gap)
    np.subtract(soft, gap, out=gap)
    np.maximum(gap, 0, out=gap)
    gap *= gap
    gap *= np.float32(0.25 / soft)
    return gap
