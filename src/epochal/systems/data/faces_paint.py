"""Paints people: backdrop, hair behind, neck and clothes, ears, face, eyes, brows, mouth, hair in front, glasses.

Each step paints over what is there, in the window of the picture where it can lie in any pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epochal.systems.data.brush import (
    Canvas,
    blob,
    ellipse,
    overlap,
    scallop,
    smooth,
    squircle,
    union,
    wave,
)
from epochal.systems.data.faces import SIDE
from epochal.systems.data.faces_people import People

if TYPE_CHECKING:
    from epochal.systems.data.brush import Colour
    from epochal.systems.data.dataset import Array

WHOLE = (slice(0, SIDE), slice(0, SIDE))
WINDOWS = {
    "head": (slice(0, 112), slice(12, 108)),
    "crown": (slice(0, 76), slice(8, 112)),
    "neck": (slice(76, SIDE), slice(0, SIDE)),
    "eyes": (slice(34, 84), slice(22, 98)),
    "nose": (slice(44, 88), slice(36, 84)),
    "mouth": (slice(64, 108), slice(34, 86)),
}
"""Rows and columns outside of which a part never lies (tested)."""


def paint(people: People) -> Array:
    """Pictures (n, 120, 120, 3) uint8 of n people."""
    p = _spread(people)
    n = len(people.male)
    canvas = _canvas(p, n)
    windows = {name: canvas.part(*window) for name, window in WINDOWS.items()}
    _backdrop(canvas, p)
    hair = _Hair.of(canvas, p)
    hair.behind(canvas, p)
    _neck(windows["neck"], p)
    _ears(windows["head"], p)
    _head(windows["head"], p)
    _nose(windows["nose"], p)
    _eyes(windows["eyes"], p)
    _mouth(windows["mouth"], p)
    hair.in_front(canvas, p)
    _brows(windows["eyes"], p)
    _glasses(windows["eyes"], p)
    canvas.rgb.clip(0, 1, out=canvas.rgb)
    painted: Array = (canvas.rgb.transpose(1, 2, 3, 0) * 255 + np.float32(0.5)).astype(np.uint8)
    return painted


def _spread(people: People) -> People:
    """The same people with axes for rows and columns: (n, 1, 1), colours (3, n, 1, 1)."""
    from dataclasses import fields

    values = [getattr(people, field.name) for field in fields(people)]
    return People(*(v[:, None, None] if v.ndim == 1 else v.T[:, :, None, None] for v in values))


def _canvas(p: People, n: int) -> Canvas:
    """An empty canvas in the coordinates of each head."""
    axis = np.arange(SIDE, dtype=np.float32) + np.float32(0.5)
    u = (axis[None, None, :] - SIDE / 2 - p.shift_x) / p.scale
    v = (axis[None, :, None] - (SIDE / 2 + 1) - p.shift_y) / p.scale
    t2 = p.half_tilt * p.half_tilt
    cos, sin = (1 - t2) / (1 + t2), 2 * p.half_tilt / (1 + t2)
    return Canvas(np.empty((3, n, SIDE, SIDE), np.float32), cos * u + sin * v, cos * v - sin * u, p.scale)


def _mixed(one: Colour, other: Colour, share: Array | float) -> list[Array]:
    return [a + (b - a) * share for a, b in zip(one, other, strict=True)]


def _times(colour: Colour, factors: Sequence[float]) -> list[Array]:
    return [value * factor for value, factor in zip(colour, factors, strict=True)]


def _shadow(skin: Colour) -> list[Array]:
    """Skin in the shade: darker and warmer."""
    return _times(skin, (0.80, 0.70, 0.66))


# --- behind the face
# ------------------------------------------------------------------------------------------------------


def _backdrop(canvas: Canvas, p: People) -> None:
    """A plain colour with a soft light on it, darker towards the lower corners."""
    axis = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = axis[None, None, :], axis[None, :, None]
    lit = blob(x - p.glow_x, y - p.glow_y, 95.0, 95.0) * (1 - smooth(y, -20, 90) * 0.3)
    for plane, behind, glow in zip(canvas.rgb, p.backdrop, p.backdrop_glow, strict=True):
        plane[...] = behind + (glow - behind) * lit


def _neck(c: Canvas, p: People) -> None:
    """Neck, shoulders and clothes, with the chin's shadow."""
    x, y = c.x, c.y
    away = np.abs(x)
    # The neck widens into the shoulders.
    flare = np.maximum(y - 38, 0)
    side = away - p.neck - flare * flare * 0.035
    skin = c.cover(np.maximum(side, 20 - y))
    shadow = smooth(y - p.chin + away * away * 0.012, 13, -1)
    c.paint(skin, _mixed(p.skin, _shadow(p.skin), 0.15 + 0.75 * shadow))
    body = squircle(x, y - 86, p.shoulder, 40.0, 0.45)
    round_neck = ellipse(x, y - 43, p.neck + 3.5, 8.5)
    pointed = (away - (60 - y) * 0.62) * 0.85
    hole = np.where(p.collar == 0, round_neck, pointed)
    cloth = c.cover(overlap(body, -hole))
    chest = c.cover(overlap(body, hole))
    c.paint(chest, _mixed(p.skin, _shadow(p.skin), 0.1 + 0.5 * smooth(y, 60, 40)))
    folds = 1.04 + p.light * x * 0.003 - 0.22 * smooth(away, p.shoulder * 0.55, p.shoulder)
    bands = 1 - 0.2 * p.stripes * smooth(wave(y * 0.125), -0.2, 0.2)
    folds *= bands
    c.paint(cloth, [value * folds for value in p.cloth])
    rim = c.cover(np.abs(hole - 0.9) - 0.9) * cloth * (p.collar < 2)
    c.shade(rim, (0.80, 0.80, 0.82))
    _shirt(c, p, away, hole, body)


