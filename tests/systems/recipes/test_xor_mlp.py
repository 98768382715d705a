"""xor-mlp: that it learns XOR in about the reported time, and that its figures say what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.errors import UsageError
from epochal.settings import apply
from epochal.systems import recipes
from epochal.systems.recipes.xor_mlp import RECIPE, REPORTED, fleet_figures
from epochal.systems.scratch.xor_mlp import ROWS, XorMLP
from epochal.training import checkpoint
from epochal.training.task import Curves, Matrix, Member, Trained


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end without pictures: where many are compared by their numbers."""
    monkeypatch.setattr("epochal.api._training._draw", lambda *run: None)


def test_it_learns_xor(tmp_path: Path) -> None:
    """At lr 0.5 it stops below 0.02 within a few times the reported 854 iterations, every row answered right."""
    (run,) = epochal.run("xor-mlp", "until", patch={"optim.lr": 0.5}, lab=tmp_path, show=False)
    assert run.status == "finished" and run.meta["final"]["loss"] < 0.02
    assert REPORTED[0.5] / 3 < run.meta["steps_done"] < 3 * REPORTED[0.5]
    values = epochal.evaluate(run.id, lab=tmp_path, show=False)
    assert values["right"] == 1 and values["loss"] < 0.02
    outputs = [values[f"output_{row}"] for row in ("00", "01", "10", "11")]
    np.testing.assert_allclose(outputs, [0, 1, 1, 0], atol=0.2)
    assert {path.stem for path in run.figures_dir.glob("*.png")} == {"loss", "decision", "outputs"}


def test_zero_weights_never_learn(undrawn: None, tmp_path: Path) -> None:
    """The loss stays at exactly ½ · 4 · ½² = 0.5, in every epoch."""
    (run,) = epochal.run("xor-mlp", "zeros", patch={"epochs": 2}, lab=tmp_path, show=False)
    assert [loss for _, loss in run.epoch_values()["loss"]] == [0.5, 0.5]
    assert epochal.evaluate(run.id, lab=tmp_path, show=False)["right"] == 0.5


