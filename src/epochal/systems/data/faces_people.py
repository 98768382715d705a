"""Who is drawn on a face: every measure of every person, from five conditions and a row of random numbers.

The same numbers with other conditions are the same person with, say, the mouth open. Sex style has no cue of its
own: it moves the distributions of a dozen measures (jaw, brows, lips, hair length, …), each of which overlaps.
Only + - × ÷ √ on random numbers: the measures have the same bits on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

NUMBERS = 64
"""Random numbers a person; more than there are measures, so that a new one does not move the others."""

BACKDROPS = (
    ("f3d9c4", "f7ecdf"),
    ("bcd7e6", "e8f1f2"),
    ("c9dfc6", "eef3e2"),
    ("d9cbe6", "f1eaf5"),
    ("f2c9c9", "f9e6e0"),
    ("e9dcae", "f6f0d8"),
    ("a9c9c6", "dcebe6"),
    ("9fb4cf", "d5deec"),
    ("cfc4b8", "ece6df"),
    ("e3a98f", "f3d6c2"),
)
CLOTHES = (
    *("2f4a6d", "7a2e3a", "3c6b57", "d9a441", "e8e2d6", "454b57", "b5543f", "6b5b95"),
    *("88a9c3", "c97b8b", "26343f", "9bb08a", "f0f0ee", "5e7fa3", "d07a4c", "355e6b"),
)
FRAMES = ("2a2522", "4a2f24", "6e4a2c", "1f2a3d", "8a3138", "8f8a86")
# From light to deep, and from light (0) to dark (1): luminance falls evenly along both.
SKIN = ("fbe0d0", "f3cdb4", "e6b591", "cf9770", "ad7550", "845539", "633d2a")
HAIR = ("f2dfae", "dcb977", "b98a4f", "8a5c36", "5d3b27", "37251f", "17131a")


@dataclass(frozen=True)
class People:
    """Measures of n people, each (n,) float32, colours (n, 3) from 0 to 1. Lengths in pixels at scale 1.

    Places are relative to the point between the eyes, x to the right, y down; angles in radians; what is called a
    share or has no unit goes from 0 to 1, or from -1 to 1 where it has a direction.
    """

    male: Array
    hair_darkness: Array
    mouth: Array
    eyes: Array
    # Pose
    shift_x: Array
    shift_y: Array
    scale: Array
    half_tilt: Array
    """Tangent of half the angle by which the head is rolled."""
    turn: Array
    """-1 … 1: to the left, to the right."""
    light: Array
    """-1 … 1: from where it shines."""
    # Head and body
    skull: Array
    jaw: Array
    square: Array
    chin: Array
    ear: Array
    neck: Array
    shoulder: Array
    stubble: Array
    blush: Array
    # Face
    spacing: Array
    eye_size: Array
    slant: Array
    lash: Array
    gaze_x: Array
    gaze_y: Array
    brow_height: Array
    brow_thickness: Array
    brow_arch: Array
    nose: Array
    nose_length: Array
    mouth_width: Array
    lips: Array
    lip_red: Array
    smile: Array
    # Hair
    length: Array
    """0: ends above the ears; 1: falls below the picture."""
    volume: Array
    hairline: Array
    parting: Array
    sweep: Array
    """0: the hairline rises evenly from the temples; 1: it hangs over the forehead as a fringe."""
    curl: Array
    bun: Array
    strand: Array
    quiff: Array
    # Things
    glasses: Array
    glasses_round: Array
    collar: Array
    """0 round, 1 pointed, 2 a shirt's."""
    stripes: Array
    glow_x: Array
    glow_y: Array
    # Colours
    skin_depth: Array
    skin: Array
    hair: Array
    iris: Array
    cloth: Array
    frame: Array
    backdrop: Array
    backdrop_glow: Array

    def of(self, chosen: Array | slice) -> People:
        """Some of the people."""
        return People(*(getattr(self, field.name)[chosen] for field in fields(self)))


class _Draws:
    """Hands out a person's random numbers one column after the other."""

    def __init__(self, numbers: Array, male: Array) -> None:
        self._columns = iter(numbers.T.astype("float64"))
        self.male = male

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Array:
        """Evenly from `low` to `high`."""
        value: Array = low + (high - low) * next(self._columns)
        return value

    def around(self, mean: float | Array, reach: float) -> Array:
        """A triangular distribution over mean ± reach (standard deviation 0.41 reach)."""
        import numpy as np

        u = next(self._columns)
        bump = np.where(u < 0.5, np.sqrt(2 * u) - 1, 1 - np.sqrt(2 * np.maximum(1 - u, 0)))
        spread: Array = mean + reach * bump
        return spread

    def by_sex(self, female: float, male: float, reach: float) -> Array:
        """Around another mean for each sex style."""
        return self.around(female + (male - female) * self.male, reach)

    def happens(self, share: float | Array) -> Array:
        """1 for a share of the people, 0 for the others."""
        chosen: Array = (next(self._columns) < share).astype("float64")
        return chosen

    def colour(self, palette: tuple[str, ...]) -> Array:
        """One colour of a palette."""
        return _rgb(palette)[self.index(len(palette))]

    def index(self, count: int) -> Array:
        """A whole number below `count`."""
        number: Array = (next(self._columns) * count).astype(int)
        return number