def _shirt(c: Canvas, p: People, away: Array, hole: Array, body: Array) -> None:
    """The two wings of a shirt's collar, lighter than its cloth."""
    wing = overlap(
        overlap(hole - 6.5, -hole, 1.0), overlap(c.y - 57 - 0.25 * away, 43.5 - c.y - 0.12 * away), 1.0
    )
    wing = overlap(wing, away - p.neck - 3.5 - 0.7 * (c.y - 45))
    on = c.cover(wing) * (p.collar == 2)
    c.shade(c.cover(overlap(wing - 1.6, body + 1.5), 4.0) * (p.collar == 2) * 0.5, (0.72, 0.72, 0.74))
    c.paint(on, [value * 0.55 + 0.45 for value in p.cloth])


def _ears(c: Canvas, p: People) -> None:
    """Both ears; the one that the head is turned away from shows more."""
    side = np.where(c.x < 0, np.float32(-1), np.float32(1))
    u = c.x * side - p.skull + 0.4 + p.turn * side * 1.6
    v = c.y - 3.5 - 0.15 * u
    ear = c.cover(squircle(u, v, 4.6 * p.ear, 7.6 * p.ear, 0.2))
    inner = c.cover(ellipse(u - 0.6, v + 0.3, 2.2 * p.ear, 4.8 * p.ear), 2.5)
    c.paint(ear, _mixed(p.skin, _shadow(p.skin), 0.16 + 0.5 * inner))


# --- the face
# -------------------------------------------------------------------------------------------------------


def _outline(x: Array, y: Array, p: People) -> Array:
    """The head without hair and ears. The jaw sinks a little as the mouth opens."""
    skull = ellipse(x, y + 7, p.skull, 30.0)
    drop = p.chin + 3.2 * p.mouth
    half = (drop + 14) / 2
    jaw = squircle(x - 0.8 * p.turn, y - (drop - half), p.jaw, half, p.square)
    return union(skull, jaw, 5.0)


