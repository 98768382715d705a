"""Two moons by a NumPy network with its own step: derivatives by hand, momentum, dropout. For `kill_and_resume.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.settings.common import DataSettings, RecipeSettings
from epochal.training.task import Batch, Recipe, Task, Version

if TYPE_CHECKING:
    import numpy as np

    from epochal.training.task import Array, Nets

WIDTH, KEEP, LR, MOMENTUM = 16, 0.9, 0.1, 0.9


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the two moons."""

    epochs: Annotated[int, Interval(1)] = 150
    """Passes over the data."""
    data: DataSettings = field(default_factory=lambda: DataSettings(source="moons"))


class Network:
    """x (B, 2) → tanh(x·W1 + b1), dropout, → p = σ(h·W2 + b2) (B,), trained on the mean cross-entropy."""

    def __init__(self) -> None:
        self.weights: dict[str, Array] = {}
        self.velocity: dict[str, Array] = {}

    def init(self, rng: np.random.Generator) -> None:
        """Normal weights scaled by fan-in, zero biases."""
        import numpy as np

        self.weights = {
            "W1": rng.normal(size=(2, WIDTH)) / np.sqrt(2),
            "b1": np.zeros(WIDTH),
            "W2": rng.normal(size=WIDTH) / np.sqrt(WIDTH),
            "b2": np.zeros(1),
        }
        self.velocity = {name: np.zeros_like(array) for name, array in self.weights.items()}

    def step(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """One step of momentum; returns the batch means of loss and accuracy."""
        import numpy as np

        x, y, w = batch["x"], batch["y"], self.weights
        h = np.tanh(x @ w["W1"] + w["b1"])  # (B, WIDTH)
        mask = (rng.random(h.shape) < KEEP) / KEEP
        logit = (h * mask) @ w["W2"] + w["b2"]  # (B,)
        p = 1 / (1 + np.exp(-logit))
        loss = np.logaddexp(0, logit) - y * logit

        d_logit = (p - y) / len(y)
        d_h = np.outer(d_logit, w["W2"]) * mask * (1 - h**2)
        gradients = {
            "W1": x.T @ d_h,
            "b1": d_h.sum(0),
            "W2": (h * mask).T @ d_logit,
            "b2": d_logit.sum(keepdims=True),
        }
        for name, gradient in gradients.items():
            self.velocity[name] = MOMENTUM * self.velocity[name] - LR * gradient
            w[name] = w[name] + self.velocity[name]
        return {"loss": float(loss.mean()), "accuracy": float(((p > 0.5) == (y > 0.5)).mean())}

    def state(self) -> dict[str, Array]:
        """Weights and velocities."""
        return {**self.weights, **{f"velocity/{name}": array for name, array in self.velocity.items()}}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Puts them back."""
        self.weights = {name: array.copy() for name, array in state.items() if "/" not in name}
        self.velocity = {
            name.removeprefix("velocity/"): array.copy() for name, array in state.items() if "/" in name
        }


def nets(settings: Settings) -> dict[str, Any]:
    """The one network."""
    return {"network": Network()}


def build(settings: Settings, nets: Nets) -> Task:
    """Two half circles, one inside the other."""
    import numpy as np

    rng = np.random.default_rng(1)
    angle, y = rng.uniform(0, np.pi, 1000), rng.integers(0, 2, 1000)
    x = np.where(y[:, None] == 0, np.stack([np.cos(angle), np.sin(angle)], 1), 0)
    x += np.where(y[:, None] == 1, np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1), 0)
    x += rng.normal(0, 0.1, x.shape)
    return Task(
        train={"x": x[: settings.data.limit], "y": y[: settings.data.limit]},
        batch_size=settings.batch_size,
        stepper=nets["network"],
        definition="mean over points of cross-entropy, nats",
        data={"name": "moons", "source": "computed", "drawn": True, "sha256": ""},
    )


RECIPE = Recipe(
    name="numpy-mlp",
    summary="two moons by a NumPy network with derivatives by hand",
    settings=Settings,
    versions=(Version("first", change="the first one"),),
    nets=nets,
    build=build,
    data="computed",
    minutes=0.1,
)
