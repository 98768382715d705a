"""Images out of latent codes: samplers, what `generate` draws with them, and the figures of ae, vae and wae."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.systems.data.rows import spaced
from epochal.systems.recipes import _autoencoders as shared
from epochal.training.task import Curves, ImageGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Figure, Nets, Trained

    Sampler = Callable[[int, torch.Generator], torch.Tensor]  # (n, rng) -> codes (n, latent)

COMPONENTS = 10
"""Of the mixture, as Chadebec et al. 2022 ("Pythae") fit it."""

FITTED = 20_000
"""Training codes that the mixture is fitted to, evenly spaced in stored order."""


@dataclass(frozen=True)
class Request:
    """What to draw."""

    sampler: Literal["prior", "mixture", "interpolate", "variation"] = "prior"
    """Codes from N(0, I), from a mixture fitted to the training codes, between two test images, or around one."""
    n: Annotated[int, Interval(1, 10_000)] = 64
    """How many pictures; of an interpolation: how many pairs of test images, one a row."""
    seed: Annotated[int, Interval(0)] = 0
    """Seed of the codes, and of which test images are interpolated."""
    components: Annotated[int, Interval(1, 1000)] = COMPONENTS
    """Gaussians of the mixture, at most one for ten training images."""
    steps: Annotated[int, Interval(2, 100)] = 10
    """Pictures of an interpolation, both ends included."""
    item: Annotated[int, Interval(0)] = 0
    """Which test image is varied, counted from 0."""
    spread: Annotated[float, Interval(0)] | None = None
    """Noise around the varied code: of q(z|x) its standard deviations (1), else of test codes (0.3)."""


def generate(trained: Trained, request: Request) -> ImageGrid:
    """Pictures as requested; all randomness comes from `request.seed`."""
    import torch

    if request.sampler == "interpolate":
        return interpolations(trained, shared.read(trained.settings), request.n, request.steps, request.seed)
    if request.sampler == "variation":
        return _variations(trained, request)
    rng = torch.Generator(trained.device).manual_seed(request.seed)
    found = shared.read(trained.settings) if request.sampler == "mixture" else None
    codes = sampler(request.sampler, trained, found, components=request.components, seed=request.seed)
    parts = range(0, request.n, shared.CHUNK)
    images = decoded(trained.nets, (codes(min(shared.CHUNK, request.n - start), rng) for start in parts))
    whence = "N(0, I)" if found is None else "a mixture of Gaussians fitted to the training codes"
    return grid(images, f"{request.n} image{'s' * (request.n > 1)} decoded from {whence}")


# --- samplers ------------------------------------------------------------------------------------------------------


def sampler(
    name: str, trained: Trained, found: Dataset | None, *, components: int = COMPONENTS, seed: int = 0
) -> Sampler:
    """Draws codes: "prior" from N(0, I), "mixture" from Gaussians fitted to the codes of `found`'s training images."""
    if name == "prior":
        return prior(trained.settings.net.latent)
    assert found is not None
    return mixture(training_codes(trained, found), components, seed)


def prior(latent: int) -> Sampler:
    """N(0, I)."""

    def draw(n: int, rng: torch.Generator) -> torch.Tensor:
        import torch

        return torch.randn(n, latent, device=rng.device, generator=rng)

    return draw


