"""Networks with their own step, and how a task orders its data: loading, passes, the stored order, `stop.loss`."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from epochal.errors import EpochalError
from epochal.settings.common import StopSettings
from epochal.training import engine
from epochal.training.task import ImageGrid

SHAPES = ("one-phase", "numpy-step")


def test_loading_gives_the_stepper_with_its_state(bench: Any) -> None:
    """What figures and `evaluate` get is the class that was trained, with its weights; NumPy lives on the CPU."""
    run = bench.train("numpy-step", bench.Settings(epochs=2))
    loaded = engine.load(bench.recipes["numpy-step"](bench.Probe()), run, settings=bench.Settings())
    tensors, _ = bench.last(run)
    np.testing.assert_array_equal(loaded.nets["line"].w, tensors["weights/w"].numpy())
    assert loaded.device == run.meta["device"] == "cpu"


def test_a_stepper_of_another_shape_is_refused(bench: Any) -> None:
    """Loading, resuming and starting from weights that do not fit say which array differs."""
    run = bench.train("numpy-step")
    recipe = bench.recipes["numpy-step"](bench.Probe())

    def nets(settings: Any) -> dict[str, Any]:
        made = recipe.nets(settings)
        made["line"].init = lambda rng: setattr(made["line"], "w", np.zeros(3))
        return made

    other = replace(recipe, nets=nets)
    with pytest.raises(EpochalError, match=r"does not fit the networks of numpy-step: line\.w is 2, not 3"):
        engine.load(other, run, settings=bench.Settings())
    with pytest.raises(EpochalError, match="does not fit the run: w is 2, not 3"):
        engine.train(other, bench.Settings(epochs=4), run, show=False, resume=True)
    child = bench.create("numpy-step")
    with pytest.raises(EpochalError, match=r"cannot start from the weights of .*: w is 2, not 3"):
        engine.train(other, bench.Settings(), child, show=False, warm_start=run)


def test_a_stepper_validates_and_draws_with_numpy_streams(bench: Any) -> None:
    """The same generator each time, of NumPy's kind; validation sees the network itself."""
    recipe = bench.recipes["numpy-step"](bench.Probe())
    drawn: list[float] = []

    def build(settings: Any, nets: Any) -> Any:
        def validate(nets: Any, rng: np.random.Generator) -> dict[str, float]:
            drawn.append(float(rng.normal()))
            return {"slope": float(nets["line"].w[0])}

        def sample(nets: Any, rng: np.random.Generator) -> ImageGrid:
            return ImageGrid(rng.integers(0, 255, (1, 1, 4, 4)).astype(np.uint8), title="noise")

        return replace(recipe.build(settings, nets), validate=validate, sample=sample)

    run = bench.create("numpy-step")
    engine.train(replace(recipe, build=build), bench.Settings(), run, show=False)
    tensors, _ = bench.last(run)
    assert run.reload().meta["final"]["validation/slope"] == float(tensors["weights/w"][0])
    assert len(drawn) == 3 and len(set(drawn)) == 1
    assert len({path.read_bytes() for path in run.samples_dir.glob("*.png")}) == 1


def seen(bench: Any, shape: str, settings: Any, **how: Any) -> list[list[float]]:
    """The items of every batch of a run, in order."""
    batches: list[list[float]] = []
    key = "x" if shape == "numpy-step" else "y"

    def note(step: int, batch: Any) -> None:
        batches.append(np.asarray(batch[key], dtype=float).ravel().tolist())

    bench.train(shape, settings, probe=bench.Probe(at=note, **how))
    return batches


def test_without_shuffling_the_stored_order_is_kept(bench: Any) -> None:
    """Every epoch goes through the same batches, the last one smaller."""
    batches = seen(bench, "numpy-step", bench.Settings(epochs=2), shuffle=False)
    stored = np.linspace(-1, 1, bench.items)
    assert batches[: bench.steps] == batches[bench.steps :]
    np.testing.assert_array_equal(np.concatenate(batches[: bench.steps]), stored)


