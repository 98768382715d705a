"""Mistakes of a recipe are said in its own words before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from epochal.errors import EpochalError, UsageError
from epochal.settings.common import RecipeSettings, StopSettings
from epochal.training import soundness
from epochal.training.task import Average, Metric, Optimiser, Phase, Task

PHASE = Phase("p", ("net",), lambda nets, batch, rng: (batch["x"], {}), Optimiser(), "x")
TASK = Task({"x": np.zeros(4), "y": np.zeros(4)}, batch_size=2, phases=(PHASE,))


def test_a_sound_task_passes() -> None:
    """Phases of known networks, columns of equal length; or a stepper and no phases."""
    soundness.insist("r", TASK, {"net": object()})
    stepper: Any = object()
    soundness.insist("r", replace(TASK, phases=(), stepper=stepper), {"network": stepper})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {}}, "no training items"),
        ({"train": {"x": np.zeros(0)}}, "no training items"),
        ({"train": {"x": np.zeros(4), "y": np.zeros(3)}}, r"differ in length \(x 4, y 3\)"),
        ({"phases": ()}, "neither phases nor a stepper"),
        ({"phases": (), "stepper": object()}, "its stepper is none of its networks"),
        ({"repeat": 0}, "repeats its data 0 times"),
        ({"log_every": 0}, "logs every 0 steps"),
        ({"phases": (PHASE, PHASE)}, "have one name"),
        ({"phases": (replace(PHASE, trains=("nte",)),)}, "the network 'nte'"),
        ({"phases": (replace(PHASE, trains=()),)}, "trains nothing"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], message: str) -> None:
    """Each would otherwise fail deep in the engine, or train nothing and say nothing."""
    with pytest.raises(EpochalError, match=message):
        soundness.insist("r", replace(TASK, **change), {"net": object()})


def test_patience_needs_something_to_watch() -> None:
    """Without a validation metric no epoch is ever worse than another: the training would silently not stop."""
    patient = RecipeSettings(stop=StopSettings(patience=3))
    with pytest.raises(UsageError, match=r"stop\.patience = 3, but no validation metric of r"):
        soundness.insist_on_patience("r", TASK, patient)
    soundness.insist_on_patience("r", TASK, RecipeSettings())
    soundness.insist_on_patience("r", replace(TASK, keep_best=Metric("m", "lower", "m")), patient)


@pytest.mark.parametrize(
    ("average", "message"),
    [
        (Average("net", "avg"), "averages the network 'avg'"),
        (Average("net", "net"), "trains 'net' and fills it"),
        (Average("net", "other"), "differ in name or shape"),
        (Average("net", "copy", decay=1.0), "the decay 1"),
    ],
)
def test_an_average_must_fit(average: Average, message: str) -> None:
    """Else it would overwrite what is trained, or fail at the first step with torch's words."""
    nets = {"net": nn.Linear(1, 2), "copy": nn.Linear(1, 2), "other": nn.Linear(2, 2)}
    with pytest.raises(EpochalError, match=message):
        soundness.insist("r", replace(TASK, averages=(average,)), nets)
