"""Simulator of an accelerometer on the wrist: what the sensor gives while somebody lies, sits, works, walks, runs.

The sensor's x axis points along the forearm to the elbow, y across it, z out of the watch's face. It feels gravity
(at rest +1 g upwards), turned by the posture of the forearm: pitch p, how far the hand points down, and roll r, how far
the face is turned away from above. Trunk and arm add to it:

    a = (1 + bounce) (sin p, cos p sin r, cos p cos r) + R/g p'² (1, 0, 0) - R/g p'' (0, sin r, cos r) + shake

Gait bounces the trunk once a step (with harmonics) and swings the arm once in two steps: the swing turns p, and its
centripetal and tangential accelerations are the terms in p' and p''; R is the arm's length. Every subject has a style
of its own: wrist, fit of the watch, cadence, vigour, postures.

Everything of one subject is computed at once: a table of what each activity is like, one row an activity, is spread
over time, smoothed where one activity passes into the next, and becomes signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.systems.data.recordings import GRAVITY

if TYPE_CHECKING:
    import numpy as np

    from epochal.systems.data.dataset import Array

RATE_HZ = 100
RANGE_G, STEP_G = 8.0, 0.0039
"""What a GENEActiv measures at most, and how finely: "Range" and "Resolution" in the headers of its exports."""
ARM = 0.6
"""From shoulder to watch in metres: about 0.35 of the height (Winter 2009, upper arm 0.186, forearm 0.146)."""
PASSING = 1.0
"""Seconds in which one activity passes into the next."""


@dataclass(frozen=True)
class Activity:
    """What the arm does; each number is that of an average person.

    Attributes:
        name: of the class.
        pitch, roll: posture of the forearm in degrees.
        spread: standard deviation of both from person to person, in degrees.
        wander: by how many degrees the posture wanders within a minute or so.
        steps_hz: steps (or turns of the pedals) a second.
        bounce: acceleration of the trunk at that frequency, in g.
        swing: amplitude of the arm's swing in degrees, once in two steps.
        fidget: rare larger movements of the arm, in degrees.
        tremble: of busy hands, irregular at some Hz, in g.
        buzz: vibration and impacts above 10 Hz, in g.
    """

    name: str
    pitch: float
    roll: float
    spread: float
    wander: float
    steps_hz: float = 0.0
    bounce: float = 0.0
    swing: float = 0.0
    fidget: float = 0.0
    tremble: float = 0.0
    buzz: float = 0.0


# Walking: 113 steps a minute, between the 100 and 130 that mark moderate and vigorous walking (Tudor-Locke et al.
# 2019); running: 162, as in WISDM, where 2.6 Hz is the median of its windows of jogging. The bounce and swing of both
# are such that the magnitude's standard deviation is about WISDM's, 0.28 g and 0.68 g. The rest is chosen so that still
# postures and the two kinds of walking overlap between people.
ACTIVITIES = (
    Activity("lying", -22, 50, 20, 2, fidget=1.5),
    Activity("sitting", 30, 35, 14, 3, fidget=4, tremble=0.004),
    Activity("standing", 68, 60, 14, 4, fidget=5, tremble=0.005),
    Activity("desk work", 2, 5, 9, 4, fidget=2, tremble=0.012),
    Activity("walking", 62, 65, 12, 5, 1.88, bounce=0.32, swing=8, fidget=2, tremble=0.02, buzz=0.03),
    Activity("climbing stairs", 48, 55, 14, 8, 1.5, bounce=0.22, swing=6, fidget=5, tremble=0.03, buzz=0.03),
    Activity("running", 10, 75, 14, 5, 2.7, bounce=1.0, swing=8, fidget=2, tremble=0.04, buzz=0.15),
    Activity("cycling", 22, 15, 13, 5, 1.15, bounce=0.03, swing=1, fidget=3, tremble=0.02, buzz=0.09),
)


@dataclass(frozen=True)
class Style:
    """What is a person's own, in all activities.

    Attributes:
        left: -1 where the watch is on the left wrist: what points across the arm is mirrored; 1 on the right.
        twist: by how many radians the watch sits turned around the arm.
        cadence: factor of all frequencies.
        vigour: factor of all movements.
        loose: factor of what shakes the watch.
        offset: (3,) of the sensor, in g.
        noise: standard deviation of the sensor's white noise, in g.
    """

    left: float
    twist: float
    cadence: float
    vigour: float
    loose: float
    offset: Array
    noise: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Style:
        """Somebody."""
        return Style(
            left=-1.0 if rng.random() < 0.25 else 1.0,
            twist=rng.normal(0, 0.2),
            cadence=rng.lognormal(0, 0.05),
            vigour=rng.lognormal(0, 0.2),
            loose=rng.lognormal(0, 0.35),
            offset=rng.normal(0, 0.008, 3),
            noise=rng.uniform(0.004, 0.009),
        )


def simulate(rng: np.random.Generator, seconds: float) -> tuple[Array, Array]:
    """One recording of somebody who does every activity once, in a random order.

    Args:
        rng: where all randomness comes from; the person too.
        seconds: of each activity on average; each is up to a fifth longer or shorter.

    Returns:
        Samples (N, 3) float32 in g, multiples of `STEP_G` from -8 to 8, and activities (N,) int16: index into
        `ACTIVITIES`.
    """
    import numpy as np

    style = Style.draw(rng)
    order = rng.permutation(len(ACTIVITIES))
    lengths = (rng.uniform(0.8, 1.2, len(order)) * seconds * RATE_HZ).astype(int)
    spread = {name: _spread(row, lengths) for name, row in _table(rng, style, order).items()}
    total = int(lengths.sum())
    bounce, swing, speed, spin = _gait(rng, style, spread, total)
    pitch = np.radians(_posture(rng, spread, "pitch", total)) + swing
    roll = style.left * np.radians(_posture(rng, spread, "roll", total)) + style.twist
    sin_r, cos_r = np.sin(roll), np.cos(roll)
    tangential = ARM / GRAVITY * spin
    flat = (1 + bounce) * np.cos(pitch) - tangential
    felt = np.stack(
        [(1 + bounce) * np.sin(pitch) + ARM / GRAVITY * speed**2, flat * sin_r, flat * cos_r], axis=1
    )
    busy = spread["tremble"] * np.abs(_wavering(rng, total, 1.7))
    for axis in range(3):
        felt[:, axis] += busy * _wavering(rng, total, 0.11) + spread["buzz"] * _wavering(rng, total, 0.025)
    felt += style.offset + rng.normal(0, style.noise, felt.shape)
    measured = np.round(np.clip(felt, -RANGE_G, RANGE_G) / STEP_G) * STEP_G
    return measured.astype(np.float32), np.repeat(order, lengths).astype(np.int16)


def _table(rng: np.random.Generator, style: Style, order: Array) -> dict[str, Array]:
    """What each of this person's activities is like, (activities,) each, in the order in which they come."""
    import numpy as np

    chosen = [ACTIVITIES[number] for number in order]
    table = {
        name: np.array([getattr(one, name) for one in chosen])
        for name in ("pitch", "roll", "wander", "steps_hz", "bounce", "swing", "fidget", "tremble", "buzz")
    }
    spread = np.array([one.spread for one in chosen])
    for name in ("pitch", "roll"):
        table[name] = table[name] + spread * rng.normal(0, 1, len(chosen))
    table["pitch"] = np.clip(table["pitch"], -85, 85)
    table["steps_hz"] = table["steps_hz"] * style.cadence * rng.lognormal(0, 0.04, len(chosen))
    for name in ("bounce", "swing"):
        table[name] = table[name] * style.vigour * rng.lognormal(0, 0.2, len(chosen))
    for name in ("tremble", "buzz"):
        table[name] = table[name] * style.loose * rng.lognormal(0, 0.3, len(chosen))
    return table


