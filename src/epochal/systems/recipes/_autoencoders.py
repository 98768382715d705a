"""What ae, vae and wae share: images, networks, how training is watched, and what is measured of every one of them.

An encoder gives the code z of an image, or mean and log-variance of q(z|x); the decoder gives logits, whose sigmoid is
the image. Samplers and pictures are in `_latent_samples`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.errors import UsageError
from epochal.settings import Interval
from epochal.settings.common import HeldOutDataSettings
from epochal.systems.data.rows import spaced
from epochal.systems.recipes import _image_quality
from epochal.training.task import Batch, Metric, Optimiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

    from epochal.systems.data import Dataset
    from epochal.systems.nets.autoencoders import Sizes
    from epochal.training.task import Array, LossFunction, Nets, Trained

Images = Literal["28x28x1", "32x32x3", "64x64x3"]

SHAPES: dict[Images, tuple[int, int, int]] = {
    "28x28x1": (1, 28, 28),
    "32x32x3": (3, 32, 32),
    "64x64x3": (3, 64, 64),
}
"""Channels, height and width."""

WANTED: dict[Images, str] = {"28x28x1": "mnist", "32x32x3": "cifar10", "64x64x3": "faces-sfhq"}
"""The source that `--data.source auto` takes, where it is found."""


# --- settings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data(HeldOutDataSettings):
    """Which images, how many of them, and how many are held out for validation."""

    hold_out: Annotated[int, Interval(0)] = 5000
    """How many of the training items, the last in stored order, are not trained on but are the validation split."""
    images: Images = "28x28x1"
    """Height, width and channels; source `auto` then is mnist, cifar10 or faces-sfhq, or what is drawn instead."""
    binarise: bool = False
    """Draw every pixel once as black or white, white with the probability that is its brightness (a fixed draw)."""


@dataclass(frozen=True)
class Net:
    """Sizes of encoder and decoder."""

    architecture: Literal["mlp", "conv"] = "mlp"
    """One hidden dense layer, or convolutions of stride 2 before it."""
    latent: Annotated[int, Interval(1, 4096)] = 16
    """Latent dimensions."""
    hidden: Annotated[int, Interval(1, 8192)] = 400
    """Units of the hidden dense layer."""
    width: Annotated[int, Interval(1, 512)] = 32
    """Channels of the first convolution; each further one has twice as many."""
    activation: Literal["relu", "gelu"] = "relu"
    """Of all hidden layers of encoder and decoder."""


@dataclass(frozen=True)
class Optim:
    """Adam, its learning rate falling along half a cosine."""

    lr: Annotated[float, Interval(0, open_low=True)] = 1e-3
    """Learning rate at the first step."""
    end: Annotated[float, Interval(0, 1)] = 0.0
    """Learning rate at the last step, as a share of the first."""


# --- networks and data ---------------------------------------------------------------------------------------------


def sizes(settings: Any) -> Sizes:
    """Of encoder and decoder."""
    from epochal.systems.nets.autoencoders import Sizes

    net = settings.net
    return Sizes(
        net.architecture, SHAPES[settings.data.images], net.hidden, net.width, net.latent, net.activation
    )


def read(settings: Any) -> Dataset:
    """The images that `settings.data` names, binarised where it says so.

    Raises:
        UsageError: a source of images of another size; see `data.load` for more.
    """
    from epochal.systems import data
    from epochal.systems.data.binarise import binarised

    chosen = settings.data
    try:
        found = data.load(
            chosen.source,
            wanted=WANTED[chosen.images],
            folder=chosen.dir,
            limit=chosen.limit,
            hold_out=chosen.hold_out,
        )
    except UsageError as problem:
        raise UsageError(
            problem.what,
            hint=f"{problem.hint or ''} --data.images says which size is meant: {', '.join(SHAPES)}.".strip(),
        ) from None
    if chosen.binarise:
        splits = {
            split: {**columns, "images": binarised(columns["images"], split)}
            for split, columns in found.splits.items()
        }
        found = replace(found, splits=splits)
    return found


def about(found: Dataset, settings: Any) -> dict[str, Any]:
    """What a run remembers of its data."""
    drawn = {"binarised": True} if settings.data.binarise else {}
    return {
        "name": found.name,
        "source": found.origin,
        "drawn": found.drawn,
        "sha256": found.sha256,
        **drawn,
    }


def prepare(batch: Batch) -> Batch:
    """Images (B, H, W[, 3]) uint8 → x (B, C, H, W) float32 in [0, 1]."""
    images = batch["images"]
    x = images[:, None] if images.dim() == 3 else images.permute(0, 3, 1, 2)
    return Batch(x=x.float().div_(255))


def optimiser(settings: Any, items: int, *, lr: float | None = None) -> Optimiser:
    """Adam with `settings.optim`'s schedule over the whole training on `items` images."""
    from epochal.systems.recipes._classifier import total_steps
    from epochal.training.schedules import cosine

    schedule = cosine(total_steps(settings, items), end=settings.optim.end)
    return Optimiser("adam", lr=lr or settings.optim.lr, schedule=schedule)


