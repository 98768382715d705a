"""vae: a variational autoencoder: a distribution of codes for every image, and a prior to draw new ones from.

Kingma & Welling, "Auto-Encoding Variational Bayes", 2013; weight β: Higgins et al., "β-VAE", 2017; several importance
samples in the bound: Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.systems.recipes import _autoencoders as shared
from epochal.systems.recipes import _latent_samples as samples
from epochal.training.task import Batch, ImageGrid, Metric, Phase, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from epochal.training.task import Array, Nets


@dataclass(frozen=True)
class Loss:
    """The bound on -log p(x): sums over pixels and latents, mean over images, nats."""

    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    """p(x|z) of a pixel: Bernoulli with the probability y, or normal around y."""
    variance: Annotated[float, Interval(0, open_low=True)] = 0.5
    """Of the Gaussian likelihood, for pixels in [0, 1]; 0.5 leaves Σ (x - y)² and a constant."""
    beta: Annotated[float, Interval(0)] = 1.0
    """Weight of the KL divergence from the prior; 1 is the evidence lower bound."""
    importance_samples: Annotated[int, Interval(1)] = 1
    """Samples K of each image's code in the training bound; above 1 that of the importance weighted autoencoder."""

    def __post_init__(self) -> None:
        if self.importance_samples > 1 and self.beta != 1:
            raise ValueError(
                f"beta = {self.beta:g} with importance_samples = {self.importance_samples} is not allowed: "
                "a bound of several samples has no KL term to weigh. Set one of them to 1."
            )


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 25
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 100
    """Items a step."""
    data: shared.Data = field(default_factory=shared.Data)
    net: shared.Net = field(default_factory=shared.Net)
    loss: Loss = field(default_factory=Loss)
    optim: shared.Optim = field(default_factory=shared.Optim)


