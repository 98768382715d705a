"""How good generated images are beside real ones: every measure from one pass over each set.

    real = profile(real_batches, extractor)
    q = quality(real, generated_batches, extractor, other_real=more_real_batches)
    q.metrics()   # {"fd": …, "fd_floor": …, "kid": …, …, "extractor": "image-features/mnist 3fa9c1e2", …}

The floor is what real images score beside real ones. It takes as many further real images as there are generated
ones, because all of these measures depend on the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochal.evidence.metrics import inception, patches
from epochal.evidence.metrics.extractor import Extractor, Features
from epochal.evidence.metrics.frechet import Gaussian, frechet_distance
from epochal.evidence.metrics.images import Batches, chunks, first_of
from epochal.evidence.metrics.kernel_distance import kernel_distance
from epochal.evidence.metrics.manifolds import manifolds
from epochal.evidence.metrics.sliced_wasserstein import of_patches

MOST = 10_000
"""Features of each set that KID, precision, recall, density and coverage compare, the first ones; FD takes all."""
MOST_CUT = 8_192
"""Images of each set that patches for the sliced Wasserstein distance are cut from, the first ones."""
INCEPTION = 2_048
"""Features of Inception-v3."""


@dataclass(frozen=True)
class Profile:
    """What is kept of a set of images in order to compare it.

    Attributes:
        n: images.
        shape: of each, (H, W, C).
        extractor: identity of what made the features.
        gaussian: of all features.
        features: the first MOST of them, (n, d).
        patches: of each level of a Laplacian pyramid, from the first MOST_CUT images.
        inception: Gaussian of Inception's features, where the user supplies its weights (`inception`).
        weights: identity of these.
    """

    n: int
    shape: tuple[int, ...]
    extractor: str
    gaussian: Gaussian
    features: Features
    patches: tuple[patches.Planes, ...]
    inception: Gaussian | None = None
    weights: str = ""


@dataclass(frozen=True)
class Quality:
    """Generated images beside real ones.

    Attributes:
        fd: Fréchet distance of the features (`frechet`).
        kid: unbiased kernel distance of the features (`kernel_distance`); below 0: no difference seen.
        kid_se: its standard error.
        precision, recall: with 3 neighbours (`manifolds`).
        density, coverage: with 5 neighbours (`manifolds`).
        swd: sliced Wasserstein distance of patches, times 1,000 (`sliced_wasserstein`); takes no extractor.
        n_real: images compared with.
        n_generated: images compared.
        extractor: identity of what made the features.
        dimensions: of the features.
        fid: Fréchet distance of Inception's features, where EPOCHAL_INCEPTION names its weights.
        inception: identity of these weights.
        floor: the same for further real images in place of the generated ones, where they were given.
    """

    fd: float
    kid: float
    kid_se: float
    precision: float
    recall: float
    density: float
    coverage: float
    swd: float
    n_real: int
    n_generated: int
    extractor: str
    dimensions: int
    fid: float | None = None
    inception: str = ""
    floor: Quality | None = None

    @property
    def measured_on(self) -> str:
        """On how many images, and what that means."""
        text = f"{self.n_real:,} real and {self.n_generated:,} generated images"
        least = min(self.n_real, self.n_generated)
        if self.floor is not None:
            text += f"; floor: {self.floor.n_generated:,} other real images"
            least = min(least, self.floor.n_generated)
            if self.floor.n_generated < self.n_generated:
                text += ", which are fewer: it is higher than of as many"
        for distance, dimensions in (
            ("FD", self.dimensions),
            ("FID", INCEPTION if self.fid is not None else 0),
        ):
            if least <= dimensions:
                text += f"; too few for {distance} over {dimensions:,} features: it is far above its limit"
        return text

    def metrics(self) -> dict[str, float | str]:
        """What a recipe's `evaluate` returns: numbers, and the texts that they depend on."""
        found: dict[str, float | str] = {"kid_se": self.kid_se}
        for name in ("fd", "kid", "precision", "recall", "density", "coverage", "swd", "fid"):
            for suffix, one in (("", self), ("_floor", self.floor)):
                value = None if one is None else getattr(one, name)
                if value is not None:
                    found[f"{name}{suffix}"] = value
        if self.fid is not None:
            found["inception"] = self.inception
        return {**found, "extractor": self.extractor, "measured_on": self.measured_on}


