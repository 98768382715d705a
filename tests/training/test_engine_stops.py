"""What stops a run: numbers that are none, divergence, Ctrl-C, SIGTERM. The last good checkpoint is always whole."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from epochal.errors import EpochalError
from epochal.training import engine


def assert_good(bench: Any, run: Any, step: int) -> None:
    """The last checkpoint is of `step`, finite in everything, and can be resumed."""
    tensors, state = bench.last(run)
    assert state["step"] == step
    assert all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point())
    shape = run.recipe
    bench.train(shape, bench.Settings(epochs=state["epoch"]), run=run, resume=True)
    assert run.reload().status == "finished"


@pytest.mark.parametrize("shape", ["one-phase", "two-phases", "numpy-step"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(bench: Any, shape: str, bad: float) -> None:
    """At the step where it appears (9, in epoch 2); the message names it, and epoch 1's checkpoint is kept."""
    run = bench.create(shape)
    probe = bench.Probe(factor=lambda step: bad if step == 9 else 1.0)
    with pytest.raises(EpochalError, match=r"no longer a number in epoch 2, step 9 \(.*loss = ") as caught:
        bench.train(shape, probe=probe, run=run)
    assert "last good checkpoint is kept" in str(caught.value)
    assert run.reload().status == "failed" and "epoch 2, step 9" in run.meta["reason"]
    assert_good(bench, run, step=7)


