"""What a conditional generator of faces draws: faces to order, moved conditions, interpolation, reconstructions.

Its networks are "decoder" (z, c) → pixels, "encoder" (x, c) → mean and log-variance, and "condition", which holds the
values that the conditions take in the training images (`nets.cvae_faces`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.training.task import ImageGrid, Trained

if TYPE_CHECKING:
    import torch

    from epochal.training.task import Array, Nets

AXES = {
    "sex": ("female", "male"),
    "hair": ("light", "dark"),
    "mouth": ("closed", "open"),
    "eyes": ("closed", "open"),
}
"""What can be moved, and the names of its low and its high end."""
PLACE = {"sex": 0, "hair": 2, "mouth": 3, "eyes": 4}
"""The column of each among the five conditions; sex moves p(male), and p(female) with it."""
CHUNK = 50
"""Faces that go through the networks at once: 115 MB at the widest layer."""


@dataclass(frozen=True)
class Request:
    """What to draw."""

    sex: Literal["female", "male"] | None = None
    """Sex of the faces; by default every latent vector is drawn as both."""
    hair: Annotated[float, Interval(0, 1)] | None = None
    """Hair darkness, 0 light to 1 dark; by default the middle of the training images."""
    mouth: Annotated[float, Interval(0, 1)] | None = None
    """How open the mouth is, 0 to 1; by default the middle of the training images."""
    eyes: Annotated[float, Interval(0, 1)] | None = None
    """How open the eyes are, 0 to 1; by default the middle of the training images."""
    n: Annotated[int, Interval(1, 10_000)] = 8
    """How many latent vectors."""
    seed: Annotated[int, Interval(0)] = 0
    """Seed of the latent vectors: the same seed gives the same faces."""
    reconstruct: str | None = None
    """Square PNG or JPEG of a face to rebuild and move; the options above then say what it shows."""


def pixels(images: Any) -> Any:
    """Images (B, 120, 120, 3) uint8 → (B, 3, 120, 120) float32 in [0, 1], channels innermost in memory."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def composed(condition: Any, n: int, **values: Any) -> Any:
    """Conditions (n, 5): numbers or tensors (n,) by the names of `AXES` (sex: 1 male), else the training's middle."""
    c = condition.middle.expand(n, -1).clone()
    for axis, value in values.items():
        if value is not None:
            c[:, PLACE[axis]] = value
            if axis == "sex":
                c[:, 1] = 1 - c[:, 0]
    return c


def ends(condition: Any, axis: str) -> tuple[float, float]:
    """The low and the high end of a condition: of sex 0 and 1, else the training's 5th and 95th percentile."""
    return float(condition.low[PLACE[axis]]), float(condition.high[PLACE[axis]])


def with_end(condition: Any, c: Any, axis: str, end: int) -> Any:
    """Conditions (n, 5) with one of them moved to its low (0) or high (1) end."""
    c = c.clone()
    c[:, PLACE[axis]] = ends(condition, axis)[end]
    if axis == "sex":
        c[:, 1] = 1 - c[:, 0]
    return c


def random_conditions(condition: Any, n: int, rng: torch.Generator) -> Any:
    """Conditions (n, 5), each drawn by itself: sex 0 or 1, the others evenly between their ends."""
    import torch

    share = torch.rand(len(AXES), n, device=rng.device, generator=rng)
    values = {"sex": (share[0] > 0.5).float()}
    for axis, u in zip(list(AXES)[1:], share[1:], strict=True):
        low, high = ends(condition, axis)
        values[axis] = low + (high - low) * u
    return composed(condition, n, **values)


