"""Plateaus: when the learning rate falls, by how much, and that a resumed run goes on as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from epochal.errors import EpochalError
from epochal.training import task as contract
from epochal.training.plateaus import PlateauWatch
from epochal.training.task import Plateau

COURSE = [3.0, 2.0, 2.5, 2.0, 2.0, 1.0, float("nan"), 1.5, 1.5, 1.5, 1.5, 1.5]
"""A validation value by epoch."""


def test_the_rate_falls_as_keras_lets_it_fall() -> None:
    """Keras' ReduceLROnPlateau, its rule written out: patience 2, factor 0.1, floor 0.02; equal is not better."""
    watch, best, wait, rate = PlateauWatch("fit", Plateau("loss", 0.1, 2, 0.02)), float("inf"), 0, 1.0
    for epoch, value in enumerate(COURSE):
        before = watch.factor
        said = watch.see({"loss": value})
        if value < best:
            best, wait = value, 0
        else:
            wait += 1
            if wait >= 2 and rate > 0.02:
                rate, wait = max(rate * 0.1, 0.02), 0
        assert watch.factor == pytest.approx(rate), epoch
        assert (said is not None) == (watch.factor < before), "told when it falls, and only then"
    assert rate == 0.02, "the course reaches the floor"


def test_torch_agrees() -> None:
    """The same course through torch's scheduler, whose patience counts the epochs that are let pass, one fewer."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=1, threshold=0, min_lr=0.1
    )
    watch = PlateauWatch("fit", Plateau("loss", 0.5, 2, 0.1))
    for value in [v for v in COURSE if v == v]:
        watch.see({"loss": value})
        scheduler.step(value)
        assert watch.factor == pytest.approx(optimiser.param_groups[0]["lr"])


def test_state_is_exact() -> None:
    """Put back at every epoch, before the first value too, a watch decides as one that went through."""
    one, other = (PlateauWatch("fit", Plateau("loss", 0.7, 2)) for _ in range(2))
    for value in COURSE:
        again = PlateauWatch("fit", Plateau("loss", 0.7, 2))
        again.load(other.state())
        assert one.see({"loss": value}) == again.see({"loss": value})
        assert torch.equal(one.state(), again.state())
        other = again


@pytest.fixture
def flat(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny recipe with a validation value that never falls, watched with patience 2."""
    course = {"loss": 1.0}
    tiny = bench.recipes["one-phase"]

    def recipe(probe: Any) -> contract.Recipe:
        probe.validate = lambda nets: course
        made = tiny(probe)

        def build(settings: Any, nets: Any) -> contract.Task:
            task = made.build(settings, nets)
            plateau = Plateau("loss", factor=0.5, patience=2, least=0.1)
            (phase,) = task.phases
            return replace(task, phases=[replace(phase, optimiser=replace(phase.optimiser, plateau=plateau))])

        return replace(made, build=build)

    bench.recipes.update({"one-phase": recipe, "unwatched": tiny})
    return bench


def test_a_run_trains_with_the_lower_rate(flat: Any) -> None:
    """After epochs 3 and 5 the rate halves: the run equals one whose schedule says so by hand, and its log tells it."""
    falls = flat.train("one-phase", flat.Settings(epochs=6))
    schedule = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.25}
    by_hand = flat.Probe(schedule=lambda step, epoch: schedule[epoch])
    log = (falls.path / "console.log").read_text("utf-8")
    assert "fit: loss no longer falls, learning rate times 0.5 from now on" in log
    assert log.count("no longer falls") == 2
    weights, _ = flat.last(falls)
    wanted, _ = flat.last(flat.train("unwatched", flat.Settings(epochs=6), probe=by_hand))
    assert all(torch.equal(wanted[name], weights[name]) for name in wanted if name.startswith("weights/"))


@pytest.mark.parametrize("stop", [9, 21, 23, 30])
def test_a_stopped_run_resumes_to_the_bit(flat: Any, stop: int) -> None:
    """Stopped in any epoch, before and after the rate has fallen, it ends where the uninterrupted run ends."""

    def interrupt(step: int, batch: Any) -> None:
        if step == stop:
            raise KeyboardInterrupt

    whole = flat.train("one-phase", flat.Settings(epochs=6))
    run = flat.create("one-phase", flat.Settings(epochs=6))
    with pytest.raises(KeyboardInterrupt):
        flat.train("one-phase", flat.Settings(epochs=6), run=run, probe=flat.Probe(at=interrupt))
    flat.assert_same(flat.train("one-phase", flat.Settings(epochs=6), run=run, resume=True), whole)


def test_watching_what_is_not_there_is_said(flat: Any) -> None:
    """A typo in the recipe must not leave the rate where it is in silence."""
    probe = flat.Probe()
    recipe = flat.recipes["one-phase"](probe)
    probe.validate = lambda nets: {"mse": 1.0}
    flat.recipes["one-phase"] = lambda _: recipe
    with pytest.raises(EpochalError, match="fit watches the validation value 'loss', which there is not"):
        flat.train("one-phase")


def test_the_phase_is_named_once() -> None:
    """A phase that watches its own value ("eyes/loss") is not named twice when its rate falls."""
    watch = PlateauWatch("eyes", Plateau("eyes/loss", factor=0.5, patience=1, least=0.0))
    assert watch.see({"eyes/loss": 1.0}) is None
    assert watch.see({"eyes/loss": 1.0}) == "eyes: loss no longer falls, learning rate times 0.5 from now on"