def people(conditions: Array, numbers: Array) -> People:
    """The measures of n people.

    Args:
        conditions: (n, 5) in the order of `faces.CONDITIONS`.
        numbers: (n, NUMBERS) in [0, 1): whatever the conditions leave open.
    """
    import numpy as np

    male, _, darkness, mouth, eyes = conditions.T.astype(np.float64)
    draws = _Draws(numbers, male)
    uniform, around, by_sex, happens = draws.uniform, draws.around, draws.by_sex, draws.happens
    backdrop = draws.index(len(BACKDROPS))
    glow = uniform(0.6, 1.0)[:, None]
    behind, bright = (_rgb(side)[backdrop] for side in zip(*BACKDROPS, strict=True))
    depth = uniform()
    skin = _along(SKIN, depth) * np.stack([np.ones_like(depth), around(1, 0.03), around(1, 0.04)], 1)
    warmth = around(0, 1)[:, None] * np.array([0.06, -0.005, -0.07])
    bun = happens(0.16 - 0.1 * male)
    length = np.clip(by_sex(0.66, 0.14, 0.5), 0, 1)
    measures = {
        "male": male,
        "hair_darkness": darkness,
        "mouth": mouth,
        "eyes": eyes,
        "shift_x": around(0, 4.0),
        "shift_y": around(0, 3.0),
        "scale": around(1, 0.08),
        "half_tilt": around(0, 0.07),
        "turn": around(0, 1),
        "light": uniform(-1, 1),
        "skull": around(26, 1.6),
        "jaw": by_sex(19.6, 22.4, 2.6),
        "square": by_sex(0.16, 0.46, 0.28),
        "chin": by_sex(32.6, 34.8, 2.0),
        "ear": around(1, 0.15),
        "neck": by_sex(9.8, 12.4, 2.4),
        "shoulder": by_sex(40.5, 46.5, 5.5),
        "stubble": np.clip(by_sex(-0.08, 0.24, 0.26), 0, 1),
        "blush": np.clip(by_sex(0.62, 0.34, 0.38), 0, 1),
        "spacing": around(12.0, 0.9),
        "eye_size": by_sex(1.04, 0.97, 0.09),
        "slant": by_sex(0.07, 0.02, 0.09),
        "lash": np.clip(by_sex(0.66, 0.16, 0.42), 0, 1),
        "gaze_x": around(0, 1.6),
        "gaze_y": around(0, 0.6),
        "brow_height": by_sex(13.2, 11.9, 1.6),
        "brow_thickness": by_sex(1.2, 2.0, 0.72),
        "brow_arch": by_sex(3.4, 1.8, 1.6),
        "nose": by_sex(0.94, 1.08, 0.16),
        "nose_length": around(10.5, 1.3),
        "mouth_width": around(10.2, 1.2),
        "lips": by_sex(1.0, 0.58, 0.38),
        "lip_red": by_sex(0.78, 0.3, 0.42),
        "smile": around(0.6, 0.6),
        "length": length,
        "volume": around(6.0, 3.0),
        "hairline": around(-23.5, 3.0),
        "parting": around(0, 13.0),
        "sweep": np.clip(uniform(-0.9, 1.0), 0, 1),
        "curl": np.clip(uniform(-1.2, 1.0), 0, 1),
        "bun": bun,
        "strand": uniform(0, 1),
        "quiff": (1 - bun) * np.clip(uniform(-0.8, 1.0), 0, 1),
        "glasses": happens(0.22),
        "glasses_round": uniform(0, 1),
        "collar": draws.index(3).astype(float),
        "stripes": happens(0.2),
        "glow_x": uniform(-30, 30),
        "glow_y": uniform(-45, 5),
        "skin_depth": depth,
        "skin": skin,
        "hair": _along(HAIR, darkness) * (1 + warmth),
        "iris": draws.colour(("5a3a22", "3d2a1e", "7a5a30", "4d7a62", "4a7fb0", "6b8796")),
        "cloth": draws.colour(CLOTHES),
        "frame": draws.colour(FRAMES),
        "backdrop": behind,
        "backdrop_glow": behind + glow * (bright - behind),
    }
    return People(**{name: value.astype(np.float32) for name, value in measures.items()})


def _rgb(palette: tuple[str, ...]) -> Array:
    """Hexadecimal colours as an array (colours, 3) from 0 to 1."""
    import numpy as np

    return np.array([[int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)] for colour in palette])


def _along(ramp: tuple[str, ...], where: Array) -> Array:
    """Colours (n, 3) on a way through the colours of a ramp: 0 is the first, 1 the last."""
    import numpy as np

    colours = _rgb(ramp)
    place = np.clip(where, 0, 1) * (len(ramp) - 1)
    below = np.minimum(place.astype(int), len(ramp) - 2)
    share = (place - below)[:, None]
    mixed: Array = colours[below] * (1 - share) + colours[below + 1] * share
    return mixed