def _spread(row: Array, lengths: Array) -> Array:
    """(N,) a number of each activity over time; activities pass into each other within `PASSING`."""
    import numpy as np

    ends = np.cumsum(lengths)
    half = PASSING * RATE_HZ / 2
    knots = np.stack([ends[:-1] - half, ends[:-1] + half], 1).ravel()
    over_time: Array = np.interp(np.arange(ends[-1]), knots, np.repeat(row, 2)[1:-1])
    return over_time


def _wavering(rng: np.random.Generator, total: int, seconds: float) -> Array:
    """(total,): a random course of mean 0 and variance 1 that turns about every so many seconds."""
    import numpy as np

    # Between two independent knots the variance of a straight line is 2/3 on average.
    knots = rng.normal(0, 1.5**0.5, int(total / RATE_HZ / seconds) + 2)
    course: Array = np.interp(np.arange(total) / (RATE_HZ * seconds), np.arange(len(knots)), knots)
    return course


def _posture(rng: np.random.Generator, spread: dict[str, Array], name: str, total: int) -> Array:
    """Pitch or roll in degrees without the gait: the activity's, wandering, now and then disturbed."""
    import numpy as np

    rare = np.clip(np.abs(_wavering(rng, total, 2.5)) - 1.5, 0, None)
    wandering = spread["wander"] * _wavering(rng, total, 12.0)
    posture: Array = spread[name] + wandering + 3 * spread["fidget"] * rare * _wavering(rng, total, 0.5)
    return posture


def _gait(
    rng: np.random.Generator, style: Style, spread: dict[str, Array], total: int
) -> tuple[Array, Array, Array, Array]:
    """What walking, running and pedalling add.

    The trunk's acceleration has a second and a third harmonic of a person's own, softened by a tight watch; amplitude
    and frequency waver from step to step.

    Returns:
        Acceleration of the trunk in g, the arm's swing in radians, its angular velocity and its angular acceleration,
        (total,) each.
    """
    import numpy as np

    frequency = spread["steps_hz"] * (1 + 0.03 * _wavering(rng, total, 1.5))
    phase = 2 * np.pi * np.cumsum(frequency) / RATE_HZ
    harmonics = rng.uniform(0.8, 1.2), rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.25) * style.loose
    shifts = rng.uniform(0, 2 * np.pi, 3)
    course = np.zeros(total)
    for number, (size, shift) in enumerate(zip(harmonics, shifts, strict=True), start=1):
        course += size * np.cos(number * phase + shift)
    bounce = spread["bounce"] * (1 + 0.15 * _wavering(rng, total, 0.8)) * course
    amplitude = np.radians(spread["swing"]) * (1 + 0.15 * _wavering(rng, total, 1.1))
    half, turning = phase / 2 + rng.uniform(0, 2 * np.pi), np.pi * frequency
    swing = amplitude * np.sin(half)
    return bounce, swing, amplitude * turning * np.cos(half), -swing * turning**2