def _head(c: Canvas, p: People) -> None:
    """Skin with light from one side, rosy cheeks, and the shade of a shaved beard."""
    x, y = c.x, c.y
    d = _outline(x, y, p)
    rim = smooth(d, -11, 1)
    side = smooth(-p.light * x, 4, 30) * np.abs(p.light)
    shade = 0.42 * rim * rim + 0.30 * side + 0.12 * smooth(y, 18, 38)
    skin = _mixed(p.skin, _shadow(p.skin), shade)
    lit = 0.07 * blob(x - 9 * p.light, y + 12, 24.0, 22.0)
    c.paint(c.cover(d), [value + (1 - value) * lit for value in skin])
    xf = np.abs(x - 3.0 * p.turn)
    c.shade(0.55 * p.blush * blob(xf - 14.5, y - 12, 8.5, 6.5), (0.99, 0.74, 0.72))
    # A beard's area: cheeks and chin below, not the lips.
    beard = smooth(y + 0.035 * xf * xf, 14, 31) * smooth(d, 0.5, -1.5)
    c.shade(p.stubble * beard * (1 - blob(x - 3 * p.turn, y - 20, 12.0, 8.0)), (0.50, 0.50, 0.56))


def _nose(c: Canvas, p: People) -> None:
    """Bridge in the shade on one side, a lit tip, two nostrils."""
    x = (c.x - 4.6 * p.turn) / p.nose
    y = c.y - p.nose_length
    away = np.abs(x)
    facing = np.where(p.light < 0, np.float32(-1), np.float32(1))
    bridge = smooth(y, -15, -8) * smooth(y, 1, -4)
    bridge *= smooth(-x * facing, 0.2, 2.2) * smooth(-x * facing, 6.0, 2.6)
    shadow = _shadow(p.skin)
    c.paint(0.42 * bridge, shadow)
    c.paint(0.30 * blob(x, y + 0.3, 7.0, 5.6), _times(p.skin, (0.97, 0.82, 0.78)))
    under = c.cover(overlap(ellipse(x, y - 0.2, 5.2, 3.6), -ellipse(x, y + 1.3, 5.6, 3.4)), 1.6)
    c.paint(0.62 * under, _times(p.skin, (0.66, 0.50, 0.46)))
    holes = c.cover(ellipse(away - 2.5, y - 1.9 + 0.12 * away, 1.5, 0.85), 1.4)
    c.paint(0.75 * holes, _times(p.skin, (0.42, 0.26, 0.24)))
    c.paint(0.34 * blob(x - 1.1 * p.light, y + 1.6, 2.6, 2.6), [0 * v + 1 for v in p.skin])


def _eyes(c: Canvas, p: People) -> None:
    """Both eyes at once in mirrored coordinates: u outwards from the middle of an eye, v down."""
    xf = c.x - 3.2 * p.turn
    side = np.where(xf < 0, np.float32(-1), np.float32(1))
    u = (xf * side - p.spacing) * (1 + 0.09 * p.turn * side) / p.eye_size
    v = c.y / p.eye_size + p.slant * u
    half = 7.8
    t = u * u * np.float32(1 / half**2)
    bend = 1 - t * (0.62 + 0.38 * t)
    upper = bend * (2.2 - 8.9 * p.eyes)
    lower = bend * (2.2 + 1.9 * p.eyes)
    # Lids are steep near the corners: distances along v are too long there.
    steep = np.sqrt(1 + t * (1.2 * p.eyes * p.eyes))
    inside = np.maximum(upper - v, v - lower) / steep + 0.4 * (1 - p.eyes)
    inside = np.maximum(inside, np.abs(u) - half)
    open_ = c.cover(inside)
    # The hollow of the eye, and the lid below the brow.
    c.paint(0.34 * blob(u, v + 2.5, 12.0, 9.0), _shadow(p.skin))
    crease = bend * (-2.2 - 6.8 * p.eyes)
    lid = c.cover(np.maximum(crease - v, v - upper) / steep, 1.5) * (t < 1.3)
    c.paint(0.30 * lid, _times(p.skin, (0.84, 0.68, 0.65)))
    fold = np.abs(v - crease) - 0.35
    c.paint(0.55 * c.cover(fold, 1.4) * smooth(t, 1.1, 0.7), _times(p.skin, (0.52, 0.38, 0.36)))
    white = 1 - 0.2 * smooth(v - upper, 3.0, 0.0)
    c.paint(open_, [white * tone for tone in (0.985, 0.975, 0.965)])
    # The iris sinks as the lid does.
    iu, iv = u - p.gaze_x * side, v - p.gaze_y - 0.4 + 1.6 * p.eyes
    r = np.sqrt(iu * iu + iv * iv)
    glow = 0.62 + 0.5 * smooth(iv, -3.0, 4.2) - 0.42 * smooth(r, 3.1, 4.7)
    c.paint(open_ * c.cover(r - 4.6), [value * glow for value in p.iris])
    c.paint(open_ * c.cover(r - 2.2), [value * 0.12 for value in p.iris])
    c.shade(open_ * smooth(v - upper, 2.4, 0.2) * 0.5, (0.6, 0.58, 0.6))
    cu, cv = iu - 1.5 * side * np.where(p.light < 0, np.float32(-1), np.float32(1)), iv + 1.7
    c.paint(open_ * c.cover(ellipse(cu, cv, 1.35, 1.35)), [np.ones_like(r)] * 3)
    c.paint(0.45 * open_ * c.cover(ellipse(cu + 2.6 * side, cv - 3.0, 0.8, 0.8)), [np.ones_like(r)] * 3)
    # Lashes: a line that thickens outwards and ends in a small wing.
    outer = smooth(u, -6, 8)
    thick = 0.62 + 0.35 * p.lash + (0.2 + 0.55 * p.lash) * outer
    wing = upper - 0.16 * p.lash * np.maximum(u - 5, 0) * np.maximum(u - 5, 0)
    line = np.maximum(
        np.abs(v - wing + 0.7 * thick) / steep - thick, np.abs(u - 0.4 * p.lash) - half - 0.3 * p.lash
    )
    c.paint(
        0.94 * c.cover(line), [0 * v_ + tone for v_, tone in zip(p.skin, (0.15, 0.10, 0.10), strict=True)]
    )
    below = np.abs(v - lower) / steep - 0.30
    c.paint(0.42 * c.cover(below) * smooth(t, 1.0, 0.6), _times(p.skin, (0.45, 0.32, 0.30)))


