"""A recipe whose networks stack: lines fitted by momentum, alone or many on an array axis. For tests of fleets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import RecipeSettings
from epochal.training.task import Batch, Curves, Member, Metric, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from epochal.training.task import Array, Nets

ITEMS = 10


@dataclass(frozen=True)
class Optim:
    """Momentum."""

    lr: Annotated[float, Interval(0)] = 0.05
    """Learning rate."""
    momentum: Annotated[float, Interval(0, 1)] = 0.5
    """Share of the last step that the next one keeps."""
    decay: Annotated[float, Interval(0)] = 0.0
    """Weight of w² in the loss."""


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the lines."""

    epochs: Annotated[int, Interval(1)] = 4
    """Passes over the data."""
    batch_size: Annotated[int, Interval(1)] = 4
    """Items a step."""
    shuffle: bool = True
    """Whether each pass has its own order."""
    repeat: Annotated[int, Interval(1)] = 2
    """Passes an epoch."""
    noise: Annotated[float, Interval(0)] = 0.01
    """Standard deviation of the noise on x."""
    watch: bool = True
    """Whether to validate."""
    optim: Optim = field(default_factory=Optim)


class Line:
    """ŷ = w·x + b, on the mean of (ŷ - y)² + decay·w²."""

    def __init__(self, settings: Settings) -> None:
        import numpy as np

        self.settings = settings
        self.weights, self.velocity = np.zeros(2), np.zeros(2)

    def init(self, rng: np.random.Generator) -> None:
        """Normal weights."""
        self.weights = rng.normal(size=2)

    def step(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """One step of momentum; the values are those before it."""
        import numpy as np

        optim = self.settings.optim
        x = batch["x"] + self.settings.noise * rng.normal(size=batch["x"].shape)
        error = self.weights[0] * x + self.weights[1] - batch["y"]
        fit = (error**2).mean()
        slope = 2 * (error * x).mean() + 2 * optim.decay * self.weights[0]
        gradient = np.array([slope, 2 * error.mean()])
        self.velocity = optim.momentum * self.velocity - optim.lr * gradient
        loss = fit + optim.decay * self.weights[0] ** 2
        self.weights = self.weights + self.velocity
        return {"loss": float(loss), "fit": float(fit)}

    def state(self) -> dict[str, Array]:
        """Weights and velocity."""
        return {"weights": self.weights, "velocity": self.velocity}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts them back."""
        import numpy as np

        self.weights, self.velocity = np.array(state["weights"]), np.array(state["velocity"])


class Lines:
    """The same arithmetic, member by member, with the members as the first axis."""

    def __init__(self, settings: Sequence[Settings], seeds: Sequence[int]) -> None:
        import numpy as np

        self.noise = settings[0].noise
        self.seeds = np.array(seeds)
        self.lr, self.momentum, self.decay = (
            np.array([getattr(one.optim, name) for one in settings]) for name in ("lr", "momentum", "decay")
        )
        self.weights, self.velocity = np.zeros((len(seeds), 2)), np.zeros((len(seeds), 2))

    def init(self, rngs: Sequence[np.random.Generator]) -> None:
        """One draw a seed."""
        import numpy as np

        self.weights = np.stack([rng.normal(size=2) for rng in rngs])[self.seeds]

    def step(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> dict[str, Array]:
        """One step of momentum of every member; only seeds that still train draw noise."""
        import numpy as np

        x = np.array(batch["x"])
        for seed in np.unique(self.seeds):
            x[seed] += self.noise * rngs[seed].normal(size=x.shape[1:])
        x, y = x[self.seeds], batch["y"][self.seeds]  # (members, batch)
        error = self.weights[:, :1] * x + self.weights[:, 1:] - y
        fit = (error**2).mean(axis=1)
        slope = 2 * (error * x).mean(axis=1) + 2 * self.decay * self.weights[:, 0]
        gradient = np.stack([slope, 2 * error.mean(axis=1)], axis=1)
        self.velocity = self.momentum[:, None] * self.velocity - self.lr[:, None] * gradient
        loss = fit + self.decay * self.weights[:, 0] ** 2
        self.weights = self.weights + self.velocity
        return {"loss": loss, "fit": fit}

    def state(self) -> dict[str, Array]:
        """Weights and velocities (members, 2)."""
        return {"weights": self.weights, "velocity": self.velocity}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts them back."""
        import numpy as np

        self.weights, self.velocity = np.array(state["weights"]), np.array(state["velocity"])

    def keep(self, chosen: Array) -> None:
        """Goes on with these members."""
        for name in ("seeds", "lr", "momentum", "decay", "weights", "velocity"):
            setattr(self, name, getattr(self, name)[chosen])


def nets(settings: Settings) -> dict[str, Any]:
    """One line."""
    return {"line": Line(settings)}


def build(settings: Settings, nets: Nets) -> Task:
    """Points on y = 2x + 1."""
    import numpy as np

    x = np.linspace(-1, 1, ITEMS)[: settings.data.limit]

    def validate(nets: Nets, rng: np.random.Generator) -> dict[str, float]:
        slope = nets["line"].weights[0]
        return {"slope_error": abs(float(slope) - 2), "drawn": float(rng.normal())}

    return Task(
        train={"x": x, "y": 2 * x + 1},
        batch_size=settings.batch_size,
        stepper=nets["line"],
        shuffle=settings.shuffle,
        repeat=settings.repeat,
        definition=f"mean (ŷ - y)² + {settings.optim.decay:g}·w²",
        validate=validate if settings.watch else None,
        keep_best=Metric("slope_error", "lower", "distance of the slope from 2"),
        data={"name": "line", "source": "computed", "drawn": True, "sha256": ""},
    )


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """How far the slope is off."""
    return {"slope_error": abs(float(trained.nets["line"].weights[0]) - 2)}


def fleet_figures(members: Sequence[Member]) -> dict[str, Curves]:
    """Steps of every member over its learning rate."""
    points = ([one.settings.optim.lr for one in members], [float(one.steps) for one in members])
    return {
        "steps": Curves(
            {"members": points}, "Steps by learning rate", "learning rate", "steps", dots=["members"]
        )
    }


RECIPE = Recipe(
    name="lines",
    summary="learns y = 2x + 1, many at once",
    settings=Settings,
    versions=(
        Version("plain", change="the first one"),
        Version("fast", change="a larger rate", parent="plain", patch={"optim.lr": 0.1}),
    ),
    nets=nets,
    build=build,
    metrics=(Metric("slope_error", "lower", "distance of the slope from 2"),),
    evaluate=evaluate,
    stack=Lines,
    stackable=("optim.lr", "optim.momentum", "optim.decay"),
    fleet_figures=fleet_figures,
    data="computed",
    minutes=0.01,
)
