"""cnn-digits: its two structures, that it learns real digits, and end to end on drawn ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import epochal
from epochal import settings as settings_room
from epochal.systems import recipes
from epochal.systems.recipes.cnn_digits import RECIPE
from epochal.training.task import Batch


def test_two_structures() -> None:
    """The second version changes the network alone; both carry the reported accuracies."""
    first, second = (settings_room.flatten(recipes.settings_of(RECIPE, name)) for name in ("v1", "v2"))
    changed = {key for key in first if first[key] != second[key]}
    assert changed == {"net.convolutions", "net.kernel", "net.batch_norm"}
    assert [dict(v.reported) for v in RECIPE.versions] == [
        {"train/accuracy": 0.998, "accuracy": 0.992},
        {"train/accuracy": 0.998, "accuracy": 0.991},
    ]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_knows_nothing_before_training(version: str, real_data: Path) -> None:
    """A fresh network's cross-entropy is log 10, as it must be for ten equally likely digits."""
    patch = {"data.source": "mnist", "data.dir": str(real_data)}
    settings = settings_room.apply(recipes.settings_of(RECIPE, version), patch)
    torch.manual_seed(0)
    nets = RECIPE.nets(settings)
    task = RECIPE.build(settings, nets)
    assert len(task.train["labels"]) == 55_000
    batch = task.prepare(Batch({name: torch.from_numpy(column[:500]) for name, column in task.train.items()}))
    loss, parts = task.phases[0].loss(nets, batch, torch.Generator())
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)
    assert 0 <= float(parts["accuracy"]) < 0.3


def test_held_out_digits_are_the_last_ones(real_data: Path) -> None:
    """The 5,000 images that choose the best epoch are none of those trained on, whatever `data.limit` is."""
    patch = {"data.source": "mnist", "data.dir": str(real_data), "data.limit": 300}
    settings = settings_room.apply(recipes.settings_of(RECIPE), patch)
    nets = RECIPE.nets(settings)
    task = RECIPE.build(settings, nets)
    with np.load(real_data / "mnist.npz") as file:
        np.testing.assert_array_equal(task.train["images"], file["x_train"][:300])
    assert task.validate is not None and task.keep_best is not None
    values = task.validate(nets, torch.Generator())
    assert set(values) == {"accuracy", "cross_entropy"} and task.keep_best.name == "accuracy"


def test_learns_real_digits(real_data: Path, tmp_path: Path) -> None:
    """Four epochs over 1,500 digits read more than nine of ten unseen ones; figures are drawn, metrics kept."""
    patch = {"epochs": 4, "data.source": "mnist", "data.dir": str(real_data), "data.limit": 1500}
    patch |= {"data.hold_out": 500, "batch_size": 32}
    (run,) = epochal.run(
        "cnn-digits", "v1", patch=patch, precision="bfloat16", threads=1, lab=tmp_path, show=False
    )
    assert run.status == "finished"
    values = epochal.evaluate(run.id, split="validation", lab=tmp_path, show=False)
    assert values["accuracy"] > 0.9
    assert values["accuracy_low"] < values["accuracy"] < values["accuracy_high"]
    assert 0 < values["nll"] < 0.4 and values["top5"] > 0.98
    drawn = {path.stem for path in run.figures_dir.glob("*.png")}
    assert {"confusion", "reliability", "first_layer", "answers"} <= drawn
