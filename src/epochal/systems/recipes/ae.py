"""ae: an autoencoder, trained to rebuild images and nothing else; images are drawn from a mixture on its codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.systems.recipes import _autoencoders as shared
from epochal.systems.recipes import _latent_samples as samples
from epochal.training.task import Batch, ImageGrid, Metric, Phase, Recipe, Task, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.training.task import Nets


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 25
    """Passes over the training data in total, those before a resume included."""
    batch_size: Annotated[int, Interval(1)] = 100
    """Items a step."""
    data: shared.Data = field(default_factory=shared.Data)
    net: shared.Net = field(default_factory=shared.Net)
    optim: shared.Optim = field(default_factory=shared.Optim)


VERSIONS = (
    Version("mlp", change="one hidden layer of 400 units on either side of 16 latents"),
    Version(
        "cifar10",
        parent="mlp",
        change="convolutions and 128 latents, on photographs of 32x32",
        patch={"data.images": "32x32x3", "net.architecture": "conv", "net.latent": 128},
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
    """Encoder and decoder."""
    from epochal.systems.nets.autoencoders import Decoder, Encoder

    sizes = shared.sizes(settings)
    return {"encoder": Encoder(sizes), "decoder": Decoder(sizes)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the images and says how to train."""
    from epochal.systems.losses import vae

    found = shared.read(settings)
    train = found.splits["train"]

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        y = shared.decode(nets, nets["encoder"](batch["x"]))
        return vae.squared_error(batch["x"], y).mean(), {}

    def sample(nets: Nets, rng: torch.Generator) -> ImageGrid:
        return samples.prior_samples(nets, settings.net.latent, rng)

    return Task(
        train={"images": train["images"]},
        batch_size=settings.batch_size,
        prepare=shared.prepare,
        phases=[
            Phase(
                name="autoencoder",
                trains=("encoder", "decoder"),
                loss=loss,
                optimiser=shared.optimiser(settings, len(train["images"])),
                definition="mean over images of Σ_pixels (x - y)²",
            )
        ],
        validate=shared.validate(loss, found),
        keep_best=Metric("loss", "lower", "squared error of the held-out images"),
        sample=sample,
        data=shared.about(found, settings),
    )


RECIPE = Recipe(
    name="ae",
    summary="autoencoder: images through a narrow code and back; new ones from a Gaussian mixture on the codes",
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
