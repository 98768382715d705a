"""What is measured of a conditional VAE of faces: its posterior, what β lets survive, and whether faces obey.

Settings are those of `cvae_faces`. Three questions, a function each: how many directions a linear VAE would keep at
this β (`prospects`), whether the L2 penalty outweighs the picture (`kernel_penalty`), and whether generated faces show
what they were asked for (`fidelity`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal.systems.data.rows import spaced
from epochal.systems.recipes import _faces_drawing as drawing
from epochal.training.task import Curves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from epochal.evidence.metrics.conditions import Response
    from epochal.evidence.metrics.directions import Spectrum
    from epochal.training.task import Array, Nets, Trained

VALUES = 3 * 120 * 120
"""Values of an image: what the mean of the loss is over."""
INSTRUMENT = "instrument"
"""The helper that measures conditions: a run of face-conditions."""
EXAMINED, LOOKED_AT = 3000, 1000
"""Training images whose covariance is examined by `evaluate` (seven seconds), and for a figure (one second)."""
FACES, MOVED, EXACT = 1000, 200, 50
"""Faces whose conditions are measured, latent vectors at which each condition is moved, and drawn persons likewise."""


def told(number: float) -> str:
    """A number as the sentences write it: 43,200 or 86.4."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def rebuilding(trained: Trained, columns: Mapping[str, Array]) -> dict[str, float]:
    """Reconstruction from the posterior's mean, KL, and active units."""
    import torch

    from epochal.evidence import metrics as m

    nets, device = trained.nets, trained.device
    codes = []

    def pairs() -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(columns["conditions"]), drawing.CHUNK):
            part = slice(start, start + drawing.CHUNK)
            x = drawing.pixels(torch.from_numpy(columns["images"][part].copy()).to(device))
            c = torch.from_numpy(columns["conditions"][part]).to(device)
            mean, log_variance = nets["encoder"](x, c)
            codes.append((mean.cpu(), log_variance.cpu()))
            yield x, nets["decoder"](mean, c)

    rebuilt = m.reconstruction.measure(pairs())
    latent = m.latent.measure(codes)
    return {
        "mse": rebuilt.mse,
        "psnr": rebuilt.psnr,
        "kl": latent.kl,
        "active_units": float(latent.active_units),
        "active_directions": float(latent.active_directions),
    }


def prospects(
    settings: Any, train: Mapping[str, Array], examined: int, active: tuple[int, int] | None = None
) -> tuple[dict[str, float], str]:
    """What β lets survive: directions in which the images, and what their conditions leave of them, vary enough.

    Returns:
        β, the two numbers of directions and the mean squared error of always answering the mean face; and the
        sentence that says so, with `active` units and directions also these.
    """
    from epochal.evidence.metrics import directions

    weight, latent = settings.loss.weight, settings.net.latent
    beta, found = VALUES / weight, spectrum(train, examined)
    kept = directions.surviving(found.total, VALUES, weight)
    numbers = {"beta": beta, "directions": float(kept), "mean_face_mse": float(found.total.sum()) / VALUES}
    units = f"{latent} latent dimensions"
    if active is not None:
        units = f"active units {active[0]} of {latent}, whose means vary in {active[1]} directions"
    text = (
        f"β = 43,200 / W = 43,200 / {told(weight)} = {told(beta)}, {units}; a linear VAE keeps directions whose "
        f"variance summed over pixels exceeds 43,200 / (2W) = {told(directions.threshold(VALUES, weight))}: {kept} of "
        "the images'"
    )
    if found.residual is not None:
        numbers["directions_beside"] = float(directions.surviving(found.residual, VALUES, weight))
        text += f", {numbers['directions_beside']:.0f} of what the conditions do not explain"
    return numbers, f"{text} ({found.n:,} training images)"


def spectrum(train: Mapping[str, Array], examined: int) -> Spectrum:
    """Eigenvalues of at most so many training images; of what conditions leave only where these are all known."""
    import numpy as np

    from epochal.evidence.metrics import directions

    images, c = (spaced(train[name], examined) for name in ("images", "conditions"))
    known = len(c) > c.shape[1] + 1 and not np.isnan(c).any()
    return directions.spectrum(images, c if known else None)


def kernel_penalty(
    settings: Any, nets: Nets, mean_face_mse: float, mse: float | None = None
) -> tuple[dict[str, float], str]:
    """The L2 penalty as Glorot initialisation begins, beside all that the picture's term W·mse can gain.

    Args:
        settings: with `loss.weight` and `loss.l2`.
        nets: their convolution kernels are looked at.
        mean_face_mse: mean squared error of always answering the mean face.
        mse: that of the trained network, where it is trained.
    """
    kernels = [p for net in ("encoder", "decoder") for p in nets[net].parameters() if p.dim() == 4]
    weight, l2 = settings.loss.weight, settings.loss.l2
    # Glorot's variance of a weight is 2 / (fan in + fan out).
    first = l2 * sum(2 * p.numel() / (sum(p.shape[:2]) * p.shape[2] * p.shape[3]) for p in kernels)
    text = (
        f"L2 {l2:g}·Σw² over convolution kernels begins at {first:.3g}, W·mse of answering the mean face is "
        f"{told(weight * mean_face_mse)}"
    )
    if first > weight * mean_face_mse:
        text += ": the penalty, not the picture, is what training reduces"
    if mse is None:
        return {}, text
    now = l2 * sum(float(p.detach().square().sum()) for p in kernels)
    numbers = {"l2_penalty": now, "picture_term": weight * mse}
    return numbers, f"{text}; now L2 is {now:.3g} and W·mse {told(weight * mse)}"