def _brows(c: Canvas, p: People) -> None:
    """In the colour of the hair, a little darker, thinner outwards."""
    xf = c.x - 3.2 * p.turn
    side = np.where(xf < 0, np.float32(-1), np.float32(1))
    u = xf * side - p.spacing - 0.3
    s = (u - 1.2) / 11
    v = c.y + p.brow_height + p.brow_arch * (1 - s * s) - 0.6
    taper = smooth(u, 9.5, -3.0) * 0.75 + 0.25
    d = overlap(np.abs(v) - p.brow_thickness * taper, np.abs(u) - 8.2, 1.0)
    colour = [value * 0.72 + skin * 0.06 for value, skin in zip(p.hair, p.skin, strict=True)]
    c.paint(0.92 * c.cover(d, 1.3), colour)


def _mouth(c: Canvas, p: People) -> None:
    """Lips between four curves; what is inside shows as they part: teeth, tongue, and the dark."""
    u = c.x - 3.6 * p.turn
    w = p.mouth_width + 1.2 * p.smile - 2.2 * p.mouth
    t = u * u / (w * w)
    v = c.y - 20.0 + p.smile * (3.4 * t - 1.2)
    gap = 13.0 * p.mouth
    bend = 1 - t
    belly = 1 - t * (0.25 + 0.75 * t * t)
    top, bottom = -0.2 * gap * bend, 0.8 * gap * belly
    bow = 1 - 0.45 * blob(u, 0 * u, 2.6, 1.0)
    lip_top = top - (0.9 + 1.7 * p.lips) * bend * bow - 0.2
    lip_bottom = bottom + (1.2 + 2.3 * p.lips) * belly + 0.2
    steep = np.sqrt(1 + t * t * (0.3 + 7 * p.mouth * p.mouth))
    within = np.abs(u) - w
    lips = c.cover(overlap(np.maximum(lip_top - v, v - lip_bottom) / steep, within, 0.8))
    red = _mixed(_times(p.skin, (0.87, 0.66, 0.63)), _times(p.skin, (0.84, 0.42, 0.45)), p.lip_red)
    c.paint(0.30 * blob(u, v - lip_bottom - 1.6, 8.0, 2.6), _shadow(p.skin))
    c.paint(lips, [value * (1 - 0.14 * smooth(v - top, 1.0, -1.0)) for value in red])
    shine = blob(u + 1.5 * p.light, v - bottom - (0.9 + 1.1 * p.lips), 4.6, 1.3)
    c.paint(0.28 * shine * lips, [np.ones_like(u)] * 3)
    # Shut lips still show the line between them.
    seam = 0.42
    inner = np.maximum(top - v, v - bottom) / steep
    mouth = c.cover(overlap(inner - seam, within + 0.6, 0.8))
    depth = smooth(v - top, 0, 9)
    c.paint(mouth, [0.26 + 0.16 * depth, 0.05 + 0.05 * depth, 0.07 + 0.05 * depth])
    inside = mouth * c.cover(inner + 0.3)
    tongue = ellipse(u, v - 0.86 * gap, w * 0.66, 0.40 * gap + 0.01)
    c.paint(inside * c.cover(tongue, 1.8), [0.80 - 0.1 * t, 0.36 - 0.1 * t, 0.38 - 0.1 * t])
    teeth = np.maximum(v - top - np.minimum(0.42 * gap, 3.6) * (1 - 0.35 * t), np.abs(u) - w * 0.84)
    c.paint(inside * c.cover(teeth), [tone * (1 - 0.25 * t) for tone in (0.98, 0.965, 0.94)])


