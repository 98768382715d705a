"""A recipe of your own: an autoencoder that squeezes a digit through a few numbers.

    epochal run ./examples/my_recipe.py
    epochal run ./examples/my_recipe.py few-numbers --epochs 1 --data.limit 256
    epochal compare few-numbers more-numbers

Copy this file, change what is yours, and every verb of Epochal works on it: nothing has to be registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.training.task import Batch, ImageGrid, Metric, Optimiser, Phase, Recipe, Task, Trained, Version

# 1. What can be set. Each field is an option (`--latent 16`); its docstring is the option's help. Epochs, batch size,
#    data source, early stopping and so on come from RecipeSettings.


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the autoencoder."""

    epochs: Annotated[int, Interval(1)] = 5
    """Passes over the training data."""
    latent: Annotated[int, Interval(1, 784)] = 4
    """How many numbers stand for an image."""
    lr: Annotated[float, Interval(0, open_low=True)] = 2e-3
    """Adam's learning rate."""


# 2. The versions that you want to keep, each a patch on its parent. The last one is what `epochal run` trains.

VERSIONS = (
    Version("few-numbers", change="four numbers an image"),
    Version("more-numbers", parent="few-numbers", change="sixteen numbers an image", patch={"latent": 16}),
)


# 3. The networks: plain torch. Torch is imported inside functions, so that `epochal list` need not wait for it.


def nets(settings: Settings) -> dict[str, Any]:
    """Encoder (B, 784) → (B, latent), and decoder back."""
    from torch import nn

    return {
        "encoder": nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, settings.latent)),
        "decoder": nn.Sequential(
            nn.Linear(settings.latent, 256), nn.ReLU(), nn.Linear(256, 784), nn.Sigmoid()
        ),
    }


# 4. The training: which data, and a loss for each phase of a step. The engine does the rest.


def build(settings: Settings, nets: Any) -> Task:
    """Mean squared error of the reconstruction."""
    images, about = digits(settings, "train")
    watched = digits(settings, "test")[0][:1000]

    def loss(nets: Any, batch: Batch, rng: Any) -> Any:
        error = (nets["decoder"](nets["encoder"](batch["x"])) - batch["x"]).square().mean()
        return error, {"reconstruction": error}

    def validate(nets: Any, rng: Any) -> dict[str, float]:
        return {"error": float(reconstruct(nets, watched, rng.device)[1])}

    return Task(
        train={"images": images},
        batch_size=settings.batch_size,
        prepare=lambda batch: Batch(x=batch["images"].flatten(1).float() / 255),
        phases=[
            Phase(
                name="autoencoder",
                trains=("encoder", "decoder"),
                loss=loss,
                optimiser=Optimiser("adam", lr=settings.lr),
                definition="mean over images and pixels of (x - y)²",
            )
        ],
        validate=validate,
        keep_best=Metric("error", "lower", "mean squared error on 1,000 test images"),
        data=about,
    )


def digits(settings: Settings, split: str) -> tuple[Any, dict[str, Any]]:
    """Images (n, 28, 28) uint8, and where they are from."""
    from epochal.systems import data

    found = data.load(settings.data.source, folder=settings.data.dir, limit=settings.data.limit)
    about = {"name": found.name, "source": str(found.origin), "drawn": found.drawn, "sha256": found.sha256}
    return found.splits[split]["images"], about


def reconstruct(nets: Any, images: Any, device: Any) -> tuple[Any, Any]:
    """Images (n, 28, 28) uint8 → reconstructions in [0, 1] of the same shape, and their mean squared error."""
    import torch

    x = torch.from_numpy(images).to(device).flatten(1) / 255
    with torch.no_grad():
        y = nets["decoder"](nets["encoder"](x))
    return y.view(-1, 28, 28), (x - y).square().mean()


# 5. What `epochal evaluate` measures, and what is drawn when a run ends. Both may be left out.


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """The error on test images that did not choose the best epoch."""
    images, _ = digits(trained.settings, split)
    chosen = images[1000:] if split == "test" else images
    return {"error": float(reconstruct(trained.nets, chosen, trained.device)[1])}


def figures(trained: Trained) -> dict[str, ImageGrid]:
    """Ten test images above their reconstructions."""
    import numpy as np

    images = digits(trained.settings, "test")[0][:10]
    rebuilt = (reconstruct(trained.nets, images, trained.device)[0] * 255).round().byte().cpu().numpy()
    title = f"Digits through {trained.settings.latent} numbers"
    return {"reconstructions": ImageGrid(np.stack([images, rebuilt]), title, rows=("image", "rebuilt"))}


RECIPE = Recipe(
    name="autoencoder",
    summary="an autoencoder: a digit through a few numbers and back",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=(Metric("error", "lower", "mean squared error on test images", margin=1e-4),),
    evaluate=evaluate,
    figures=figures,
    data="MNIST; drawn glyphs offline",
    minutes=1.0,
)