def fidelity(trained: Trained, images: Array, labels: Array) -> tuple[dict[str, float], dict[str, str]]:
    """Conditions asked of generated faces against measured ones, cross-talk, and the instrument's own errors.

    The texts say which networks measured, by the hash of their weights, and on how many images they themselves err.

    Conditions are drawn independently of each other and of z, evenly between their ends; sex is 0 or 1.

    Args:
        trained: the networks, with the instrument among the helpers.
        images: (n, 120, 120, 3) uint8, for the instrument's own errors.
        labels: their conditions (n, 5) as labelled, NaN where not. Where the images are drawn, the instrument's
            cross-talk is measured on faces drawn exactly as asked.
    """
    import torch

    from epochal.evidence.metrics.extractor import fingerprint

    nets, condition = trained.nets, trained.nets["condition"]
    rng = torch.Generator(trained.device).manual_seed(trained.seed)
    z, c = drawing.latents(nets, FACES, rng), drawing.random_conditions(condition, FACES, rng)
    got = measured_conditions(trained.helpers, drawing.drawn(nets, z, c))
    numbers = {"sex_accuracy": float(((got[:, 0] > 0.5) == (c[:, 0].cpu().numpy() > 0.5)).mean())}
    numbers |= _errors(got, c.cpu().numpy(), "")

    found = response(trained, lambda many: drawing.drawn(nets, z[:MOVED], many), c[:MOVED])
    numbers["cross_talk"] = found.cross_talk
    for i, moved in enumerate(drawing.AXES):
        for j, other in enumerate(drawing.AXES):
            numbers[f"{moved}_moves_{other}"] = float(found.matrix[i, j])

    numbers |= _errors(measured_conditions(trained.helpers, images), labels, "instrument_")
    own = f"its own errors are on {len(images):,} images of the split{of(labels)}"
    weights = fingerprint(torch.nn.ModuleDict(trained.helpers[INSTRUMENT].nets))
    return numbers, {INSTRUMENT: f"face-conditions {weights[:8]}", "instrument_errors": own}


def of(labels: Array) -> str:
    """How many of images have a label of each condition, where not all have: " (labelled: sex 12, …)"."""
    import numpy as np

    counts = {axis: int((~np.isnan(labels[:, place])).sum()) for axis, place in drawing.PLACE.items()}
    if min(counts.values()) == len(labels):
        return ""
    return f" (labelled: {', '.join(f'{axis} {n:,}' for axis, n in counts.items())})"


def instrument_response(trained: Trained) -> Response:
    """The instrument's response on drawn faces that show exactly what is asked: the floor of any generator's."""
    import torch

    from epochal.systems.data import faces_drawn

    # A stream of its own: no split holds these persons.
    c, persons = faces_drawn.sample([faces_drawn.SEED, 2], 0, EXACT)
    start = torch.from_numpy(c).to(trained.device)
    return response(trained, lambda many: faces_drawn.draw(many.cpu().numpy(), persons), start)


def response(trained: Trained, draw: Callable[[Any], Array], c: Any) -> Response:
    """What moves when one of the conditions c (n, 5) is moved from its low to its high end in what `draw` draws."""
    import numpy as np

    from epochal.evidence.metrics import conditions

    condition, places = trained.nets["condition"], list(drawing.PLACE.values())
    low, high = (
        np.stack(
            [
                measured_conditions(trained.helpers, draw(drawing.with_end(condition, c, axis, end)))[
                    :, places
                ]
                for axis in drawing.AXES
            ]
        )
        for end in (0, 1)
    )
    change = [high_ - low_ for low_, high_ in (drawing.ends(condition, axis) for axis in drawing.AXES)]
    return conditions.response(low, high, change)


def _errors(measured: Array, wanted: Array, prefix: str) -> dict[str, float]:
    """Mean absolute error and R² of each condition, (n, 5) twice, where it is wanted (not NaN)."""
    import numpy as np

    from epochal.evidence.metrics import regression

    numbers: dict[str, float] = {}
    for axis, place in drawing.PLACE.items():
        known = ~np.isnan(wanted[:, place])
        if known.sum() > 1:
            want = wanted[known, place]
            error = regression.measure(measured[known, place], want, float(want.mean()))
            numbers |= {f"{prefix}{axis}_mae": error.mae, f"{prefix}{axis}_r2": error.r2}
    return numbers


def measured_conditions(helpers: Mapping[str, Trained], images: Array, rows: Array | None = None) -> Array:
    """Conditions (n, 5) of images (n, 120, 120, 3) uint8, or of some rows, measured by the networks of
    face-conditions."""
    from epochal.systems.recipes.face_conditions import conditions_of

    found: Array = conditions_of(helpers[INSTRUMENT], images, rows)
    return found


def directions_figure(weight: float, train: Mapping[str, Array]) -> Curves:
    """Eigenvalues of the training images' covariance beside the variance that a direction must exceed."""
    from epochal.evidence.metrics import directions

    found = spectrum(train, LOOKED_AT)
    series: dict[str, tuple[list[int], list[float]]] = {}
    for name, values in (
        ("of the images", found.total),
        ("of what the conditions leave", found.residual),
    ):
        if values is not None:
            above = values[values > 1e-6 * values[0]].tolist()  # the others are zero but for rounding
            series[name] = (list(range(1, len(above) + 1)), above)
    limit = directions.threshold(VALUES, weight)
    every = list(range(1, found.n + 1))  # a line without the dots that mark the ends of one of two points
    series[f"43,200 / (2W) = {told(limit)}"] = (every, [limit] * found.n)
    return Curves(
        series,
        title=f"Directions in which {found.n:,} training images vary, and which are worth their KL",
        x_axis="direction",
        y_axis="variance, summed over pixels",
        log_x=True,
        log_y=True,
    )