def _glasses(c: Canvas, p: People) -> None:
    """Frames round to square, for those who wear them, with a gleam on the lenses."""
    xf = c.x - 3.6 * p.turn
    side = np.where(xf < 0, np.float32(-1), np.float32(1))
    away = xf * side
    u, v = away - p.spacing - 0.2, c.y - 0.8
    rim = squircle(u, v, 10.4, 9.4 - 1.0 * p.glasses_round, p.glasses_round * 0.8)
    bridge = np.maximum(np.abs(v + 2.5 - away * away * 0.12) - 0.75, away - 3.5)
    arm = np.maximum(np.abs(v + 2.2 - 0.04 * u) - 0.8, np.maximum(9.5 - u, away - 25.5))
    worn = p.glasses
    c.paint(0.13 * worn * c.cover(rim), [np.ones_like(u)] * 3)
    gleam = np.abs(u * side + v * 0.8 + 2.5) - 1.6
    c.paint(0.16 * worn * c.cover(overlap(gleam, rim + 1.5), 1.5), [np.ones_like(u)] * 3)
    frame = union(np.abs(rim) - 0.85, union(bridge, arm))
    c.paint(worn * c.cover(frame), p.frame)


# --- hair
# -----------------------------------------------------------------------------------------------------------


def _crown(outer: Array, c: Canvas, p: People, a: Array, b: Array) -> None:
    """Adds a quiff to one side, or a bun, to the shape of the hair."""
    x, y = c.x - p.turn, c.y + 9
    quiff = ellipse(x + 0.6 * p.parting, y + 0.60 * b, 0.66 * a, 0.36 * b + 3.0 * p.quiff)
    outer[...] = union(outer, quiff + 40 * (1 - (p.quiff > 0)), 9.0)
    bun = ellipse(x - 0.4 * p.parting, y + 35, 10.5, 9.5)
    np.minimum(outer, bun + 60 * (1 - p.bun), out=outer)


