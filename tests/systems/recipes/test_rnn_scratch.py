"""rnn-scratch: its wave and versions, resuming to the bit, and every verb on a short training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.systems import recipes
from epochal.systems.recipes import rnn_scratch
from epochal.systems.recipes.rnn_scratch import RECIPE
from epochal.training import checkpoint, engine


def settings_of(version: str = "scaled", **patch: Any) -> Any:
    """A version's settings with changes by dotted key, `__` for the dot."""
    changes = {key.replace("__", "."): value for key, value in patch.items()}
    return settings_room.apply(recipes.settings_of(RECIPE, version), changes)


def test_the_versions() -> None:
    """Learning rate and epochs are the log's change, the initial weights ours; the log's numbers stand at the log's."""
    in_force = [settings_of(version.name) for version in RECIPE.versions]
    assert [s.optim.lr for s in in_force] == [1e-4, 1e-3, 1e-3]
    assert [s.epochs for s in in_force] == [25, 1000, 1000]
    assert [s.net.start for s in in_force] == ["positive", "positive", "scaled"]
    assert [dict(v.reported) for v in RECIPE.versions] == [{}, {"train/loss": 0.056, "rmse": 0.19}, {}]


def test_the_windows() -> None:
    """100 windows to train and the last 50 to test, each followed by its value; `limit` takes training windows only."""
    splits = rnn_scratch.windows(settings_of())
    wave = np.sin(np.arange(200))
    for split, first, count in (("train", 0, 100), ("test", 100, 50)):
        x, y = splits[split]["x"], splits[split]["y"]
        assert x.shape == (count, 50) and y.shape == (count,)
        for i in range(count):
            assert np.array_equal(x[i], wave[first + i : first + i + 50]) and y[i] == wave[first + i + 50]
    few = rnn_scratch.windows(settings_of(data__limit=7, wave__step=0.1))
    assert few["train"]["x"].shape == (7, 50) and few["test"]["x"].shape == (50, 50)
    assert few["train"]["x"][0, 1] == np.sin(0.1)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"wave__points": 100}, "leaves no training window"),
        ({"data__source": "mnist"}, "learns a sine wave"),
    ],
)
def test_what_cannot_be_cut(patch: dict[str, Any], message: str) -> None:
    """A wave too short for its windows, or other data, are wrong usage."""
    with pytest.raises(UsageError, match=message):
        rnn_scratch.windows(settings_of(**patch))


def test_the_norm_of_the_gradient_is_not_clipped() -> None:
    """The common setting is refused, not ignored: this network clips number by number."""
    with pytest.raises(UsageError, match="clip_grad_norm = 1"):
        RECIPE.nets(settings_of(clip_grad_norm=1.0))


def test_it_learns_and_is_measured(tmp_path: Path) -> None:
    """Twenty epochs predict the test values; per window, summed and as root the loss is one; the figures are drawn."""
    (run,) = epochal.run("rnn-scratch", "scaled", patch={"epochs": 20}, lab=tmp_path, show=False)
    assert (run.status, run.meta["steps_done"]) == ("finished", 2000) and run.meta["data"]["drawn"] is False
    values = epochal.evaluate(run.id, lab=tmp_path, show=False)
    trained = engine.load(RECIPE, run)
    test = rnn_scratch.windows(trained.settings)["test"]
    errors = trained.nets["network"].predict(test["x"]) - test["y"]
    assert values["loss"] == pytest.approx(0.5 * (errors**2).mean())
    assert values["loss_sum"] == pytest.approx(0.5 * (errors**2).sum())
    assert values["rmse"] == pytest.approx(np.sqrt((errors**2).mean())) and values["rmse"] < 0.4
    assert run.epoch_values("validation")["loss"][-1] == (20, pytest.approx(values["loss"]))
    assert {path.stem for path in run.figures_dir.glob("*.png")} == {"loss", "prediction"}
    series = rnn_scratch.figures(trained)["prediction"].series  # type: ignore[union-attr]
    assert set(series) == {"wave", "one step ahead", "free run"}
    assert series["wave"][0] == list(range(150, 200)) and series["wave"][1] == list(test["y"])
    # The first value of a free run is a prediction like any other.
    assert series["free run"][1][0] == pytest.approx(series["one step ahead"][1][0])
    with pytest.raises(UsageError, match="no split 'validation'"):
        rnn_scratch.evaluate(trained, "validation")


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """One epoch and then a second give every weight of two at once, bit for bit."""
    patch: dict[str, Any] = {"data.limit": 20, "epochs": 2}
    (whole,) = epochal.run("rnn-scratch", "scaled", patch=patch, lab=tmp_path / "a", show=False)
    (half,) = epochal.run(
        "rnn-scratch", "scaled", patch={**patch, "epochs": 1}, lab=tmp_path / "b", show=False
    )
    half = epochal.resume(half.id, epochs=2, lab=tmp_path / "b", show=False)
    states = [checkpoint.read(run.checkpoints_dir / "last.safetensors")[0] for run in (whole, half)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert whole.epoch_values() == half.epoch_values()