def drawn(nets: Nets, z: Any, c: Any) -> Array:
    """Faces (n, 120, 120, 3) uint8 of latents (n, latent) and conditions (n, 5)."""
    import torch

    with torch.no_grad():
        parts = [
            (nets["decoder"](*chunk).float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu()
            for chunk in zip(z.split(CHUNK), c.split(CHUNK), strict=True)
        ]
    return torch.cat(parts).numpy()


def latents(nets: Nets, n: int, rng: torch.Generator) -> Any:
    """n codes of new faces, from N(0, I) or from what was fitted to the training images' codes: (n, latent)."""
    import torch

    if "codes" in nets:
        return nets["codes"].draw(n, rng)
    size = nets["decoder"].dense1.in_features - len(nets["condition"].middle)
    return torch.randn(n, size, device=rng.device, generator=rng)


def generate(trained: Trained, request: Request) -> ImageGrid:
    """Faces as requested; all randomness comes from `request.seed`."""
    import math

    import numpy as np
    import torch

    nets = trained.nets
    asked = {"hair": request.hair, "mouth": request.mouth, "eyes": request.eyes}
    if request.reconstruct is not None:
        return rebuilt_and_moved(trained, request, asked)
    z = latents(nets, request.n, torch.Generator(trained.device).manual_seed(request.seed))
    sexes = AXES["sex"] if request.sex is None else (request.sex,)
    columns = min(request.n, max(8, math.ceil(math.sqrt(request.n))))
    count = math.ceil(request.n / columns)
    grids = []
    for sex in sexes:
        c = composed(nets["condition"], request.n, sex=float(sex == "male"), **asked)
        faces = drawn(nets, z, c)
        grid = np.full((count * columns, *faces.shape[1:]), 255, np.uint8)  # the last row is seldom full
        grid[: request.n] = faces
        grids.append(grid.reshape(count, columns, *faces.shape[1:]))
    said = [f"{axis} {value:g}" for axis, value in asked.items() if value is not None]
    which = ", ".join([*sexes, *said]) if len(sexes) == 1 else ", ".join(["each as both sexes", *said])
    return ImageGrid(
        np.stack(grids, axis=1).reshape(count * len(sexes), columns, *grids[0].shape[2:]),
        title=f"{request.n} face{'s' * (request.n > 1)}, {which}",
        rows=list(sexes) * count if len(sexes) > 1 else (),
    )


def rebuilt_and_moved(trained: Trained, request: Request, asked: dict[str, Any]) -> ImageGrid:
    """A picture's reconstruction with one condition a row moved; the picture itself stands first in every row."""
    import numpy as np
    import torch

    nets = trained.nets
    assert request.reconstruct is not None
    picture = read_face(request.reconstruct)
    if request.sex is None:
        raise UsageError(
            "The encoder must be told what the picture shows.",
            hint="Give --sex female or male; --hair, --mouth and --eyes (0 to 1) where they are not average.",
        )
    c = composed(nets["condition"], 1, sex=float(request.sex == "male"), **asked)
    x = pixels(torch.from_numpy(picture)[None].to(trained.device))
    with torch.no_grad():
        z, _ = nets["encoder"](x, c)
    rows = moved(nets, z, c, columns=5)
    first = np.broadcast_to(picture, (len(rows), 1, *picture.shape))
    again = np.broadcast_to(drawn(nets, z, c)[0], first.shape)
    return ImageGrid(
        np.concatenate([first, again, rows], axis=1),
        title="A face rebuilt, and with one condition a row moved",
        rows=moved_rows(),
        columns=["picture", "rebuilt", *[""] * 5],
    )


def moved(nets: Nets, z: Any, c: Any, *, columns: int) -> Array:
    """(4, columns, 120, 120, 3): each condition of c (1, 5) moved from end to end at the latent vector z (1, d)."""
    import numpy as np
    import torch

    rows = []
    for axis, place in PLACE.items():
        many = c.repeat(columns, 1)
        many[:, place] = torch.linspace(*ends(nets["condition"], axis), columns, device=c.device)
        if axis == "sex":
            many[:, 1] = 1 - many[:, 0]
        rows.append(drawn(nets, z.expand(columns, -1), many))
    return np.stack(rows)


def moved_rows() -> list[str]:
    """Labels of the rows of `moved`."""
    return [f"{axis}: {low} to {high}" for axis, (low, high) in AXES.items()]


def new_faces(nets: Nets, rng: torch.Generator, *, rows: int, columns: int) -> ImageGrid:
    """Faces of random codes, each under random conditions."""
    n = rows * columns
    faces = drawn(nets, latents(nets, n, rng), random_conditions(nets["condition"], n, rng))
    return ImageGrid(
        faces.reshape(rows, columns, *faces.shape[1:]),
        title="New faces: random codes under random conditions",
    )


def moved_grid(nets: Nets, rng: torch.Generator, *, columns: int) -> ImageGrid:
    """One face from the prior, one condition a row moved; the others stay in the middle."""
    z = latents(nets, 1, rng)
    return ImageGrid(
        moved(nets, z, composed(nets["condition"], 1, sex=0.0), columns=columns),
        title="One latent vector, one condition a row moved (5th to 95th percentile of training; sex: all the way)",
        rows=moved_rows(),
    )


def condition_grid(nets: Nets, rng: torch.Generator) -> ImageGrid:
    """All combinations of low and high ends at one latent vector: sex and hair in rows, mouth and eyes in columns."""
    import torch

    condition = nets["condition"]
    z = latents(nets, 1, rng)
    cases = list(product((0, 1), repeat=4))
    values = {
        axis: torch.tensor([ends(condition, axis)[case[i]] for case in cases], device=z.device)
        for i, axis in enumerate(AXES)
    }
    faces = drawn(nets, z.expand(len(cases), -1), composed(condition, len(cases), **values))
    names = [AXES[axis] for axis in ("sex", "hair", "mouth", "eyes")]
    return ImageGrid(
        faces.reshape(4, 4, *faces.shape[1:]),
        title="One latent vector under all combinations of conditions",
        rows=[f"{sex}, hair {hair}" for sex, hair in product(*names[:2])],
        columns=[f"{mouth}, {eyes}" for mouth, eyes in product(*names[2:])],
        row_axis="sex, hair",
        column_axis="mouth, eyes",
    )


def interpolation(nets: Nets, images: Any, c: Any, *, columns: int) -> ImageGrid:
    """Straight lines between the codes of pairs of images (2k, …) under the first one's condition of c (2k, 5)."""
    import numpy as np
    import torch

    with torch.no_grad():
        mean, _ = nets["encoder"](pixels(images), c)
    share = torch.linspace(0, 1, columns, device=c.device)[:, None]
    rows = []
    for i in range(0, len(mean), 2):
        z = (1 - share) * mean[i] + share * mean[i + 1]
        rows.append(drawn(nets, z, c[i].expand(columns, -1)))
    return ImageGrid(
        np.stack(rows),
        title="From the code of one test image to another's, under the first one's condition",
        columns=["first", *[""] * (columns - 2), "second"],
    )


def reconstructions(nets: Nets, images: Any, c: Any) -> ImageGrid:
    """Images (n, 120, 120, 3) above what their posterior means give back."""
    import numpy as np
    import torch

    with torch.no_grad():
        mean, _ = nets["encoder"](pixels(images), c)
    return ImageGrid(
        np.stack([images.cpu().numpy(), drawn(nets, mean, c)]),
        title="Test images and their reconstructions",
        rows=["test image", "rebuilt"],
    )


def read_face(path: str) -> Array:
    """A picture as (120, 120, 3) uint8.

    Raises:
        UsageError: no such file, no picture, or one that is not square.
    """
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from epochal.errors import EpochalError
    from epochal.systems.data import faces, masks

    hint = "Give a square PNG or JPEG of one face, cut as the training images are."
    if not Path(path).is_file():
        raise UsageError(f"There is no picture {path}.", hint=hint)
    try:
        whole = masks.read(Path(path), "RGB", upright=True, hint=hint)
    except EpochalError as error:
        raise UsageError(error.what, hint=error.hint) from None
    tall, wide = whole.shape[:2]
    if tall != wide:
        raise UsageError(f"{path} is {wide}x{tall} pixels, not square.", hint=hint)
    side = (faces.SIDE, faces.SIDE)
    return np.array(Image.fromarray(whole).resize(side, Image.Resampling.BICUBIC), dtype=np.uint8)