def test_a_loss_that_is_no_number_is_found_between_two_lines(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines come every few steps, checkpoints by time: none of them is written of a network that is broken already."""
    monkeypatch.setenv("EPOCHAL_CHECKPOINT_S", "0")
    settings = bench.Settings(batch_size=1, epochs=1)  # fifty steps, a line every third
    run = bench.create("one-phase", settings)
    probe = bench.Probe(factor=lambda step: float("nan") if step == 10 else 1.0)
    with pytest.raises(EpochalError, match=r"no longer finite in epoch 1, step 10"):
        bench.train("one-phase", settings, probe=probe, run=run)
    tensors, state = bench.last(run)
    assert state["step"] == 9
    assert all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point())


def test_data_that_are_no_numbers_stop_the_run(bench: Any) -> None:
    """One NaN among the data is met in epoch 1; there is no checkpoint yet, and the message says so."""

    def spoil(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = columns["x"].copy()
        x[17] = np.nan
        return {**columns, "x": x}

    run = bench.create("numpy-step")
    with pytest.raises(EpochalError, match="no longer a number in epoch 1") as caught:
        bench.train("numpy-step", probe=bench.Probe(data=spoil), run=run)
    assert "No checkpoint was written yet" in str(caught.value) and run.reload().status == "failed"


def test_weights_that_are_no_numbers_are_not_saved(bench: Any) -> None:
    """The loss of an epoch's last step is finite, but its update breaks a weight: the checkpoint before is kept."""
    run = bench.create("one-phase")

    recipe = bench.recipes["one-phase"](bench.Probe())
    nets_of = recipe.nets

    def nets(settings: Any) -> dict[str, Any]:
        made = nets_of(settings)
        count = iter(range(1, 1000))
        made["net"].dense.bias.register_hook(lambda g: g * float("nan") if next(count) == 14 else g)
        return made

    with pytest.raises(
        EpochalError, match=r"weights/net\.dense\.bias and 2 more is no longer finite in epoch 2"
    ):
        engine.train(replace(recipe, nets=nets), bench.Settings(), run, device="cpu", show=False)
    assert run.reload().status == "failed"
    assert [line["step"] for line in run.metrics() if line["scope"] == "epoch"] == [7, 7]
    assert_good(bench, run, step=7)


def test_divergence_stops_the_run_unless_told_to_go_on(bench: Any) -> None:
    """A loss over a thousand times the lowest one is not coming back; `keep_going` trains on, but never through NaN."""
    probe = bench.Probe(factor=lambda step: 1e5 if step == 9 else 1.0)
    run = bench.create("one-phase")
    with pytest.raises(
        EpochalError, match=r"diverged in epoch 2, step 9: .* over 1000 times its lowest value"
    ) as caught:
        bench.train("one-phase", probe=probe, run=run)
    assert "--keep-going" in str(caught.value) and run.reload().status == "failed"
    assert_good(bench, run, step=7)
    probe = bench.Probe(factor=lambda step: 1e5 if step == 9 else 1.0)
    assert bench.train("one-phase", probe=probe, keep_going=True).status == "finished"
    probe = bench.Probe(factor=lambda step: float("nan") if step == 9 else 1.0)
    with pytest.raises(EpochalError, match="no longer a number"):
        bench.train("one-phase", probe=probe, keep_going=True)


def test_a_loss_below_zero_does_not_diverge_by_rising(bench: Any) -> None:
    """A critic's score may go from -0.6 to 60: without a scale there is no factor of a thousand."""
    probe = bench.Probe(factor=lambda step: -1.0 if step < 9 else 100.0)
    assert bench.train("one-phase", bench.Settings(epochs=2), probe=probe).status == "finished"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(bench: Any, number: int) -> None:
    """Ctrl-C and a job scheduler's SIGTERM: the step is finished, saved, and the handlers are the caller's again."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    probe = bench.Probe(at=lambda step, batch: signal.raise_signal(number) if step == 4 else None)
    run = bench.create("one-phase")
    with pytest.raises(KeyboardInterrupt):
        bench.train("one-phase", probe=probe, run=run)
    assert (run.reload().status, run.meta["reason"]) == ("stopped", "interrupted")
    assert run.meta["steps_done"] == bench.last(run)[1]["step"] > 0, "run.json tells how far it came"
    assert bench.last(run)[1]["step"] == probe.step == 4
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_stops_at_once(bench: Any) -> None:
    """In the middle of the step, without saving; what was saved before still resumes."""
    reached: list[int] = []

    def twice(step: int, batch: Any) -> None:
        if step == 9:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            reached.append(step)

    run = bench.create("one-phase")
    with pytest.raises(KeyboardInterrupt):
        bench.train("one-phase", probe=bench.Probe(at=twice), run=run)
    assert not reached and run.reload().status == "stopped" and bench.last(run)[1]["step"] == 7
    bench.assert_same(bench.train("one-phase", run=run, resume=True), bench.train("one-phase"))


def test_ctrl_c_in_the_last_step_finishes(bench: Any) -> None:
    """Nothing is left to do: the run is finished, not stopped."""
    probe = bench.Probe(at=lambda step, batch: signal.raise_signal(signal.SIGINT) if step == 21 else None)
    assert bench.train("one-phase", probe=probe).status == "finished"


def test_a_failure_of_the_recipe_is_recorded(bench: Any) -> None:
    """Any exception of the loss marks the run failed with its text, and goes on to the caller."""

    def fail(step: int, batch: Any) -> None:
        if step == 9:
            raise ZeroDivisionError("no such style")

    run = bench.create("one-phase")
    with pytest.raises(ZeroDivisionError):
        bench.train("one-phase", probe=bench.Probe(at=fail), run=run)
    assert (run.reload().status, run.meta["reason"]) == ("failed", "no such style")
    assert_good(bench, run, step=7)


def test_training_in_another_thread_leaves_signals_alone(bench: Any) -> None:
    """Python allows signal handlers in the main thread only: elsewhere (a notebook's worker) none is set."""
    done: list[str] = []
    thread = threading.Thread(target=lambda: done.append(bench.train("numpy-step").status))
    thread.start()
    thread.join()
    assert done == ["finished"]


def test_a_full_disk_stops_with_a_message_and_the_old_checkpoint(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch's checkpoint cannot be written: the first one's is still whole."""
    import errno

    from epochal.journal import atomic

    real, calls = atomic.os.replace, []

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("last.safetensors"):
            calls.append(target)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real(source, target)

    run = bench.create("one-phase")
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", full)
        with pytest.raises(EpochalError, match="space"):
            bench.train("one-phase", run=run)
    assert run.reload().status == "failed"
    assert torch.is_tensor(next(iter(bench.last(run)[0].values())))
    assert_good(bench, run, step=7)
