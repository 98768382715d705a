"""Three tiny recipes, one for each shape of the contract: one phase, two phases with two optimisers, one NumPy step.

Each hands a `Probe` to its task, by which a test looks at a step or breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epochal.journal import Lab, Run
from epochal.settings import to_dict
from epochal.settings.common import RecipeSettings
from epochal.training import checkpoint, engine, precision
from epochal.training.learner import Choices
from epochal.training.task import Average, Batch, Metric, Optimiser, Phase, Recipe, Task, Version

ITEMS = 50  # not a multiple of the batch size: the last batch of an epoch is smaller
BATCH = 8
STEPS = 7  # an epoch


@dataclass(frozen=True)
class Settings(RecipeSettings):
    """Settings of the tiny recipes."""

    epochs: int = 3
    batch_size: int = BATCH
    lr: float = 0.01
    l2: float = 0.0
    drop: float = 0.25


@dataclass
class Probe:
    """What a test may look at or change; `at(step, batch)` is called by the loss of every step, counted from 1."""

    at: Callable[[int, Batch], None] = lambda step, batch: None
    factor: Callable[[int], float] = lambda step: 1.0
    validate: Callable[[Any], Mapping[str, float]] | None = None
    schedule: Callable[[int, int], float] | None = None
    shuffle: bool = True
    repeat: int = 1
    log_every: int | None = None
    optimiser: str = "adam"
    terms: Callable[[int], Mapping[str, float]] | None = None
    meant: Callable[[int], Mapping[str, float]] | None = None
    data: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda columns: columns
    step: int = 0

    def look(self, batch: Batch) -> float:
        """Counts a step, lets the test act, and gives the factor on its loss."""
        self.step += 1
        self.at(self.step, batch)
        return self.factor(self.step)


def columns() -> dict[str, np.ndarray]:
    """Noisy images of two classes, as stored: uint8 (50, 1, 6, 6) and labels."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, ITEMS)
    images = rng.integers(0, 120, (ITEMS, 1, 6, 6)) + 100 * labels[:, None, None, None]
    return {"images": images.astype(np.uint8), "labels": labels}


class Classifier(nn.Module):
    """Every layer that has a fast version, and a norm, which keeps float32 weights and has buffers."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.drop = nn.Dropout(drop)
        self.dense = nn.Linear(3 * 36, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 6, 6) → (B,)."""
        h = self.drop(torch.relu(self.up(torch.relu(self.norm(self.conv(x))))))
        return self.dense(h.flatten(1))[:, 0]