def mixture(codes: Array, components: int, seed: int) -> Sampler:
    """A mixture of Gaussians with full covariances, fitted to codes (N, latent) by expectation maximisation.

    Fewer components where there are not ten codes for each. (Ghosh et al., "From Variational to Deterministic
    Autoencoders", 2020, draw from autoencoders without a prior in this way.)
    """
    import torch
    from sklearn.mixture import GaussianMixture

    components = max(1, min(components, len(codes) // 10))
    codes = codes.repeat(2, axis=0) if len(codes) == 1 else codes  # of one training image: a point
    fitted = GaussianMixture(components, random_state=seed % 2**32, reg_covar=1e-5).fit(codes)
    weights = torch.from_numpy(fitted.weights_).float()
    means = torch.from_numpy(fitted.means_).float()
    factors = torch.linalg.cholesky(torch.from_numpy(fitted.covariances_)).float()  # (components, D, D)

    def draw(n: int, rng: torch.Generator) -> torch.Tensor:
        of = torch.multinomial(weights.to(rng.device), n, replacement=True, generator=rng)
        noise = torch.randn(n, means.shape[1], device=rng.device, generator=rng)
        moved = torch.empty_like(noise)
        for component, factor in enumerate(factors.to(rng.device)):
            moved[of == component] = noise[of == component] @ factor.T
        return means.to(rng.device)[of] + moved

    return draw


def training_codes(trained: Trained, found: Dataset) -> Array:
    """Codes of training images, (N, latent) float64: what the decoder was trained on."""
    import torch

    rng = torch.Generator(trained.device).manual_seed(trained.seed)
    images = spaced(found.splits["train"]["images"], FITTED)
    with torch.no_grad():
        batches = shared.batches(images, trained.device)
        return (
            torch.cat([shared.codes(trained.nets, batch["x"], rng).cpu() for batch in batches])
            .double()
            .numpy()
        )


def drawn(trained: Trained, codes: Sampler, n: int, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """n images of a sampler, in batches (B, C, H, W): means of p(x|z); where the data are binarised, drawn from it."""
    import torch

    for start in range(0, n, shared.CHUNK):
        with torch.no_grad():
            y = shared.decode(trained.nets, codes(min(shared.CHUNK, n - start), rng))
            if trained.settings.data.binarise:
                y = torch.bernoulli(y, generator=rng)
        yield y


# --- pictures ------------------------------------------------------------------------------------------------------


def pictures(x: torch.Tensor) -> Array:
    """Images (n, C, H, W) in [0, 1] as (n, H, W[, 3]) uint8."""
    found: Array = (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return found[..., 0] if found.shape[-1] == 1 else found


def decoded(nets: Nets, codes: Iterable[torch.Tensor]) -> Array:
    """Pictures of codes that come in parts, each (b, latent): so much is in memory at once, whatever was asked for."""
    import numpy as np
    import torch

    with torch.no_grad():
        return np.concatenate([pictures(shared.decode(nets, part)) for part in codes])


def grid(images: Array, title: str) -> ImageGrid:
    """Images (n, …) in rows of eight or more."""
    import numpy as np

    n = len(images)
    columns = min(n, max(8, math.ceil(math.sqrt(n))))
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, *images.shape[1:]), 255, dtype=np.uint8)
    cells[:n] = images
    return ImageGrid(cells.reshape(rows, columns, *images.shape[1:]), title=title)


def prior_samples(nets: Nets, latent: int, rng: torch.Generator) -> ImageGrid:
    """`Task.sample`: 32 images decoded from N(0, I)."""
    return grid(pictures(shared.decode(nets, prior(latent)(32, rng))), "32 images decoded from N(0, I)")


def interpolations(trained: Trained, found: Dataset, rows: int, steps: int, seed: int) -> ImageGrid:
    """Rows of images whose codes lie on the straight line between those of two test images."""
    import numpy as np
    import torch

    images = found.splits["test"]["images"]
    ends = np.random.default_rng(seed).integers(0, len(images), 2 * rows)
    along = torch.linspace(0, 1, steps, device=trained.device)[None, :, None]
    with torch.no_grad():
        parts = shared.batches(images[ends], trained.device)
        z = torch.cat([shared.encode(trained.nets, part["x"])[0] for part in parts])
    between = (1 - along) * z[:rows, None] + along * z[rows:, None]  # (rows, steps, latent)
    cells = decoded(trained.nets, between.flatten(0, 1).split(shared.CHUNK))
    return ImageGrid(
        cells.reshape(rows, steps, *cells.shape[1:]),
        title=f"From one test image to another in {steps} steps along a line of codes",
        column_axis="from the first image's code to the second's",
    )


def _variations(trained: Trained, request: Request) -> ImageGrid:
    """One test image, then images decoded from around its code."""
    import numpy as np
    import torch

    images = shared.read(trained.settings).splits["test"]["images"]
    if request.item >= len(images):
        raise UsageError(
            f"There is no test image {request.item:,}.", hint=f"Choose 0 to {len(images) - 1:,}."
        )
    rng = torch.Generator(trained.device).manual_seed(request.seed)
    (batch,) = shared.batches(images[request.item : request.item + 1], trained.device)
    with torch.no_grad():
        mean, log_variance = shared.encode(trained.nets, batch["x"])
        if log_variance is None:
            few = next(shared.batches(images, trained.device, chunk=2000))
            deviation = shared.encode(trained.nets, few["x"])[0].std(0, correction=0)
            whose = f"{len(few['x']):,} test codes"
            spread = 0.3 if request.spread is None else request.spread
        else:
            deviation = (log_variance / 2).exp()
            spread, whose = 1.0 if request.spread is None else request.spread, "its posterior"
        noise = torch.randn(request.n, mean.shape[1], device=trained.device, generator=rng)
    varied = decoded(trained.nets, (mean + spread * deviation * noise).split(shared.CHUNK))
    times = f"{request.n} time{'s' * (request.n > 1)}"
    return grid(
        np.concatenate([images[request.item][None], varied]),
        f"Test image {request.item} (first), decoded {times} with noise of {spread:g} standard deviations of {whose}",
    )


def figures(trained: Trained) -> dict[str, Figure]:
    """Samples of both samplers, interpolations, reconstructions, and the plane of codes where there are labels."""
    found = shared.read(trained.settings)
    drawn_: dict[str, Figure] = {
        "samples_prior": generate(trained, Request("prior", seed=trained.seed)),
        "samples_mixture": generate(trained, Request("mixture", seed=trained.seed)),
        "interpolations": interpolations(trained, found, rows=8, steps=10, seed=trained.seed),
        "reconstructions": reconstructions(trained, found),
    }
    if "labels" in found.splits["test"] and trained.settings.net.latent > 1:
        drawn_["codes"] = plane_of_codes(trained, found)
    return drawn_


def reconstructions(trained: Trained, found: Dataset, n: int = 10) -> ImageGrid:
    """The first test images above their reconstructions."""
    import numpy as np
    import torch

    images = found.splits["test"]["images"][:n]
    (batch,) = shared.batches(images, trained.device)
    with torch.no_grad():
        rebuilt = pictures(shared.decode(trained.nets, shared.encode(trained.nets, batch["x"])[0]))
    return ImageGrid(
        np.stack([images, rebuilt]),
        title="Test images and their reconstructions",
        rows=["test image", "rebuilt"],
    )


def plane_of_codes(trained: Trained, found: Dataset, n: int = 1500) -> Curves:
    """Codes of test images by label: both latents where there are two, else the first two principal components."""
    import numpy as np
    import torch

    columns = found.splits["test"]
    images, labels = columns["images"][:n], columns["labels"][:n]
    with torch.no_grad():
        batches = shared.batches(images, trained.device)
        z = (
            torch.cat([shared.encode(trained.nets, batch["x"])[0].cpu() for batch in batches])
            .double()
            .numpy()
        )
    axes: Sequence[str] = ("first latent", "second latent")
    if z.shape[1] > 2:
        z = z - z.mean(0)
        _, values, directions = np.linalg.svd(z, full_matrices=False)
        shares = 100 * values**2 / (values**2).sum()
        z = z @ directions[:2].T
        axes = [f"principal component {i + 1} ({shares[i]:.0f} % of the variance)" for i in (0, 1)]
    series = {
        found.classes[label]: (z[labels == label, 0].tolist(), z[labels == label, 1].tolist())
        for label in np.unique(labels)
    }
    return Curves(
        series,
        title=f"Codes of {len(z):,} test images by label",
        x_axis=axes[0],
        y_axis=axes[1],
        dots=tuple(series),
    )
