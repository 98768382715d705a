"""Drawn faces: what stands in for photographs of faces where there are none. 120x120 colour, every condition exact.

Face i of a split is a pure function of (seed, split, i): its conditions and its person come from a random stream of its
own. `faces_people` turns both into measures, `faces_paint` paints these; `draw` does both for conditions of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from epochal.errors import UsageError
from epochal.systems.data.drawn_parts import PartlyDrawnSource
from epochal.systems.data.faces import CONDITIONS, KIND, SIDE

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

ITEMS = (16_864, 2_000)
SEED = 120
# Part of the cache folder's name: raised whenever a change of the drawing changes a pixel.
EDITION = 2
BATCH = 8
"""Faces that are painted at once: as many as fit into a core's cache."""


def sample(seed: list[int], start: int, stop: int) -> tuple[Array, Array]:
    """Conditions and persons of the faces `start` … `stop - 1` of a random stream.

    Sex style is 0 or 1, hair darkness and both opennesses are uniform in [0, 1]; all are independent of each other and
    of the person.

    Returns:
        Conditions (n, 5) float32 in the order of `faces.CONDITIONS`, and persons (n, 64) float64 in [0, 1).
    """
    import numpy as np

    from epochal.systems.data.faces_people import NUMBERS

    streams = (np.random.default_rng([*seed, item]) for item in range(start, stop))
    numbers = np.stack([stream.random(4 + NUMBERS) for stream in streams])
    male = numbers[:, 0] < 0.5
    conditions = np.stack([male, ~male, *numbers.T[1:4]], 1).astype(np.float32)
    return conditions, numbers[:, 4:]


def draw(conditions: Array, persons: Array) -> Array:
    """Faces (n, 120, 120, 3) uint8; one person under several conditions is a row of `persons` repeated.

    A face depends on nothing but its own row: not on the batch, the number of threads or the machine.

    Args:
        conditions: (n, 5) in the order of `faces.CONDITIONS`, each from 0 to 1. p(male) between 0 and 1 gives styles
            between both.
        persons: (n, 64) numbers in [0, 1), as `sample` draws them: whatever the conditions leave open.

    Raises:
        UsageError: a shape or a value is not as stated.
    """
    import numpy as np

    from epochal.systems.data.faces_paint import paint
    from epochal.systems.data.faces_people import NUMBERS, people

    conditions, persons = np.asarray(conditions, np.float32), np.asarray(persons, np.float64)
    _check("conditions", conditions, len(CONDITIONS))
    _check("persons", persons, NUMBERS)
    if len(conditions) != len(persons):
        raise UsageError(f"There are {len(conditions)} rows of conditions and {len(persons)} persons.")
    if np.abs(conditions[:, :2].sum(1) - 1).max(initial=0) > 1e-4:
        raise UsageError("p(male) + p(female) must be 1 in every row.")
    # glibc keeps freed memory for the next array once a larger block was freed; else every array costs page faults.
    np.empty(1 << 24, np.uint8)
    images = np.empty((len(conditions), SIDE, SIDE, 3), np.uint8)
    everyone = people(conditions, persons)
    for first in range(0, len(images), BATCH):
        some = slice(first, first + BATCH)
        images[some] = paint(everyone.of(some))
    return images


def _check(name: str, values: Array, columns: int) -> None:
    if values.ndim != 2 or values.shape[1] != columns:
        raise UsageError(f"{name} have shape {values.shape}; (n, {columns}) is needed.")
    if not ((values >= 0) & (values <= 1)).all():
        raise UsageError(
            f"{name} must lie between 0 and 1; one is {values[~((values >= 0) & (values <= 1))][0]:g}."
        )


def columns(split: str, items: int) -> dict[str, Array]:
    """All that is exactly known of the first faces of a split besides their images.

    "conditions" (n, 5) float32; and the truth about what else varies, each (n,) float32 unless said otherwise:
    "glasses" (uint8, 1 = worn), "tilt" (degrees, clockwise), "turn" (-1 left … 1 right), "shift" (n, 2) (pixels right
    and down), "scale", "skin" (0 light … 1 deep), "smile" (0 none … 1 broad), "hair_length" (0 above the ears … 1
    beyond the picture), "curl" (0 … 1).
    """
    import numpy as np

    from epochal.systems.data.faces_people import people

    conditions, persons = sample(_stream(split), 0, items)
    p = people(conditions, persons)
    return {
        "conditions": conditions,
        "glasses": p.glasses.astype(np.uint8),
        "tilt": np.degrees(2 * np.arctan(p.half_tilt)).astype(np.float32),
        "turn": p.turn,
        "shift": np.stack([p.shift_x, p.shift_y], 1),
        "scale": p.scale,
        "skin": p.skin_depth,
        "smile": p.smile,
        "hair_length": p.length,
        "curl": p.curl,
    }


def draw_rows(split: str, start: int, stop: int) -> Array:
    """The faces `start` … `stop - 1` of a split."""
    return draw(*sample(_stream(split), start, stop))


def _stream(split: str) -> list[int]:
    return [SEED, ("train", "test").index(split)]


DRAWN_FACES = PartlyDrawnSource(
    name="drawn-faces",
    what="drawn faces, 120x120 colour, with exact conditions; needs no download",
    kind=KIND,
    classes=(),
    items=ITEMS,
    columns=columns,
    draw=draw_rows,
    shape=(SIDE, SIDE, 3),
    seed=SEED,
    edition=EDITION,
)