def one_phase(probe: Probe) -> Recipe:
    """A classifier with dropout, noise in its loss, and two loss parts."""

    def build(settings: Settings, nets: Any) -> Task:
        def prepare(batch: Batch) -> Batch:
            return Batch(x=batch["images"].float() / 255, y=batch["labels"].float())

        def loss(nets: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            x = batch["x"] + 0.05 * torch.randn(batch["x"].shape, generator=rng)
            out = nets["net"](x)
            fit = nn.functional.binary_cross_entropy_with_logits(out, batch["y"])
            size = 0.01 * out.square().mean()
            factor = probe.look(batch)
            return (fit + size) * factor, {"fit": fit * factor, "size": size * factor}

        def validate(nets: Any, rng: torch.Generator) -> dict[str, float]:
            if probe.validate is not None:
                return dict(probe.validate(nets))
            every = prepare(Batch({k: torch.as_tensor(v) for k, v in columns().items()}))
            out = nets["net"](every["x"])
            return {"accuracy": float(((out > 0) == (every["y"] > 0)).float().mean())}

        return Task(
            train={k: v[: settings.data.limit] for k, v in probe.data(columns()).items()},
            batch_size=settings.batch_size,
            prepare=prepare,
            phases=[
                Phase(
                    "fit",
                    ("net",),
                    loss,
                    Optimiser(probe.optimiser, lr=settings.lr, momentum=0.9, schedule=probe.schedule),  # type: ignore[arg-type]
                    "mean cross-entropy + 0.01·mean out²",
                    l2=settings.l2,
                    terms=probe.terms,
                    meant=probe.meant,
                )
            ],
            shuffle=probe.shuffle,
            repeat=probe.repeat,
            validate=validate,
            keep_best=Metric("accuracy", "higher", "share of right answers"),
        )

    return _recipe("one-phase", lambda settings: {"net": Classifier(settings.drop)}, build)


def two_phases(probe: Probe) -> Recipe:
    """A GAN on points of a ring: the generator rests while the discriminator learns, and the other way round.

    A third net holds the average of the generator's weights.
    """

    def build(settings: Settings, nets: Any) -> Task:
        angles = np.random.default_rng(6).uniform(0, 2 * np.pi, ITEMS)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
        bce = nn.functional.binary_cross_entropy_with_logits

        def fake(nets: Any, batch: Batch, rng: torch.Generator) -> Tensor:
            return nets["generator"](torch.randn(len(batch["x"]), 3, generator=rng))

        def discriminate(nets: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            factor = probe.look(batch)
            batch["frozen"] = all(not p.requires_grad for p in nets["generator"].parameters())
            real, drawn = nets["discriminator"](batch["x"]), nets["discriminator"](fake(nets, batch, rng))
            on_real, on_fake = bce(real, torch.ones_like(real)), bce(drawn, torch.zeros_like(drawn))
            return (on_real + on_fake) * factor, {"real": on_real * factor, "fake": on_fake * factor}

        def generate(nets: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            assert batch["frozen"], "the generator must rest while the discriminator learns"
            assert all(not p.requires_grad for p in nets["discriminator"].parameters())
            drawn = nets["discriminator"](fake(nets, batch, rng))
            return bce(drawn, torch.ones_like(drawn)), {}

        adam = Optimiser("adam", lr=settings.lr, betas=(0.5, 0.9))
        return Task(
            train={"x": ring[: settings.data.limit]},
            batch_size=settings.batch_size,
            prepare=Batch,
            phases=[
                Phase(
                    "discriminator", ("discriminator",), discriminate, adam, "-log D(x) - log(1 - D(G(z)))"
                ),
                Phase(
                    "generator",
                    ("generator",),
                    generate,
                    Optimiser("sgd", lr=0.05, momentum=0.9),
                    "-log D(G(z))",
                ),
            ],
            averages=[Average("generator", "average", decay=0.9)],
        )

    def nets(settings: Settings) -> dict[str, nn.Module]:
        def net(wide: int, out: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(wide, 16), nn.LeakyReLU(0.2), nn.Linear(16, out))

        return {"generator": net(3, 2), "discriminator": net(2, 1), "average": net(3, 2)}

    return _recipe("two-phases", nets, build)


class Line:
    """y = a·x + b by hand: momentum, its own derivative, and noise on x from the engine's stream."""

    def __init__(self, probe: Probe, lr: float) -> None:
        self.probe, self.lr = probe, lr
        self.w, self.v = np.zeros(2), np.zeros(2)

    def init(self, rng: np.random.Generator) -> None:
        """Draws the weights."""
        self.w = rng.normal(size=2)

    def step(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """One step of momentum on the mean squared error."""
        factor = self.probe.look(batch)
        x = batch["x"] + 0.01 * rng.normal(size=batch["x"].shape)
        error = self.w[0] * x + self.w[1] - batch["y"]
        self.v = 0.9 * self.v - self.lr * 2 * np.array([(error * x).mean(), error.mean()]) * factor
        self.w = self.w + self.v
        return {"loss": float((error**2).mean()) * factor}

    def state(self) -> dict[str, np.ndarray]:
        """Weights and velocity."""
        return {"w": self.w, "v": self.v}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Puts them back."""
        self.w, self.v = np.array(state["w"]), np.array(state["v"])


def numpy_step(probe: Probe) -> Recipe:
    """A network that does its own step."""

    def build(settings: Settings, nets: Any) -> Task:
        x = np.linspace(-1, 1, ITEMS)[: settings.data.limit]
        return Task(
            train=probe.data({"x": x, "y": 2 * x + 1}),
            batch_size=settings.batch_size,
            prepare=Batch,
            stepper=nets["line"],
            shuffle=probe.shuffle,
            repeat=probe.repeat,
            log_every=probe.log_every,
            validate=None if probe.validate is None else lambda nets, rng: probe.validate(nets),  # type: ignore[misc]
        )

    return _recipe("numpy-step", lambda settings: {"line": Line(probe, settings.lr)}, build)


def _recipe(name: str, nets: Callable[[Any], dict[str, Any]], build: Callable[..., Task]) -> Recipe:
    return Recipe(name, "tiny", Settings, (Version("v", change="first"),), nets=nets, build=build)


SHAPES = {"one-phase": one_phase, "two-phases": two_phases, "numpy-step": numpy_step}


@dataclass
class Bench:
    """Trains the tiny recipes in a lab of their own."""

    lab: Lab
    choices: Choices = field(default_factory=Choices)
    recipes: dict[str, Callable[[Probe], Recipe]] = field(default_factory=lambda: dict(SHAPES))
    Probe: type[Probe] = Probe
    Settings: type[Settings] = Settings
    items: int = ITEMS
    batch: int = BATCH
    steps: int = STEPS

    def create(self, shape: str, settings: Settings | None = None, seed: int = 0) -> Run:
        """A run folder that is not trained yet."""
        return self.lab.create_run(
            recipe=shape, version="v", seed=seed, settings=to_dict(settings or Settings())
        )

    def train(
        self,
        shape: str,
        settings: Settings | None = None,
        *,
        probe: Probe | None = None,
        run: Run | None = None,
        seed: int = 0,
        **how: Any,
    ) -> Run:
        """Trains (or resumes) a run to its end, on the CPU unless told otherwise."""
        settings = settings or Settings()
        run = run or self.create(shape, settings, seed)
        how = {"device": "cpu", "show": False, **how}
        engine.train(self.recipes[shape](probe or Probe()), settings, run, **how)
        return run.reload()

    def last(self, run: Run) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and state of the last checkpoint."""
        return checkpoint.read(run.checkpoints_dir / "last.safetensors")

    def assert_same(self, a: Run, b: Run) -> None:
        """The last checkpoints are equal to the bit, and so are the metrics, but for the clock."""
        (mine, my_state), (theirs, their_state) = self.last(a), self.last(b)
        assert list(mine) == list(theirs)
        for name, tensor in mine.items():
            assert tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name]), name
        assert {**my_state, "elapsed": 0} == {**their_state, "elapsed": 0}
        assert [{**line, "time": 0} for line in a.metrics()] == [{**line, "time": 0} for line in b.metrics()]
        for name in ("final", "epochs_done", "steps_done", "status", "choices"):
            assert a.meta[name] == b.meta[name], name


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Tiny recipes in a lab and a cache of their own; `bench.choices` decides the precision, no trial does."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EPOCHAL_CHECKPOINT_S", raising=False)
    bench = Bench(Lab(tmp_path / "lab"))
    monkeypatch.setattr(precision, "choose", lambda *_, **__: (bench.choices, "fixed by a test"))
    return bench
