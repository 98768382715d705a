"""wae: a Wasserstein autoencoder: a deterministic encoder whose codes, all together, are pulled to N(0, I).

Tolstikhin, Bousquet, Gelly & Schölkopf, "Wasserstein Auto-Encoders", 2018. By a kernel distance (WAE-MMD), or by an
adversary that tells codes from samples of the prior (WAE-GAN), in two phases of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.systems.recipes import _autoencoders as shared
from epochal.systems.recipes import _latent_samples as samples
from epochal.training.task import Batch, ImageGrid, Phase, Recipe, Task, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.training.task import Nets


@dataclass(frozen=True)
class Loss:
    """Squared error, summed over pixels, mean over images, plus what pulls the codes to the prior."""

    regulariser: Literal["mmd", "gan"] = "mmd"
    """A kernel distance of the codes from samples of the prior, or a discriminator of the two."""
    weight: Annotated[float, Interval(0)] = 200.0
    """λ of that term. The authors' program weighs it 10 (MNIST) beside 0.05 times the squared error: 200 here."""


@dataclass(frozen=True)
class Discriminator:
    """The adversary of `--loss.regulariser gan`."""

    hidden: Annotated[int, Interval(1, 8192)] = 256
    """Units of each of its three hidden layers."""
    lr: Annotated[float, Interval(0, open_low=True)] = 1e-4
    """Learning rate of its Adam at the first step; it falls like the autoencoder's."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 25
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 100
    """Items a step; the kernel distance sees no more codes than these at a time."""
    data: shared.Data = field(default_factory=shared.Data)
    net: shared.Net = field(default_factory=shared.Net)
    loss: Loss = field(default_factory=Loss)
    optim: shared.Optim = field(default_factory=shared.Optim)
    discriminator: Discriminator = field(default_factory=Discriminator)


VERSIONS = (
    Version("mlp", change="kernel distance; one hidden layer of 400 units on either side of 16 latents"),
    Version(
        "gan",
        parent="mlp",
        change="an adversary on the codes, with λ = 3, instead of the kernel distance",
        patch={"loss.regulariser": "gan", "loss.weight": 3.0},
    ),
    Version(
        "cifar10",
        parent="mlp",
        change="convolutions and 128 latents, on photographs of 32x32",
        patch={"data.images": "32x32x3", "net.architecture": "conv", "net.latent": 128},
    ),
    Version(
        "faces",
        parent="cifar10",
        change="64 latents and λ = 2,000 as the authors have it for faces of 64x64; there are few: many epochs",
        patch={
            "data.images": "64x64x3",
            "data.hold_out": 200,
            "net.latent": 64,
            "loss.weight": 2000.0,
            "epochs": 200,
        },
    ),
    Version(
        "conv",
        parent="mlp",
        change="convolutions of stride 2 instead of one dense layer",
        patch={"net.architecture": "conv"},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """Encoder, decoder, and the discriminator where there is an adversary."""
    from epochal.systems.nets.autoencoders import Decoder, Encoder, LatentDiscriminator

    sizes = shared.sizes(settings)
    found: dict[str, Any] = {"encoder": Encoder(sizes), "decoder": Decoder(sizes)}
    if settings.loss.regulariser == "gan":
        found["discriminator"] = LatentDiscriminator(settings.net.latent, settings.discriminator.hidden)
    return found


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train: one phase with the kernel, two with the adversary."""
    from epochal.systems.losses import gan, vae, wae

    found = shared.read(settings)
    train = found.splits["train"]
    weight = settings.loss.weight

    def prior_like(z: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return z.new_empty(z.shape).normal_(generator=rng)

    def with_kernel(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        z = nets["encoder"](batch["x"])
        parts = {
            "reconstruction": vae.squared_error(batch["x"], shared.decode(nets, z)).mean(),
            "mmd": wae.mmd(z, prior_like(z, rng)),
        }
        return parts["reconstruction"] + weight * parts["mmd"], parts

    def with_adversary(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        z = nets["encoder"](batch["x"])
        batch["z"] = z.detach()  # the discriminator's phase reads the same codes
        parts = {
            "reconstruction": vae.squared_error(batch["x"], shared.decode(nets, z)).mean(),
            "adversary": gan.generator_loss(nets["discriminator"](z)),
        }
        return parts["reconstruction"] + weight * parts["adversary"], parts

    def discriminator(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        on_prior = nets["discriminator"](prior_like(batch["z"], rng))
        on_codes = nets["discriminator"](batch["z"])
        prior_right, codes_right = gan.accuracies(on_prior, on_codes, threshold=0.0)
        right = {"prior_accuracy": prior_right, "code_accuracy": codes_right}
        return gan.discriminator_loss(on_prior, on_codes), right

    def watch(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        """The loss with the kernel; only its parts beside an adversary, whose own loss says nothing on its own."""
        loss, parts = with_kernel(nets, batch, rng)
        return (loss if settings.loss.regulariser == "mmd" else None), parts

    def sample(nets: Nets, rng: torch.Generator) -> ImageGrid:
        return samples.prior_samples(nets, settings.net.latent, rng)

    adversarial = settings.loss.regulariser == "gan"
    phases = [
        Phase(
            name="autoencoder",
            trains=("encoder", "decoder"),
            loss=with_adversary if adversarial else with_kernel,
            optimiser=shared.optimiser(settings, len(train["images"])),
            definition=definition(settings),
        )
    ]
    if adversarial:
        phases.append(
            Phase(
                name="discriminator",
                trains=("discriminator",),
                loss=discriminator,
                optimiser=shared.optimiser(settings, len(train["images"]), lr=settings.discriminator.lr),
                definition="mean over the batch of softplus(-D(p)) + softplus(D(z)), p ~ N(0, I)",
            )
        )
    return Task(
        train={"images": train["images"]},
        batch_size=settings.batch_size,
        prepare=shared.prepare,
        phases=phases,
        validate=shared.validate(watch, found),
        sample=sample,
        data=shared.about(found, settings),
    )


def definition(settings: Settings) -> str:
    """The autoencoder's loss as a formula; runs whose formulas differ are not compared by loss."""
    pull = {"mmd": "MMD²(z, N(0, I)) of the batch", "gan": "mean over images of softplus(-D(z))"}
    return (
        f"mean over images of Σ_pixels (x - y)² + {settings.loss.weight:g}·{pull[settings.loss.regulariser]}"
    )


RECIPE = Recipe(
    name="wae",
    summary="Wasserstein autoencoder: all codes together pulled to the prior, by a kernel or an adversary",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=shared.METRICS,
    evaluate=shared.measure,
    needs=shared.needs,
    generate=samples.generate,
    request=samples.Request,
    figures=samples.figures,
    data="MNIST, CIFAR-10 or faces; drawn glyphs offline",
    sources=("mnist", "cifar10", "faces-sfhq"),
    minutes=8.0,
)