VERSIONS = (
    Version("mlp", change="one hidden layer of 400 units on either side of 16 latents"),
    Version(
        "binarised",
        parent="mlp",
        change="40 latents and GELU on digits binarised once, trained long: the likelihood that papers report",
        patch={
            "data.binarise": True,
            "data.hold_out": 1000,
            "net.latent": 40,
            "net.activation": "gelu",
            "optim.lr": 2e-3,
            "epochs": 300,
        },
        reported={"nll": 89.9},
        source="Rezende & Mohamed 2015, diagonal covariance; 200 importance samples",
    ),
    Version(
        "iwae",
        parent="binarised",
        change="a bound of 50 importance samples instead of one; half the rate, 50 epochs",
        patch={"loss.importance_samples": 50, "optim.lr": 1e-3, "epochs": 50},
        reported={"nll": 87.1},
        source="Burda et al. 2016, 5,000 importance samples",
    ),
    Version(
        "binarised-conv",
        parent="binarised",
        change="convolutions of stride 2 instead of one dense layer; half the rate, 60 epochs",
        patch={"net.architecture": "conv", "optim.lr": 1e-3, "epochs": 60},
    ),
    Version(
        "cifar10",
        parent="mlp",
        change="convolutions, 128 latents and a Gaussian likelihood, on photographs of 32x32",
        patch={
            "data.images": "32x32x3",
            "net.architecture": "conv",
            "net.latent": 128,
            "loss.likelihood": "gaussian",
            "loss.variance": 0.02,
        },
    ),
    Version(
        "faces",
        parent="cifar10",
        change="64 latents, on faces of 64x64, of which there are few: many epochs",
        patch={"data.images": "64x64x3", "data.hold_out": 200, "net.latent": 64, "epochs": 200},
    ),
    Version(
        "conv",
        parent="mlp",
        change="convolutions of stride 2 instead of one dense layer",
        patch={"net.architecture": "conv"},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """Encoder, which gives a distribution, and decoder."""
    from epochal.systems.nets.autoencoders import Decoder, GaussianEncoder

    sizes = shared.sizes(settings)
    return {"encoder": GaussianEncoder(sizes), "decoder": Decoder(sizes)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train."""
    from epochal.systems.losses import vae

    found = shared.read(settings)
    train = found.splits["train"]
    several, beta = settings.loss.importance_samples, settings.loss.beta

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        mean, log_variance = nets["encoder"](batch["x"])
        if several > 1:
            likelihoods, ratios = log_densities(
                settings, nets, batch["x"], (mean, log_variance), several, rng
            )
            bound = vae.importance_bound(likelihoods + ratios).mean()
            return -bound, {"distortion": -likelihoods.mean(), "kl": -ratios.mean()}
        logits = nets["decoder"](vae.sample(mean, log_variance, rng))
        parts = {
            "distortion": nll_of_pixels(settings, batch["x"], logits).mean(),
            "kl": vae.gaussian_kl(mean, log_variance).mean(),
        }
        return parts["distortion"] + beta * parts["kl"], parts

    def sample(nets: Nets, rng: torch.Generator) -> ImageGrid:
        return samples.prior_samples(nets, settings.net.latent, rng)

    return Task(
        train={"images": train["images"]},
        batch_size=settings.batch_size,
        prepare=shared.prepare,
        phases=[
            Phase(
                name="vae",
                trains=("encoder", "decoder"),
                loss=loss,
                optimiser=shared.optimiser(settings, len(train["images"])),
                definition=definition(settings),
            )
        ],
        validate=shared.validate(loss, found, chunk=max(1, shared.CHUNK // several)),
        keep_best=Metric("loss", "lower", "the training bound on the held-out images, nats"),
        sample=sample,
        data=shared.about(found, settings),
    )


def definition(settings: Settings) -> str:
    """The loss as a formula; runs whose formulas differ are not compared by loss."""
    loss = settings.loss
    likelihood = (
        "-log Bernoulli(x; y)" if loss.likelihood == "bernoulli" else f"-log N(x; y, {loss.variance:g}·I)"
    )
    if loss.importance_samples > 1:
        k = loss.importance_samples
        return f"mean over images of -log(Σ_k w_k / {k}), -log w = Σ_pixels {likelihood} + log q(z|x) - log p(z), nats"
    weight = "" if loss.beta == 1 else f"{loss.beta:g}·"
    return f"mean over images of Σ_pixels {likelihood} + {weight}KL(q(z|x) ‖ N(0, I)), nats"


def nll_of_pixels(settings: Settings, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """-log p(x|z) of images (B, C, H, W) under the decoder's logits: (B,) nats, summed over pixels."""
    from epochal.systems.losses import vae

    if settings.loss.likelihood == "bernoulli":
        return vae.bernoulli_nll(x, logits)
    return vae.gaussian_nll(x, logits.sigmoid(), settings.loss.variance)


def log_densities(
    settings: Settings,
    nets: Nets,
    x: torch.Tensor,
    posterior: tuple[torch.Tensor, torch.Tensor],
    several: int,
    rng: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """log p(x|z) and log p(z) - log q(z|x) at several z ~ q(z|x) of every image, each (several, B) nats."""
    from epochal.systems.losses import vae

    mean, log_variance = (part.expand(several, *part.shape) for part in posterior)
    z = vae.sample(mean, log_variance, rng)  # (several, B, latent)
    logits = nets["decoder"](z.flatten(0, 1))
    likelihoods = -nll_of_pixels(settings, x.repeat(several, 1, 1, 1), logits)
    return likelihoods.view(several, len(x)), vae.log_ratio(z, mean, log_variance)


# --- measuring -----------------------------------------------------------------------------------------------------

IMPORTANCE_SAMPLES = 200  # of each image, for its likelihood
AT_ONCE = 5000  # images times samples in one pass of the decoder: 16 MB of 28x28 pixels

METRICS = (
    Metric("kl", "lower", "KL(q(z|x) ‖ N(0, I)), nats, mean over images", margin=0.1),
    Metric(
        "nll",
        "lower",
        f"-log p(x), nats, mean over images: {IMPORTANCE_SAMPLES} importance samples (binarised data)",
        margin=0.2,
    ),
    *shared.METRICS,
)


def evaluate(trained: Trained, split: str) -> dict[str, float | str]:
    """What is measured of every autoencoder, KL, and the likelihood where pixels are 0 or 1."""
    from epochal.evidence.metrics import latent
    from epochal.systems.recipes._classifier import split_of

    measured = shared.measure(trained, split)
    images = split_of(shared.read(trained.settings), split)["images"]
    measured["kl"] = latent.measure(_posteriors(trained, images)).kl
    if trained.settings.data.binarise and trained.settings.loss.likelihood == "bernoulli":
        measured |= likelihood(trained, images, IMPORTANCE_SAMPLES)
    return measured


def likelihood(trained: Trained, images: Array, several: int) -> dict[str, float]:
    """-log p(x) of images by importance sampling, its standard error, and the evidence lower bound, nats."""
    import torch

    from epochal.evidence.metrics import likelihood as metric

    rng = torch.Generator(trained.device).manual_seed(trained.seed)
    images_at_once = 100
    samples_at_once = AT_ONCE // images_at_once

    def weights(x: torch.Tensor) -> Iterator[torch.Tensor]:
        with torch.no_grad():
            posterior = trained.nets["encoder"](x)
            for start in range(0, several, samples_at_once):
                k = min(samples_at_once, several - start)
                seen, ratios = log_densities(trained.settings, trained.nets, x, posterior, k, rng)
                yield seen + ratios

    found = metric.measure(
        weights(batch["x"]) for batch in shared.batches(images, trained.device, images_at_once)
    )
    return {"nll": found.nll, "nll_standard_error": found.standard_error, "elbo": found.elbo}


def _posteriors(trained: Trained, images: Array) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    for batch in shared.batches(images, trained.device):
        with torch.no_grad():
            yield trained.nets["encoder"](batch["x"])


RECIPE = Recipe(
    name="vae",
    summary="variational autoencoder: a distribution of codes for every image, new ones from the prior",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=METRICS,
    evaluate=evaluate,
    needs=shared.needs,
    generate=samples.generate,
    request=samples.Request,
    figures=samples.figures,
    data="MNIST, CIFAR-10 or faces; drawn glyphs offline",
    sources=("mnist", "cifar10", "faces-sfhq"),
    minutes=8.0,
)