def profile(batches: Batches, extractor: Extractor) -> Profile:
    """Looks at images once, some at a time (`images.as_uint8` says in which forms they may come).

    Raises:
        ValueError: images of another form or of different sizes, or fewer than four.
    """
    original = inception.inception(device=extractor.device)
    gaussian: Gaussian | None = None
    of_inception: Gaussian | None = None
    features: list[Features] = []
    cuts: list[list[patches.Planes]] = []
    shape: tuple[int, ...] = ()
    n = 0
    rng = np.random.default_rng(0)
    for images in chunks(batches):
        if n and images.shape[1:] != shape:
            raise ValueError(f"images differ in shape: {shape} and {images.shape[1:]}")
        shape = images.shape[1:]
        found = extractor.features(images)
        gaussian = _joined(gaussian, found)
        if original is not None:
            of_inception = _joined(of_inception, original.features(images))
        if n < MOST:
            features.append(found[: MOST - n])
        if n < MOST_CUT:
            cuts.append(patches.cut(images[: MOST_CUT - n], rng))
        n += len(images)
    if gaussian is None or n < 4:
        raise ValueError(f"at least 4 images are needed to measure quality, but got {n}")
    levels = tuple(np.concatenate(level) for level in zip(*cuts, strict=True))
    weights = "" if original is None else original.identity
    return Profile(
        n, shape, extractor.identity, gaussian, np.concatenate(features), levels, of_inception, weights
    )


def _joined(known: Gaussian | None, features: Features) -> Gaussian:
    one = Gaussian.of(features)
    return one if known is None else known.merged(one)


def quality(
    real: Batches | Profile,
    generated: Batches | Profile,
    extractor: Extractor,
    *,
    other_real: Batches | Profile | None = None,
) -> Quality:
    """Compares generated images with real ones.

    Args:
        real: images to compare with, or their profile (made once for several sets of samples).
        generated: as many samples as can be had: 10,000, and as many real ones, is customary here.
        extractor: what makes the features.
        other_real: further real images, none of them among `real`: gives the floor. Of more than there are samples
            the first ones are taken.

    Raises:
        ValueError: images that do not fit together, or profiles of another extractor.
    """
    sets = [
        images if isinstance(images, Profile) else profile(images, extractor) for images in (real, generated)
    ]
    floor = None
    if other_real is not None:
        if not isinstance(other_real, Profile):
            other_real = profile(first_of(other_real, sets[1].n), extractor)
        floor = quality(sets[0], other_real, extractor)
    first, second = sets
    for one in sets:
        if one.extractor != extractor.identity:
            raise ValueError(f"features of {one.extractor} do not compare with those of {extractor.identity}")
    if first.shape != second.shape:
        raise ValueError(f"real images are {first.shape}, but generated ones {second.shape}")
    kid = kernel_distance(first.features, second.features)
    lie = manifolds(first.features, second.features)
    fid = None
    if first.inception is not None and second.inception is not None:
        fid = frechet_distance(first.inception, second.inception)
    return Quality(
        fd=frechet_distance(first.gaussian, second.gaussian),
        kid=kid.value,
        kid_se=kid.se,
        precision=lie.precision,
        recall=lie.recall,
        density=lie.density,
        coverage=lie.coverage,
        swd=of_patches(first.patches, second.patches, first.shape[-1]),
        n_real=first.n,
        n_generated=second.n,
        extractor=extractor.identity,
        dimensions=len(first.gaussian.mean),
        fid=fid,
        inception=first.weights,
        floor=floor,
    )