def test_a_resumed_run_is_the_uninterrupted_one(undrawn: None, tmp_path: Path) -> None:
    """A thousand iterations and then another give the weights of two thousand at once, bit for bit."""
    (whole,) = epochal.run("xor-mlp", "v1", patch={"epochs": 2}, lab=tmp_path / "a", show=False)
    (half,) = epochal.run("xor-mlp", "v1", patch={"epochs": 1}, lab=tmp_path / "b", show=False)
    half = epochal.resume(half.id, epochs=2, lab=tmp_path / "b", show=False)
    states = [checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in (whole, half)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert whole.epoch_values() == half.epoch_values()


@pytest.mark.parametrize("patch", [{"data.source": "mnist"}, {"clip_grad_norm": 1.0}])
def test_what_would_do_nothing_is_refused(patch: dict[str, Any], tmp_path: Path) -> None:
    """A setting that the network has no use for is named, instead of being ignored."""
    with pytest.raises((UsageError, epochal.api.TrainingEnded), match=next(iter(patch))):
        epochal.run("xor-mlp", "v1", patch=patch, lab=tmp_path, show=False)


def test_the_decision_surface_is_the_network() -> None:
    """The cell under each row holds the network's output there: the picture is neither flipped nor turned."""
    network = XorMLP()
    network.init(np.random.default_rng(1))
    drawn = RECIPE.figures(Trained(recipes.settings_of(RECIPE), {"network": network}))  # type: ignore[misc]
    surface, table = drawn["decision"], drawn["outputs"]
    assert isinstance(surface, Matrix) and isinstance(table, Matrix) and surface.extent is not None
    left, right, bottom, top = surface.extent
    n = len(surface.values)
    for (x1, x2), wanted in zip(ROWS, network.forward(ROWS)[1][:, 0], strict=True):
        row, column = int((top - x2) / (top - bottom) * n), int((x1 - left) / (right - left) * n)
        assert surface.values[row, column] == pytest.approx(wanted, abs=5e-3)
    np.testing.assert_allclose(table.values[:, 4], network.forward(ROWS)[1][:, 0])
    assert surface.points["target 1"] == ([0, 1], [1, 0])


def test_a_surface_without_shape_says_so() -> None:
    """Where every answer is one half the title tells it: a grey picture is not taken for one gone wrong. The colours
    run from 0 to 1 in every such picture."""
    network = XorMLP(init="zeros")
    network.init(np.random.default_rng(0))
    drawn = RECIPE.figures(Trained(recipes.settings_of(RECIPE), {"network": network}))  # type: ignore[misc]
    surface = drawn["decision"]
    assert isinstance(surface, Matrix) and surface.title.endswith("0.500 everywhere")
    assert surface.scale == (0, 1) and surface.contour == 0.5
    network.init(np.random.default_rng(0))
    network.load_state({name: 1.0 + value for name, value in network.state().items()})
    drawn = RECIPE.figures(Trained(recipes.settings_of(RECIPE), {"network": network}))  # type: ignore[misc]
    assert "everywhere" not in drawn["decision"].title


def members(stop: float | None, **patch: Any) -> list[Member]:
    """Three networks at each of two rates; the third at the low rate did not get there in 500 iterations."""
    made = []
    for lr, counts in ((0.5, (30, 10, 20)), (0.1, (400, 300, None))):
        settings = apply(recipes.settings_of(RECIPE), {"optim.lr": lr, "stop.loss": stop, **patch})
        for seed, count in enumerate(counts):
            final = {"loss": 0.02 + seed / 100}
            made.append(
                Member(seed, settings, final, count or 500, None if stop is None else count is not None)
            )
    return made


def test_censored_networks_stay_in_the_denominator() -> None:
    """The line of a rate at which one of three never got there ends at two thirds, at the last iteration."""
    (figure,) = fleet_figures(members(stop=0.02)).values()
    assert isinstance(figure, Curves) and figure.log_x
    fast, slow = figure.series.values()
    assert fast == ([5, 10, 10, 20, 20, 30, 30, 30], [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1])
    assert slow == ([5, 300, 300, 400, 400, 500], [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert figure.marks == {
        "reported at 0.5: 854": (854, 1),
        "reported at 0.1: 3,268": (3268, pytest.approx(2 / 3)),
    }
    assert list(figure.series) == ["learning rate 0.5", "learning rate 0.1"]


def test_reported_numbers_stand_beside_their_own_experiment_only() -> None:
    """Another stop, or another network, is not what the log reports; without a stop the last losses are shown."""
    (other,) = fleet_figures(members(stop=0.1)).values()
    (wider,) = fleet_figures(members(stop=0.02, **{"net.hidden": 8})).values()
    assert isinstance(other, Curves) and isinstance(wider, Curves) and not other.marks and not wider.marks
    ((name, losses),) = fleet_figures(members(stop=None)).items()
    assert name == "losses" and isinstance(losses, Curves)
    x, y = next(iter(losses.series.values()))
    assert x == [0.02, 0.02, 0.02, 0.03, 0.03, 0.04, 0.04, 0.04]
    assert y == [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1]


def test_a_fleet_is_its_runs(undrawn: None, tmp_path: Path) -> None:
    """Two seeds at two rates as one fleet stop in the same iterations, with the same losses, as one by one."""
    how: dict[str, Any] = {"grid": {"optim.lr": [0.5, 0.1]}, "seeds": 2, "patch": {"epochs": 2}}
    (fleet,) = epochal.run("xor-mlp", "until", **how, lab=tmp_path / "a", show=False)
    alone = epochal.run("xor-mlp", "until", **how, one_by_one=True, lab=tmp_path / "b", show=False)
    wanted = {(run.settings["optim"]["lr"], run.seed): run.meta for run in alone}
    found = {
        (run.settings["optim"]["lr"], run.seed): run.meta
        for run in epochal.members(fleet.id, lab=tmp_path / "a")
    }
    assert found.keys() == wanted.keys()
    for key, meta in found.items():
        assert meta["steps_done"] == wanted[key]["steps_done"]
        assert meta["final"]["loss"] == pytest.approx(wanted[key]["final"]["loss"], abs=1e-10)
