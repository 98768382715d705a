"""A GAN that learns a ring of points: two phases with two optimisers, in a second or two. For `kill_and_resume.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import DataSettings, RecipeSettings
from epochal.training.task import Batch, Metric, Optimiser, Phase, Recipe, Task, Version

if TYPE_CHECKING:
    import torch

    from epochal.training.task import Nets

NOISE = 4


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the ring."""

    epochs: Annotated[int, Interval(1)] = 80
    """Passes over the data."""
    data: DataSettings = field(default_factory=lambda: DataSettings(source="ring"))


def nets(settings: Settings) -> dict[str, Any]:
    """Generator (B, 4) → (B, 2), and discriminator (B, 2) → (B, 1) with dropout."""
    from torch import nn

    return {
        "generator": nn.Sequential(nn.Linear(NOISE, 32), nn.ReLU(), nn.Linear(32, 2)),
        "discriminator": nn.Sequential(
            nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1)
        ),
    }


def build(settings: Settings, nets: Nets) -> Task:
    """Points on the unit circle, and the losses of Goodfellow et al. 2014 (the generator's not saturating)."""
    import numpy as np
    import torch
    from torch.nn.functional import softplus

    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)[: settings.data.limit]
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def fake(nets: Nets, count: int, rng: torch.Generator) -> torch.Tensor:
        drawn: torch.Tensor = nets["generator"](torch.randn(count, NOISE, generator=rng, device=rng.device))
        return drawn

    def discriminate(
        nets: Nets, batch: Batch, rng: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        real = softplus(-nets["discriminator"](batch["x"])).mean()
        drawn = softplus(nets["discriminator"](fake(nets, len(batch["x"]), rng))).mean()
        return real + drawn, {"real": real, "fake": drawn}

    def generate(
        nets: Nets, batch: Batch, rng: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return softplus(-nets["discriminator"](fake(nets, len(batch["x"]), rng))).mean(), {}

    def validate(nets: Nets, rng: torch.Generator) -> dict[str, float]:
        return {"off_ring": float((fake(nets, 500, rng).norm(dim=1) - 1).abs().mean())}

    return Task(
        train={"x": ring},
        batch_size=settings.batch_size,
        phases=(
            Phase(
                "discriminator",
                ("discriminator",),
                discriminate,
                Optimiser("adam", lr=2e-3, betas=(0.5, 0.9)),
                "mean -log D(x) - log(1 - D(G(z)))",
            ),
            Phase(
                "generator",
                ("generator",),
                generate,
                Optimiser("sgd", lr=0.05, momentum=0.5),
                "mean -log D(G(z))",
            ),
        ),
        validate=validate,
        keep_best=Metric("off_ring", "lower", "mean distance of drawn points from the ring"),
        data={"name": "ring", "source": "computed", "drawn": True, "sha256": ""},
    )


RECIPE = Recipe(
    name="ring-gan",
    summary="a GAN on a ring of points",
    settings=Settings,
    versions=(Version("first", change="the first one"),),
    nets=nets,
    build=build,
    data="computed",
    minutes=0.1,
)