def encode(nets: Nets, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Mean and log-variance of q(z|x), each (B, latent); no log-variance where the encoder is deterministic."""
    found = nets["encoder"](x)
    return found if isinstance(found, tuple) else (found, None)


def codes(nets: Nets, x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """What the decoder is trained on, (B, latent): the code, or a sample of q(z|x)."""
    from epochal.systems.losses import vae

    mean, log_variance = encode(nets, x)
    return mean if log_variance is None else vae.sample(mean, log_variance, rng)


def decode(nets: Nets, z: torch.Tensor) -> torch.Tensor:
    """The images of codes (B, latent): (B, C, H, W) in [0, 1], the mean of p(x|z)."""
    image: torch.Tensor = nets["decoder"](z).float().sigmoid()
    return image


# --- watching ------------------------------------------------------------------------------------------------------

CHUNK = 500
"""Images a forward pass where nothing is trained."""


def batches(images: Array, device: Any, chunk: int = CHUNK) -> Iterator[Batch]:
    """All images as prepared batches, in stored order."""
    import torch

    for start in range(0, len(images), chunk):
        yield prepare(Batch(images=torch.from_numpy(images[start : start + chunk]).to(device)))


def validate(
    loss: LossFunction, found: Dataset, chunk: int = CHUNK
) -> Callable[[Nets, torch.Generator], Mapping[str, float]] | None:
    """`Task.validate`: the loss (where it is not None) and its parts, means over the held-out images.

    None where none is held out.
    """
    columns = found.splits.get("validation")
    if columns is None:
        return None

    def function(nets: Nets, rng: torch.Generator) -> dict[str, Any]:
        sums: dict[str, Any] = {}
        for batch in batches(columns["images"], rng.device, chunk):
            total, parts = loss(nets, batch, rng)
            for name, value in {**({} if total is None else {"loss": total}), **parts}.items():
                sums[name] = sums.get(name, 0) + value * len(batch["x"])
        return {name: value / len(columns["images"]) for name, value in sums.items()}

    return function


# --- measuring -----------------------------------------------------------------------------------------------------

MMD_CODES = 5_000  # compared with as many samples of the prior: N² numbers

METRICS = (
    Metric("mse", "lower", "mean over images and pixels of (x - y)², pixels in [0, 1]", margin=0.0002),
    Metric("psnr", "higher", "dB, mean over images", margin=0.1),
    Metric(
        "mmd", "lower", "squared MMD of the codes from N(0, I), inverse multiquadratic kernels", margin=0.002
    ),
    Metric("active_units", "higher", "latents with Var_x E[z|x] > 0.01", margin=1),
    *(
        replace(metric, name=f"{metric.name}_{sampler}", what=f"{metric.what}; samples from {whence}")
        for sampler, whence in (
            ("prior", "N(0, I)"),
            ("mixture", "a Gaussian mixture fitted to the training codes"),
        )
        for metric in _image_quality.METRICS
    ),
)


def needs(settings: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Samples are compared with real images through a classifier's features.

    It is trained on the labels of the same images. Faces have none: a classifier of photographs reads theirs. A folder
    that was named for the faces need not hold photographs, too.
    """
    from epochal.systems.data.catalogue import SOURCES

    chosen = settings.data
    if chosen.images == "64x64x3":
        folder = chosen.dir if SOURCES["cifar10"].find(chosen.dir) else None
        return _image_quality.needs(replace(chosen, source="auto", dir=folder), "cifar10")
    return _image_quality.needs(chosen, WANTED[chosen.images])


def measure(trained: Trained, split: str) -> dict[str, float | str]:
    """Reconstruction, codes, and samples of both samplers against the split's images."""
    from epochal.systems.recipes._classifier import split_of

    found = read(trained.settings)
    images = split_of(found, split)["images"]
    return {**_rebuilt(trained, images), **_sampled(trained, found, split)}


def _rebuilt(trained: Trained, images: Array) -> dict[str, float]:
    import torch

    from epochal.evidence import metrics as m
    from epochal.evidence.metrics import mmd

    nets, device = trained.nets, trained.device
    rng = torch.Generator(device).manual_seed(trained.seed)
    means: list[torch.Tensor] = []
    drawn: list[torch.Tensor] = []

    def pairs() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in batches(images, device):
            mean, _ = encode(nets, batch["x"])
            means.append(mean.cpu())
            drawn.append(codes(nets, batch["x"], rng).cpu())
            yield batch["x"], decode(nets, mean)

    with torch.no_grad():
        rebuilt = m.reconstruction.measure(pairs())
    z = spaced(torch.cat(drawn), MMD_CODES)
    prior = torch.randn(
        z.shape, generator=rng, device=device
    ).cpu()  # after the codes: none of their noise again
    return {
        "mse": rebuilt.mse,
        "psnr": rebuilt.psnr,
        "mmd": mmd.imq(z, prior),
        "active_units": float(
            m.latent.measure((mean, torch.zeros_like(mean)) for mean in means).active_units
        ),
    }


def _sampled(trained: Trained, found: Dataset, split: str) -> dict[str, float | str]:
    """Quality of the samples of either sampler, each measure named after it ("fd_prior"), floors once."""
    import torch

    from epochal.evidence.metrics.image_quality import profile, quality
    from epochal.systems.recipes import _latent_samples as samples

    eye = _image_quality.extractor(trained)
    real, others, what = _image_quality.real_images(found, split)
    looked_at = profile(real, eye)
    measured: dict[str, float | str] = {}
    for name in ("prior", "mixture"):
        rng = torch.Generator(trained.device).manual_seed(trained.seed)
        codes = samples.sampler(name, trained, found, seed=trained.seed)
        drawn = samples.drawn(trained, codes, len(real), rng)
        other_real = others if name == "prior" else None  # the floor is the same for both
        read = quality(looked_at, drawn, eye, other_real=other_real).metrics()
        for key, value in read.items():
            once = isinstance(value, str) or key.endswith("_floor")
            measured.setdefault(key if once else f"{key}_{name}", value)
    measured["measured_on"] = f"{measured['measured_on']} ({what})"
    return measured
