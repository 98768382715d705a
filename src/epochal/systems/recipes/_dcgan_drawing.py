"""What a GAN draws: samples, walks between samples, and the training images nearest to samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.training.task import ImageGrid

if TYPE_CHECKING:
    import torch

    from epochal.training.task import Array, Nets, Trained

CHUNK = 500
"""Images a forward pass."""
AVERAGE = "generator_average"
STANDING = 8
"""Batches of 256 on which the averaged generator's batch norms are measured."""


@dataclass(frozen=True)
class Request:
    """What to draw."""

    n: Annotated[int, Interval(1, 10_000)] = 64
    """How many samples; with `interpolate`, how many walks."""
    seed: Annotated[int, Interval(0)] = 0
    """Seed of the noise."""
    interpolate: Annotated[int, Interval(0, 100)] = 0
    """Walk from one sample to another with so many pictures between them, a row each; 0: single samples."""


def generate(trained: Trained, request: Request) -> ImageGrid:
    """Samples as requested, of the averaged generator where there is one; all randomness is from `request.seed`."""
    import torch

    nets, rng = trained.nets, torch.Generator(trained.device).manual_seed(request.seed)
    if not request.interpolate:
        return sample_grid(nets, rng, request.n)
    start, end = noise(2 * request.n, nets, rng).chunk(2)
    columns = request.interpolate + 2
    z = torch.stack([great_circle(start, end, i / (columns - 1)) for i in range(columns)], 1)
    images = draw(nets, z.flatten(0, 1))
    return ImageGrid(
        images.reshape(request.n, columns, *images.shape[1:]),
        title=f"From one sample to another: {request.n} walk{'s' * (request.n > 1)} through the noise",
        columns=[f"{100 * i / (columns - 1):.0f} %" for i in range(columns)],
        column_axis="share of the way",
    )


def noise(n: int, nets: Nets, rng: torch.Generator) -> torch.Tensor:
    """z ~ N(0, I), (n, latent)."""
    import torch

    return torch.randn(n, nets["generator"].latent, generator=rng, device=rng.device)


def great_circle(start: torch.Tensor, end: torch.Tensor, share: float) -> torch.Tensor:
    """Noise at that share of the way from start to end (n, latent), along the arc.

    White, "Sampling Generative Networks", 2016: the straight line leads through noise shorter than any seen.
    """
    import torch

    angle = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1).acos()[:, None]
    sine = angle.sin()
    arc = ((1 - share) * angle).sin() / sine * start + (share * angle).sin() / sine * end
    straight = (1 - share) * start + share * end
    return torch.where(sine > 1e-3, arc, straight)


def sampler(nets: Nets) -> Any:
    """The generator that draws: the averaged one where there is one, its batch norms measured for its own weights."""
    return standing(nets[AVERAGE]) if AVERAGE in nets else nets["generator"]


def standing(generator: Any) -> Any:
    """A copy in eval mode whose batch norms hold means and variances over 2,048 pictures of its own.

    An average of weights meets other activations than the generator of the last step, whose statistics it has:
    with those its pictures are pale. Brock et al., "Large Scale GAN Training", 2019 (standing statistics).
    """
    from copy import deepcopy

    import torch

    measured = deepcopy(generator).train()
    for module in measured.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches, each with equal weight
    device = next(measured.parameters()).device
    rng = torch.Generator(device).manual_seed(0)  # of its own: the same weights always draw the same pictures
    with torch.no_grad():
        for _ in range(STANDING):
            measured(torch.randn(256, measured.latent, generator=rng, device=device))
    return measured.eval()


def draw(nets: Nets, z: torch.Tensor) -> Array:
    """Noise (n, latent) → pictures (n, H, W, 3), uint8."""
    import torch

    generator = sampler(nets)
    with torch.no_grad():
        chunks = [pixels(generator(part)) for part in z.split(CHUNK)]
    drawn: Array = torch.cat(chunks).permute(0, 2, 3, 1).cpu().numpy()
    return drawn


def pixels(x: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] → uint8 as they are stored, of the same shape."""
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).byte()


def sample_grid(nets: Nets, rng: torch.Generator, n: int) -> ImageGrid:
    """n samples in a square as far as they fill one; the noise is drawn from `rng`."""
    from math import ceil, sqrt

    import numpy as np

    images = draw(nets, noise(n, nets, rng))
    columns = min(ceil(sqrt(n)), 40)
    rows = ceil(n / columns)
    sheet = np.full((rows * columns, *images.shape[1:]), 255, np.uint8)  # the last row is seldom full
    sheet[:n] = images
    by = " of the averaged generator" if AVERAGE in nets else ""
    title = f"{n:,} sample{'s' * (n > 1)}{by}"
    return ImageGrid(sheet.reshape(rows, columns, *images.shape[1:]), title=title)


def neighbours(samples: Array, train: Array, k: int = 5) -> ImageGrid:
    """Samples (n, H, W, 3) beside the k training images (m, H, W, 3) nearest in pixels: is anything copied?

    Distances are root-mean-square differences of pixels in [0, 255]; 0 is a copy.
    """
    import numpy as np
    import torch

    x = torch.from_numpy(samples).flatten(1).float()
    squares = []
    for start in range(0, len(train), CHUNK):  # as floats all of them would fill gigabytes
        y = torch.from_numpy(train[start : start + CHUNK]).flatten(1).float()
        squares.append(torch.cdist(x, y).square())
    distances = torch.cat(squares, 1).div(x.shape[1]).sqrt()
    near = distances.topk(min(k, len(train)), largest=False)
    indices = near.indices.cpu().numpy()
    return ImageGrid(
        np.concatenate([samples[:, None], train[indices]], axis=1),
        title=f"Samples and their nearest of {len(train):,} training images (pixel distance; 0: a copy)",
        rows=[f"{float(distance):.0f}" for distance in near.values[:, 0]],
        columns=["sample", *(str(rank + 1) for rank in range(indices.shape[1]))],
        row_axis="distance of the nearest, of 255",
        column_axis="nearest training images",
    )