def test_every_pass_of_an_epoch_has_its_own_order(bench: Any) -> None:
    """An epoch of three passes shows each item three times, a pass at a time; the first as without repeating."""
    batches = seen(bench, "numpy-step", bench.Settings(epochs=1), repeat=3)
    assert len(batches) == 3 * bench.steps
    passes = [
        np.concatenate(batches[start : start + bench.steps])
        for start in range(0, 3 * bench.steps, bench.steps)
    ]
    stored = np.linspace(-1, 1, bench.items)
    for one in passes:
        np.testing.assert_array_equal(np.sort(one), stored)
    assert not np.array_equal(passes[0], passes[1]) and not np.array_equal(passes[1], passes[2])
    alone = seen(bench, "numpy-step", bench.Settings(epochs=1))
    np.testing.assert_array_equal(passes[0], np.concatenate(alone))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("step", [3, 9, 14, 17])
def test_resuming_inside_a_pass_is_exact(bench: Any, shape: str, shuffle: bool, step: int) -> None:
    """Inside the first, second and third pass of an epoch, and between two of them."""
    how = {"shuffle": shuffle, "repeat": 3}
    settings = bench.Settings(epochs=2)
    whole = bench.train(shape, settings, probe=bench.Probe(**how))
    assert whole.meta["steps_done"] == 2 * 3 * bench.steps

    def interrupt(now: int, batch: Any) -> None:
        if now == step:
            signal.raise_signal(signal.SIGINT)

    run = bench.create(shape, settings)
    with pytest.raises(KeyboardInterrupt):
        bench.train(shape, settings, probe=bench.Probe(at=interrupt, **how), run=run)
    assert bench.last(run)[1]["step"] == step
    bench.assert_same(bench.train(shape, settings, probe=bench.Probe(**how), run=run, resume=True), whole)


def test_a_batch_that_is_the_whole_set_cannot_be_changed(bench: Any) -> None:
    """It is prepared once for all steps: a step that writes into it fails instead of spoiling the next."""

    def spoil(step: int, batch: Any) -> None:
        batch["x"] *= 2

    settings = bench.Settings(batch_size=bench.items)
    with pytest.raises(ValueError, match="read-only"):
        bench.train("numpy-step", settings, probe=bench.Probe(at=spoil, shuffle=False))


@pytest.mark.filterwarnings("error")
def test_a_network_that_overflows_is_told_of_in_one_message(bench: Any) -> None:
    """The engine's, which names the step; NumPy's own warnings do not come before it."""

    def overflow(step: int, batch: Any) -> None:
        np.float64(1e300) * np.float64(1e300)
        if step == 2:
            raise EpochalError("the loss is no longer a number")

    with pytest.raises(EpochalError, match="no longer a number"):
        bench.train("numpy-step", bench.Settings(), probe=bench.Probe(at=overflow))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_ends_at_the_first_step_below_the_loss_it_was_to_reach(bench: Any, shape: str) -> None:
    """Weights, steps and final values are those of that very step, not of the epoch it lies in."""
    recipe_steps = bench.Settings(epochs=3, batch_size=bench.items)  # one step an epoch: its loss is the line
    whole = bench.train(shape, recipe_steps, probe=bench.Probe(shuffle=False))
    steps = [line["values"] for line in whole.metrics() if line["scope"] == "step"]
    wanted = steps[1]["loss"] * 1.0001
    assert steps[0]["loss"] > wanted
    settings = replace(recipe_steps, epochs=1, stop=StopSettings(loss=wanted))
    run = bench.train(shape, settings, probe=bench.Probe(repeat=3, shuffle=False))
    assert (run.status, run.meta["steps_done"], run.meta["epochs_done"]) == ("finished", 2, 1)
    last = [line for line in run.metrics() if line["scope"] == "step"][-1]
    assert last["step"] == 2 and last["values"]["loss"] < wanted
    assert run.meta["final"]["loss"] == last["values"]["loss"]
    probe = bench.Probe(repeat=3, shuffle=False)
    at_two = bench.train(shape, replace(recipe_steps, epochs=1, steps=2), probe=probe)
    mine, theirs = bench.last(run)[0], bench.last(at_two)[0]
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_that_reached_its_loss_is_not_trained_on(bench: Any) -> None:
    """More epochs do not change that it is done."""
    settings = bench.Settings(epochs=1, stop=StopSettings(loss=1e9))
    run = bench.train("numpy-step", settings)
    assert run.meta["steps_done"] == 1
    bench.train("numpy-step", replace(settings, epochs=4), run=run, resume=True)
    assert run.reload().meta["steps_done"] == 1 and run.status == "finished"
