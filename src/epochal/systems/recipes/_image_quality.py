"""What generative recipes share: how good their images are beside real ones, and whether they are copies.

def needs(settings): return {**image_quality.needs(settings.data, "cifar10")}

def evaluate(trained, split):
    found = data.load(…)
    real, other, what = image_quality.real_images(found, split)
    eye = image_quality.extractor(trained)
    q = quality(real, batches_of_samples(), eye, other_real=other)   # epochal.evidence.metrics.image_quality
    return {…, **q.metrics(), "measured_on": f"{q.measured_on} ({what})"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal.training.task import ImageGrid, Metric

if TYPE_CHECKING:
    from epochal.evidence.metrics.extractor import Extractor
    from epochal.settings.common import DataSettings
    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Trained

EXTRACTOR = "extractor"
SAMPLES = 10_000
"""Generated images that are measured, and real ones that they are compared with."""
LEAST = 4
"""Real images below which nothing can be measured (`image_quality.profile`)."""

BY = (EXTRACTOR, "measured_on")
"""What two numbers must share to be compared: the network, and which and how many images."""

METRICS = (
    Metric(
        "fd",
        "lower",
        "FD-image-features: Fréchet distance of features of samples and real images",
        by=BY,
    ),
    Metric(
        "kid",
        "lower",
        "kernel distance (unbiased MMD², cubic) of the same features; 0: no difference",
        by=BY,
    ),
    Metric("precision", "higher", "share of samples among real images (3 neighbours)", margin=0.01, by=BY),
    Metric("recall", "higher", "share of real images among samples (3 neighbours)", margin=0.01, by=BY),
    Metric(
        "density",
        "higher",
        "how densely real images lie where samples do (5 neighbours)",
        margin=0.02,
        by=BY,
    ),
    Metric(
        "coverage",
        "higher",
        "share of real images with a sample nearby (5 neighbours)",
        margin=0.01,
        by=BY,
    ),
    Metric(
        "swd",
        "lower",
        "sliced Wasserstein distance of pyramid patches, x 1,000, without a network",
        by=("measured_on",),
    ),
    Metric("fid", "lower", "FID: Fréchet distance of Inception's features", by=("inception", "measured_on")),
)


def needs(chosen: DataSettings, wanted: str = "mnist") -> dict[str, tuple[str, dict[str, Any]]]:
    """`Recipe.needs` of a recipe that measures image quality: an extractor, trained for 3 epochs on digits, else 10.

    Args:
        chosen: the recipe's `settings.data`.
        wanted: the source that the recipe is written for.
    """
    from epochal.systems import data

    source = data.resolve(chosen.source, chosen.dir, wanted=wanted)
    grey = source in ("mnist", "fashion-mnist", "glyphs")
    patch = {"data.source": source, "data.dir": chosen.dir, "epochs": 3 if grey else 10}
    return {EXTRACTOR: ("image-features", patch)}


def extractor(trained: Trained) -> Extractor:
    """The feature extractor among the helpers of a run, named after the data that it was trained on."""
    from epochal.evidence.metrics.extractor import Extractor

    helper = trained.helpers[EXTRACTOR]
    return Extractor.of(helper.nets["classifier"], f"image-features/{helper.settings.data.source}")


def real_images(found: Dataset, split: str, n: int = SAMPLES) -> tuple[Array, Array, str]:
    """Real images to compare samples with, others for the floor, and what they are in words.

    Up to n of the split, beside training images drawn without replacement. A test split of fewer than n images gives
    way to training images, where 2n of them are there: few real images make every measure worse than it is. The others
    come in random order: the first of them, of which the floor takes as many as there are samples, stand for all.

    Raises:
        UsageError: the run has too few images to measure anything.
    """
    import numpy as np

    from epochal.errors import UsageError

    pool = found.splits["train"]["images"]
    if len(pool) < 2 * LEAST:
        raise UsageError(
            f"{len(pool)} training image{'s' * (len(pool) > 1)} are too few to measure how good samples are.",
            hint=f"At least {2 * LEAST} are needed: train on more (--data.limit).",
        )
    rng = np.random.default_rng(0)
    of = found.splits[split]["images"]
    if len(of) < LEAST:
        raise UsageError(
            f"{len(of)} {split} image{'s' * (len(of) != 1)} are too few to measure how good samples are.",
            hint=f"At least {LEAST} are needed.",
        )
    if split == "train" or len(of) < n <= len(pool) // 2:
        order = rng.permutation(len(pool))
        half = min(n, len(pool) // 2)
        chosen, others = np.sort(order[:half]), order[half : 2 * half]
        return pool[chosen], pool[others], f"real: {half:,} training images; floor: {half:,} other ones"
    real = of[:n]
    return real, pool[rng.permutation(len(pool))[:n]], f"real: {split} images; floor: training images"


def copies(trained: Trained, found: Dataset, samples: Any, k: int = 5) -> ImageGrid:
    """Samples beside their k nearest training images by the extractor's features: is anything copied?

    Args:
        trained: with the helper that `needs` asked for.
        found: the data that was trained on.
        samples: a few images in a form that `as_uint8` takes.
        k: training images a row.
    """
    import numpy as np

    from epochal.evidence.metrics.images import as_uint8
    from epochal.evidence.metrics.neighbours import nearest

    eye, train, pictures = extractor(trained), found.splits["train"]["images"], as_uint8(samples)
    features = np.concatenate([*eye.of_batches(train)])
    near = nearest(np.concatenate([*eye.of_batches(pictures)]), features, k)
    rows = np.concatenate([pictures[:, None], as_uint8(train)[near.indices]], axis=1)
    return ImageGrid(
        rows[..., 0] if rows.shape[-1] == 1 else rows,
        title=f"Samples and their nearest of {len(train):,} training images (feature distance; 0: a copy)",
        rows=[f"{distance:.2g}" for distance in near.distances[:, 0]],
        columns=["sample", *(str(rank + 1) for rank in range(near.indices.shape[1]))],
        row_axis="distance of the nearest",
        column_axis="nearest training images",
    )