@dataclass(frozen=True)
class _Hair:
    """Hair as one outer shape; what lies behind the head, and what falls in front of it, are parts of that.

    Attributes:
        outer: distance from the shape around the skull, curls included.
        falling: distance from what hangs down at both sides.
        rise: how far out in the outer shape, 0 the middle of the head … 1 its edge.
        lower: (n, 1, 1) how far down the hair falls.
    """

    outer: Array
    falling: Array
    rise: Array
    lower: Array

    @staticmethod
    def of(c: Canvas, p: People) -> _Hair:
        x, y = c.x - 1.0 * p.turn, c.y + 9
        away = np.abs(x)
        a = p.skull + 1.0 + (0.25 + 0.6 * p.length) * p.volume + 1.8 * p.curl
        b = 29.5 + 0.85 * p.volume
        # An angle without arc functions: -2 … 2 around the head, 0 at the top.
        share = away / (away + np.abs(y) + np.float32(1e-3))
        angle = np.where(y < 0, share, 2 - share)
        bumps = scallop(angle * 5.2 + p.strand) - 0.5
        distance = ellipse(x, y, a, b)
        rise = 1 + distance / b
        outer = distance - 2.6 * p.curl * bumps
        _crown(outer[:, *WINDOWS["crown"]], c.part(*WINDOWS["crown"]), p, a, b)
        lower = -1.0 + 72 * p.length
        ripple = wave(c.y * 0.055 + p.strand) * (0.6 + 2.0 * p.curl) + p.curl * 2.0 * scallop(c.y * 0.1)
        flare = smooth(c.y, -8, 45) * (2 + 0.5 * p.volume)
        ends = lower + 1.6 * wave(x * 0.11 + p.strand) - 0.004 * x * x
        falling = overlap(away - a + 1.5 - ripple - flare, c.y - ends, 7.0)
        falling = overlap(falling, -9 - c.y)
        return _Hair(outer, falling, rise, lower)

    def behind(self, c: Canvas, p: People) -> None:
        """What is seen around neck and shoulders, in the shade."""
        back = union(overlap(self.outer, c.y - np.maximum(self.lower, 3)), self.falling)
        dark = [value * 0.62 for value in p.hair]
        c.paint(c.cover(back), dark)

    def in_front(self, c: Canvas, p: People) -> None:
        """Cap, fringe or parting, sideburns, and locks over the ears and shoulders."""
        x, y = c.x - 2.0 * p.turn, c.y
        away = np.abs(x)
        # The hairline: from the parting down to the temples, or hanging as a fringe.
        reach = np.where(x < p.parting, p.parting + 27, 27 - p.parting)
        s = np.minimum(np.abs(x - p.parting) / reach, 1)
        fringe = p.sweep
        drop = (14 + 2 * p.volume / 6) * (1 - 0.7 * fringe)
        top = p.hairline + 8.5 * fringe
        curve = s * (0.45 + 0.55 * s) * (1 - fringe) + s * s * s * fringe
        line = top + drop * curve + fringe * 1.1 * scallop(x * 0.11 + p.strand)
        slope = np.sqrt(1 + (drop / reach) * (drop / reach) * (0.2 + 2.2 * s * s))
        long = smooth(p.length, 0.2, 0.42)
        # Sideburns end above the ear; longer hair closes in around the cheeks.
        inner = 23.4 - 1.6 * long - long * 0.05 * np.maximum(y - 12, 0)
        face = overlap((line - y) / slope, away - inner, 6.0)
        lowest = np.maximum(self.lower, 0) + 0.4 * wave(x * 0.2)
        hair = overlap(union(overlap(self.outer, y - lowest), self.falling), -face)
        # Hair throws a shadow on the face.
        soft = smooth(face, -5.5, 0.5) * smooth(y, 28, 12) * c.cover(self.outer + 4)
        c.shade(0.55 * soft, (0.80, 0.66, 0.62))
        covered = c.cover(hair)
        light = self._light(p, x, y)
        c.paint(covered, [value * light for value in p.hair])

    def _light(self, p: People, x: Array, y: Array) -> Array:
        """Brightness: strands that flow from the parting, a band of shine, darker towards the edges."""
        flow = (x - p.parting) / (np.abs(y + 4) + 16)
        strands = wave(flow * 7 + p.strand + self.rise * 0.7)
        down = smooth(y, -18, 8)
        locks = wave(x * 0.13 + 0.012 * y + p.strand)
        texture = strands * (1 - down) + locks * down
        shine = smooth(self.rise, 0.55, 0.74) * smooth(self.rise, 0.97, 0.78) * smooth(y, 6, -20)
        toward = 0.65 + 0.35 * smooth(p.light * x, -18, 18)
        edge = smooth(self.rise, 0.80, 1.02)
        light: Array = (
            0.90
            + 0.055 * texture
            + 0.34 * shine * toward * (1 + 0.25 * texture)
            - 0.16 * edge * (1 - smooth(y, -6, 30))
            - 0.10 * smooth(y, -6, 30)
        )
        return light
