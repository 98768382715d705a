"""A made-up recipe with three versions, and runs of it written through the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal import settings
from epochal.journal import Lab, Run
from epochal.settings.common import RecipeSettings
from epochal.training.task import ImageGrid, Metric, Recipe, Trained, Version


@dataclass(frozen=True)
class Loss:
    """Weights."""

    grey_weight: float = 0.0
    """Weight of the grey loss."""


@dataclass(frozen=True)
class Toy(RecipeSettings):
    """Settings of the made-up recipe."""

    epochs: int = 8
    """Passes over the data."""
    loss: Loss = field(default_factory=Loss)


def grid(rows: int = 3, columns: int = 4, side: int = 28) -> ImageGrid:
    """A grid of noise with grouped row labels."""
    images = np.random.default_rng(0).integers(0, 256, (rows, columns, side, side), dtype=np.uint8)
    labels = [f"style {1 + row // 3}, t = {row % 3 - 1}" for row in range(rows)]
    return ImageGrid(images, "Noise in rows", rows=labels, columns=[str(c) for c in range(columns)])


@pytest.fixture
def recipe() -> Recipe:
    """Three versions: the root, one with a grey loss, and a longer one."""
    return Recipe(
        name="toy",
        summary="a made-up system",
        settings=Toy,
        versions=(
            Version("v1", "the first one", reported={"loss": 24.85}),
            Version("v2", "grey loss added", "v1", {"loss.grey_weight": 0.32}, {"loss": 31.0}),
            Version("v3", "longer", "v2", {"epochs": 40}),
        ),
        nets=lambda _: {},
        build=lambda *_: pytest.fail("drawing and logging must not build a task"),
        metrics=(Metric("psnr", "higher", "dB on test images"), Metric("grey", "lower", "mean of 4y(1 - y)")),
        figures=lambda _: {"digits": grid()},
    )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


Maker = Callable[..., Run]


@pytest.fixture
def make(recipe: Recipe, lab: Lab) -> Maker:
    """Writes a run as a training would: `make("v2", seed=1, done=3, status="stopped", …)`."""

    def made(
        version: str = "v1",
        *,
        seed: int = 0,
        patch: dict[str, Any] | None = None,
        parent: Run | None = None,
        name: str | None = None,
        done: int | None = None,
        status: str = "finished",
        drawn: bool = False,
        evaluation: dict[str, Any] | None = None,
        loss_definition: dict[str, str] | None = None,
        **fields: Any,
    ) -> Run:
        chosen = next(one for one in recipe.versions if one.name == version)
        own = _resolved(recipe, version)
        used = settings.apply(own, patch or {})
        old: Any = own if chosen.parent is None else _resolved(recipe, chosen.parent)
        if parent is not None:
            old = settings.from_dict(recipe.settings, parent.settings)
        run = lab.create_run(
            recipe=recipe.name,
            version=version,
            name=name,
            parent=None if parent is None else parent.id,
            parent_version=chosen.parent if parent is None else version,
            patch=settings.diff(old, used),
            settings=settings.to_dict(used),
            seed=seed,
            status="draft",
            device="cpu",
            precision="float32",
            choices={"layout": "contiguous", "threads": 2},
            loss_definition=loss_definition or {"main": f"Σ(x - y)² + {used.loss.grey_weight:g}·grey | KL"},
            data={"name": "glyphs" if drawn else "mnist", "drawn": drawn, "sha256": "ab" * 32},
            environment={
                "cpu": "Test CPU",
                "cores": 2,
                "memory_bytes": 8 * 2**30,
                "packages": {"torch": "2.13"},
            },
            command=["epochal", "run", "toy", version, "--seed", str(seed)],
            **fields,
        )
        if status != "draft":
            _train(run, used.epochs if done is None else done, status, evaluation)
        return run

    return made


@pytest.fixture
def trained() -> Trained:
    """No networks: the made-up figures need none."""
    return Trained(settings=Toy(), nets={})


def _resolved(recipe: Recipe, version: str) -> Any:
    line = []
    chosen: str | None = version
    while chosen is not None:
        one = next(v for v in recipe.versions if v.name == chosen)
        line.insert(0, one)
        chosen = one.parent
    return settings.layered(recipe.settings(), [(one.name, one.patch) for one in line])


def _train(run: Run, done: int, status: str, evaluation: dict[str, Any] | None) -> None:
    final: dict[str, float] = {}
    for epoch in range(1, done + 1):
        reconstruction, kl = 20 + 20 / epoch + 0.01 * run.seed, 5 - 2 / epoch
        train = {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
        validation = {"loss": train["loss"] * 1.02}
        at = {"time": 20.0 * epoch, "step": 100 * epoch, "epoch": epoch}
        run.append(
            "metrics",
            [
                {**at, "scope": "step", "split": "train", "values": train},
                {**at, "scope": "epoch", "split": "train", "values": train},
                {**at, "scope": "epoch", "split": "validation", "values": validation},
            ],
        )
        final = {**train, "validation/loss": validation["loss"]}
    lines = [f"{run.id}: cpu", *(f"epoch {e}/{done}  loss {30 - e:.4f}" for e in range(1, done + 1))]
    (run.path / "console.log").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run.update(
        status=status, epochs_done=done, steps_done=100 * done, final=final, evaluation=evaluation or {}
    )
