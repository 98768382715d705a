"""cnn-scratch: that it learns real digits, resumes to the bit, and goes through every verb on drawn ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal import settings as settings_room
from epochal.systems import recipes
from epochal.systems.data import glyphs
from epochal.systems.recipes import cnn_scratch
from epochal.systems.recipes.cnn_scratch import RECIPE
from epochal.training import checkpoint
from epochal.training.task import Batch


@pytest.fixture
def few_glyphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A few drawn digits in a cache of their own."""
    monkeypatch.setattr(glyphs, "ITEMS", (300, 100))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_it_knows_nothing_before_training(real_data: Path) -> None:
    """He's weights keep the scale: a fresh network's loss is near log 10, that of guessing among ten digits."""
    patch = {"data.source": "mnist", "data.dir": str(real_data)}
    settings = settings_room.apply(recipes.settings_of(RECIPE), patch)
    nets = RECIPE.nets(settings)
    task = RECIPE.build(settings, nets)
    assert len(task.train["labels"]) == 60_000 and task.stepper is nets["network"]
    nets["network"].init(np.random.default_rng(0))
    batch = task.prepare(Batch({name: column[:500] for name, column in task.train.items()}))
    assert batch["x"].dtype == np.float32 and (batch["x"].min(), batch["x"].max()) == (0, 1)
    measured = nets["network"].step(batch, np.random.default_rng(0))
    assert measured["loss"] == pytest.approx(math.log(10), abs=0.5) and measured["accuracy"] < 0.3


def test_it_learns_real_digits(real_data: Path, tmp_path: Path) -> None:
    """Three epochs over 2,000 digits read nine of ten unseen ones; every figure is drawn, held-out digits watch."""
    patch = {"data.source": "mnist", "data.dir": str(real_data), "data.limit": 2000, "data.hold_out": 500}
    (run,) = epochal.run("cnn-scratch", patch=patch, threads=1, lab=tmp_path, show=False)
    assert (run.status, run.meta["steps_done"]) == ("finished", 3 * 32)
    assert set(run.epoch_values("validation")) == {"accuracy", "loss"} == set(run.epoch_values())
    values = epochal.evaluate(run.id, split="validation", lab=tmp_path, show=False)
    best = max(value for _, value in run.epoch_values("validation")["accuracy"])
    assert values["accuracy"] == best > 0.9 and values["images"] == 500
    assert values["accuracy_low"] < values["accuracy"] < values["accuracy_high"]
    drawn = {path.stem for path in run.figures_dir.glob("*.png")}
    assert drawn == {"loss", "confusion", "reliability", "first_layer", "answers"}


def test_a_resumed_run_is_the_uninterrupted_one(few_glyphs: None, tmp_path: Path) -> None:
    """One epoch and then a second give every weight and moment of two at once, bit for bit."""
    patch: dict[str, Any] = {"data.source": "glyphs", "data.limit": 200, "epochs": 2}
    (whole,) = epochal.run("cnn-scratch", patch=patch, lab=tmp_path / "a", show=False)
    (half,) = epochal.run("cnn-scratch", patch={**patch, "epochs": 1}, lab=tmp_path / "b", show=False)
    half = epochal.resume(half.id, epochs=2, lab=tmp_path / "b", show=False)
    states = [checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in (whole, half)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert whole.epoch_values() == half.epoch_values()


def test_a_loaded_network_scores_by_itself(few_glyphs: None, tmp_path: Path) -> None:
    """`load` gives the NumPy network with its weights: its scores are those that `evaluate` measures."""
    patch: dict[str, Any] = {"data.source": "glyphs", "data.limit": 256, "epochs": 1, "clip_grad_norm": 0.5}
    (run,) = epochal.run("cnn-scratch", patch=patch, lab=tmp_path, show=False)
    assert run.meta["data"]["drawn"] is True
    trained = epochal.load(run.id, lab=tmp_path)
    assert trained.network.clip_norm == 0.5 and trained.network.steps == 4
    test = cnn_scratch.classifier.read(trained.settings, "mnist").splits["test"]
    (found,) = cnn_scratch.scores(trained.network, test)
    right = float((found[0].argmax(axis=1) == test["labels"]).mean())
    assert epochal.evaluate(run.id, lab=tmp_path, show=False)["accuracy"] == right
