"""How good a GAN is: its samples beside real images, and what its discriminator still tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal.systems.recipes import _classifier as classifier
from epochal.systems.recipes import _dcgan_drawing as drawing
from epochal.systems.recipes import _image_quality as image_quality

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.systems.data import Dataset
    from epochal.training.task import Array, Trained

FEW = 1000
"""Images of each kind whose distances from each other, and from training images, are measured."""


def measure(
    trained: Trained, found: Dataset, split: str, thresholds: Mapping[str, float]
) -> dict[str, float | str]:
    """The image metrics, and beside them what reads neither as better nor as worse.

    - `diversity`: mean pixel distance of two samples, as a share of that of two real images; 0: all alike.
    - `nearest`: median distance of samples from the training image nearest in features, as a share of that of unseen
      images; near 0: copies.
    - `real_accuracy`, `fake_accuracy`: share of unseen images, and of as many fresh pictures of the generator that
      it trains against, that the discriminator tells right; one pair for each of the thresholds, named by its suffix.

    Texts: `extractor`, `measured_on`, `sampled_by`, `discriminator_on`.

    Raises:
        UsageError: the validation split of a run that held nothing out.
    """
    import torch

    from epochal.evidence.metrics.image_quality import quality

    unseen = classifier.split_of(found, split)["images"]
    rng = torch.Generator(trained.device).manual_seed(trained.seed)
    nets = trained.nets
    samples = drawing.draw(nets, drawing.noise(image_quality.SAMPLES, nets, rng))
    real, others, what = image_quality.real_images(found, split)
    eye = image_quality.extractor(trained)
    read = quality(real, samples, eye, other_real=others)
    averaged = drawing.AVERAGE in nets
    texts = {
        "measured_on": f"{read.measured_on} ({what})",
        "sampled_by": "the averaged generator" if averaged else "the generator",
        "discriminator_on": f"{len(unseen):,} {split} images and as many pictures of the generator it trains against",
    }
    return {
        **read.metrics(),
        "diversity": spread(samples) / spread(real),
        "nearest": nearness(eye, samples, unseen, found.splits["train"]["images"]),
        **told_apart(trained, unseen, thresholds, rng),
        **texts,
    }


def spread(images: Array) -> float:
    """Mean Euclidean distance of two different ones of the first images (n, H, W, 3)."""
    import torch

    return float(torch.pdist(torch.from_numpy(images[:FEW]).flatten(1).float()).mean())


def nearness(eye: Any, samples: Array, unseen: Array, train: Array) -> float:
    """Median feature distance of samples from their nearest training image, as a share of that of unseen images."""
    import numpy as np

    from epochal.evidence.metrics.neighbours import nearest

    known = np.concatenate([*eye.of_batches(train)])
    medians = [
        np.median(nearest(np.concatenate([*eye.of_batches(images[:FEW])]), known, 1).distances)
        for images in (samples, unseen)
    ]
    return float(medians[0] / medians[1]) if medians[1] else float("nan")


def told_apart(
    trained: Trained, unseen: Array, thresholds: Mapping[str, float], rng: torch.Generator
) -> dict[str, float]:
    """What share of unseen images, and of as many fresh pictures, the discriminator tells right."""
    import torch

    from epochal.systems.losses import gan

    live = {"generator": trained.nets["generator"]}
    fresh = drawing.draw(live, drawing.noise(len(unseen), live, rng))
    outputs = []
    for images in (unseen, fresh):
        parts = torch.from_numpy(images).split(drawing.CHUNK)
        with torch.no_grad():
            asked = [trained.nets["discriminator"](to_range(part.to(trained.device))) for part in parts]
        outputs.append(torch.cat(asked))
    found = {}
    for suffix, threshold in thresholds.items():
        right = gan.accuracies(outputs[0], outputs[1], threshold=threshold)
        for kind, share in zip(("real", "fake"), right, strict=True):
            found[f"{kind}_accuracy{suffix}"] = float(share)
    return found


def to_range(images: torch.Tensor) -> torch.Tensor:
    """Images (B, H, W, 3) uint8 → (B, 3, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
