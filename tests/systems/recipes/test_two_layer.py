"""two-layer: the toy's reported loss, how CIFAR-10 is divided, and that it learns real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.errors import UsageError
from epochal.settings import apply
from epochal.systems import data, recipes
from epochal.systems.recipes.two_layer import RECIPE, centred, fleet_figures, read
from epochal.training import checkpoint
from epochal.training.task import Batch, Matrix, Member


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end without pictures: where many are compared by their numbers."""
    monkeypatch.setattr("epochal.api._training._draw", lambda *run: None)


def settings(version: str, **patch: Any) -> Any:
    """Settings of a version, changed."""
    return apply(recipes.settings_of(RECIPE, version), patch)


def test_the_toy_is_learnt_as_reported(tmp_path: Path) -> None:
    """The course reports a loss of 0.017 after 100 steps; all five samples are read right, and drawn."""
    (run,) = epochal.run("two-layer", "toy", lab=tmp_path, show=False)
    assert run.meta["steps_done"] == 100
    assert run.meta["final"]["loss"] == pytest.approx(0.017, abs=0.003)
    assert {path.stem for path in run.figures_dir.glob("*.png")} == {"loss", "probabilities"}
    values = epochal.evaluate(run.id, split="train", lab=tmp_path, show=False)
    assert values["accuracy"] == 1 and "top5" not in values
    with pytest.raises(UsageError, match="no split 'test'"):
        epochal.evaluate(run.id, lab=tmp_path, show=False)


def test_cifar_is_divided_as_in_the_log(real_data: Path) -> None:
    """19,000 images to train, the next 1,000 to validate, the first 1,000 test images; the mean image is gone."""
    whole = data.load("cifar10", folder=str(real_data)).splits
    found = read(settings("cifar-first", **{"data.source": "cifar10", "data.dir": str(real_data)}))
    train, validation, test = (found.splits[name] for name in ("train", "validation", "test"))
    assert [len(split["labels"]) for split in (train, validation, test)] == [19_000, 1_000, 1_000]
    assert (validation["images"] == whole["train"]["images"][19_000:20_000]).all()
    assert (test["labels"] == whole["test"]["labels"][:1000]).all()
    x = centred(found)(Batch(images=train["images"], labels=train["labels"]))["x"]
    assert (x.shape, x.dtype) == ((19_000, 3072), np.float32)
    assert abs(x.mean(axis=0, dtype=np.float64)).max() < 1e-3


def test_what_is_held_out_must_leave_something(real_data: Path) -> None:
    """Holding out more images than there are is refused with both numbers."""
    patch = {
        "data.source": "cifar10",
        "data.dir": str(real_data),
        "data.limit": None,
        "data.hold_out": 50_000,
    }
    with pytest.raises(UsageError, match=r"50,000, but cifar10 has 50,000"):
        read(settings("cifar-first", **patch))


def test_it_learns_real_pictures(real_data: Path, tmp_path: Path) -> None:
    """Three epochs over 2,000 images are well above guessing; the best epoch's network is what is evaluated."""
    small = {"data.source": "cifar10", "data.dir": str(real_data), "data.limit": 2_000, "data.hold_out": 500}
    patch: dict[str, Any] = {**small, "epochs": 3, "steps": None, "batch_size": 50}
    (run,) = epochal.run("two-layer", "grid", patch=patch, lab=tmp_path, show=False)
    assert set(run.epoch_values()) == {"loss", "cross_entropy", "accuracy"}
    best = max(value for _, value in run.epoch_values("validation")["accuracy"])
    values = epochal.evaluate(run.id, split="validation", lab=tmp_path, show=False)
    assert values["accuracy"] == best > 0.25
    drawn = {path.stem for path in run.figures_dir.glob("*.png")}
    assert drawn == {"loss", "confusion", "reliability", "answers", "first_layer"}


def test_a_resumed_run_is_the_uninterrupted_one(undrawn: None, tmp_path: Path) -> None:
    """Two epochs and then two more, with a decaying rate, give the weights of four at once, bit for bit."""
    patch = {"epochs": 4, "batch_size": 2}
    (whole,) = epochal.run("two-layer", "toy", patch=patch, lab=tmp_path / "a", show=False)
    (half,) = epochal.run("two-layer", "toy", patch={**patch, "epochs": 2}, lab=tmp_path / "b", show=False)
    half = epochal.resume(half.id, epochs=4, lab=tmp_path / "b", show=False)
    states = [checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in (whole, half)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert whole.epoch_values() == half.epoch_values()


def test_the_penalty_is_part_of_the_definition() -> None:
    """Losses of different weights of the penalty are never compared."""
    definitions = set()
    for reg in (0.25, 0.5):
        chosen = settings("toy", **{"optim.reg": reg})
        definitions.add(RECIPE.build(chosen, RECIPE.nets(chosen)).definition)
    assert len(definitions) == 2


def test_a_grid_is_a_matrix_of_means() -> None:
    """Each cell is the mean over its seeds; members that failed leave theirs out, a single cell draws nothing."""

    def member(seed: int, lr: float, reg: float, accuracy: float | None) -> Member:
        final = {} if accuracy is None else {"validation/accuracy": accuracy}
        return Member(seed, settings("grid", **{"optim.lr": lr, "optim.reg": reg}), final, 2000)

    cells = [(0, 1e-3, 0.5, 0.4), (0, 2e-3, 0.5, None), (1, 1e-3, 0.5, 0.5), (1, 2e-3, 0.5, None)]
    (figure,) = fleet_figures([member(*cell) for cell in cells]).values()
    assert isinstance(figure, Matrix) and (list(figure.rows), list(figure.columns)) == (
        ["0.001", "0.002"],
        ["0.5"],
    )
    assert (
        figure.title == "Validation accuracy after 2,000 steps" and figure.unit == "accuracy, mean of 2 seeds"
    )
    assert figure.values[0, 0] == pytest.approx(0.45) and np.isnan(figure.values[1, 0])
    assert fleet_figures([member(*cells[0]), member(*cells[2])]) == {}
    (tiny,) = fleet_figures([member(0, 1e-5, 0.5, 0.4), member(0, 5e-6, 0.5, 0.4)]).values()
    assert isinstance(tiny, Matrix) and list(tiny.rows) == ["0.000005", "0.00001"], "no 1e-05 on an axis"
    assert tiny.unit == "accuracy"


def test_a_fleet_is_its_runs(undrawn: None, tmp_path: Path) -> None:
    """Two seeds at two rates as one fleet have the losses of separate runs, to the precision of float32."""
    how: dict[str, Any] = {
        "grid": {"optim.lr": [0.1, 0.05]},
        "seeds": 2,
        "patch": {"epochs": 3, "batch_size": 2},
    }
    (fleet,) = epochal.run("two-layer", "toy", **how, lab=tmp_path / "a", show=False)
    alone = epochal.run("two-layer", "toy", **how, one_by_one=True, lab=tmp_path / "b", show=False)
    wanted = {(run.settings["optim"]["lr"], run.seed): run.meta["final"] for run in alone}
    members = epochal.members(fleet.id, lab=tmp_path / "a")
    found = {(run.settings["optim"]["lr"], run.seed): run.meta["final"] for run in members}
    assert found.keys() == wanted.keys()
    for key, final in found.items():
        assert final == pytest.approx(wanted[key], rel=1e-4)
