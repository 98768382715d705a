"""The engine on the contract's three shapes: it trains them, and a resumed run equals the whole one to the bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from epochal.errors import EpochalError
from epochal.settings.common import DataSettings
from epochal.training import checkpoint, engine, precision
from epochal.training.learner import Choices

SHAPES = ("one-phase", "two-phases", "numpy-step")
FAST = Choices("bfloat16", "channels_last", "fast", 1)


def interrupt_at(step: int) -> Callable[[int, Any], None]:
    """Ctrl-C, as the operating system sends it, in the middle of a step."""
    return lambda now, batch: signal.raise_signal(signal.SIGINT) if now == step else None


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_trains(bench: Any, shape: str) -> None:
    """The loss falls (a GAN's does not: there the weights of both networks move), and the run says what was done."""
    run = bench.train(shape, bench.Settings(epochs=8, lr=0.02))
    losses = [value for _, value in run.epoch_values()["loss"]]
    assert len(losses) == 8
    if shape != "two-phases":
        assert losses[-1] < 0.8 * losses[0]
    assert (run.status, run.reason if hasattr(run, "reason") else run.meta["reason"]) == ("finished", None)
    assert (run.meta["epochs_done"], run.meta["steps_done"]) == (8, 8 * bench.steps)
    assert run.meta["final"]["loss"] == losses[-1]
    assert [
        line["epoch"] for line in run.metrics() if line["scope"] == "epoch" and line["split"] == "train"
    ] == [*range(1, 9)]
    assert (run.path / "console.log").read_text().count("epoch ") == 8


@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_items_is_kept_with_the_run(bench: Any, shape: str) -> None:
    """Titles and rates tell how many items a run trained on: those there were, which a limit alone does not say."""
    run = bench.train(shape, bench.Settings(epochs=1, data=DataSettings(limit=1000)))
    assert run.meta["data"]["items"] == bench.items == 50


def test_drawn_data_are_called_so_at_the_start(bench: Any) -> None:
    """A run on drawn items says so, so that nobody takes its numbers for those of real data; others say nothing."""
    plain = bench.recipes["numpy-step"]

    def on(data: dict[str, Any]) -> str:
        def recipe(probe: Any) -> Any:
            tiny = plain(probe)
            return replace(tiny, build=lambda *parts: replace(tiny.build(*parts), data=data))

        bench.recipes["numpy-step"] = recipe
        return str((bench.train("numpy-step", bench.Settings(epochs=1)).path / "console.log").read_text())

    assert "\ndata: glyphs, drawn by Epochal: not real data\n" in on({"name": "glyphs", "drawn": True})
    assert "data:" not in on({"name": "mnist", "drawn": False})


def test_a_tasks_remarks_are_said_at_the_start(bench: Any) -> None:
    """What a recipe has to say of its loss and data stands in the console log, before the first epoch."""
    plain = bench.recipes["one-phase"]

    def recipe(probe: Any) -> Any:
        tiny = plain(probe)
        return replace(tiny, build=lambda *parts: replace(tiny.build(*parts), remarks=("β = 86.4",)))

    bench.recipes["one-phase"] = recipe
    console = (bench.train("one-phase", bench.Settings(epochs=1)).path / "console.log").read_text("utf-8")
    assert "\nβ = 86.4\n" in console and console.index("β") < console.index("epoch 1/1")


def test_a_precision_that_numpy_does_not_have_is_told(bench: Any) -> None:
    """What was asked for and is not done is said; what nobody asked for is not."""
    for asked, told in (("bfloat16", True), ("auto", False)):
        run = bench.train("numpy-step", bench.Settings(epochs=1), precision=asked)
        assert (f"precision {asked} is not used" in (run.path / "console.log").read_text()) == told


def test_epochs_that_end_before_the_steps_say_so(bench: Any) -> None:
    """Where less is trained than `steps` asks for, the console tells it, and how many epochs would do."""
    for steps, told in ((10_000, True), (2, False), (None, False)):
        run = bench.train("one-phase", bench.Settings(epochs=2, steps=steps))
        console = (run.path / "console.log").read_text()
        assert ("asked for" in console) == told
        if told:
            done = run.meta["steps_done"]
            assert (
                f"2 epochs are {done} steps, not the 10,000 asked for: --epochs {-(-10_000 * 2 // done)} "
                in console
            )


def test_both_networks_of_a_gan_learn(bench: Any) -> None:
    """Each phase updates its own network, and its losses are told apart by its name."""
    run = bench.train("two-phases", bench.Settings(epochs=1))
    fresh = bench.train("two-phases", bench.Settings(epochs=1, lr=1e-12, steps=1))
    (after, _), (before, _) = bench.last(run), bench.last(fresh)
    moved = {k for k in after if k.startswith("weights/") and (after[k] - before[k]).abs().max() > 1e-3}
    assert {name.split("/")[1].split(".")[0] for name in moved} == {"generator", "discriminator", "average"}
    names = set(run.epoch_values())
    assert names == {
        "discriminator/loss",
        "discriminator/real",
        "discriminator/fake",
        "generator/loss",
        "loss",
    }
    assert run.meta["loss_definition"] == {
        "discriminator": "-log D(x) - log(1 - D(G(z)))",
        "generator": "-log D(G(z))",
    }


@pytest.mark.parametrize(
    ("shape", "choices"),
    [
        *((shape, Choices()) for shape in SHAPES),
        ("one-phase", FAST),
        ("two-phases", FAST),
    ],  # NumPy has no bfloat16
    ids=[*SHAPES, "one-phase-bfloat16", "two-phases-bfloat16"],
)
@pytest.mark.parametrize("step", [3, 7, 10, 14, 20], ids=lambda step: f"step{step}")
def test_resuming_is_exact(bench: Any, shape: str, step: int, choices: Choices) -> None:
    """Stopped inside an epoch (3, 10, 20) or at its last step (7, 14) and resumed: same weights, moments and lines."""
    bench.choices = choices
    whole = bench.train(shape)
    run = bench.create(shape)
    with pytest.raises(KeyboardInterrupt):
        bench.train(shape, probe=bench.Probe(at=interrupt_at(step)), run=run)
    assert run.reload().status == "stopped"
    assert bench.last(run)[1]["step"] == step
    bench.assert_same(bench.train(shape, run=run, resume=True), whole)


def test_resuming_again_and_again_is_exact(bench: Any) -> None:
    """One step a life."""
    whole = bench.train("one-phase")
    run = bench.create("one-phase")
    resume = False
    for _ in range(3 * bench.steps - 1):
        with pytest.raises(KeyboardInterrupt):
            bench.train("one-phase", probe=bench.Probe(at=interrupt_at(1)), run=run, resume=resume)
        resume = True
    bench.assert_same(bench.train("one-phase", run=run, resume=True), whole)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the engine's runs afterwards (what it runs, a kill would leave out)."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_kill_before_or_long_after_a_checkpoint_costs_only_time(bench: Any, shape: str, step: int) -> None:
    """No checkpoint yet: the run starts again, without its first life's lines. Else it goes back to the last one."""
    whole = bench.train(shape)

    def kill(now: int, batch: Any) -> None:
        if now == step:
            raise Killed

    run = bench.create(shape)
    with pytest.raises(Killed):
        bench.train(shape, probe=bench.Probe(at=kill), run=run)
    assert (run.checkpoints_dir / "last.safetensors").exists() == (step > bench.steps)
    bench.assert_same(bench.train(shape, run=run, resume=True), whole)


@pytest.mark.parametrize("victim", ["update", "append", "sync"])
@pytest.mark.parametrize("call", range(1, 12, 2))
def test_a_kill_between_two_writes_costs_only_time(
    bench: Any, monkeypatch: pytest.MonkeyPatch, victim: str, call: int
) -> None:
    """Metrics, run.json and checkpoint are three files: after a kill between two of their writes, all agree again."""
    from epochal.journal import Run

    whole = bench.train("one-phase", bench.Settings(epochs=2))
    calls = iter(range(1, 1000))
    real = getattr(Run, victim)

    def dying(self: Run, *args: Any, **fields: Any) -> None:
        if next(calls) == call:
            raise Killed
        real(self, *args, **fields)

    run = bench.create("one-phase", bench.Settings(epochs=2))
    with monkeypatch.context() as patch:
        patch.setattr(Run, victim, dying)
        with suppress(Killed):
            bench.train("one-phase", bench.Settings(epochs=2), run=run)
    if run.reload().status != "finished":
        bench.train("one-phase", bench.Settings(epochs=2), run=run, resume=True)
    bench.assert_same(run.reload(), whole)


def test_time_makes_checkpoints_inside_an_epoch(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPOCHAL_CHECKPOINT_S=0 writes one after every step; the result is the same, and a kill loses one step."""
    whole = bench.train("one-phase")
    monkeypatch.setenv("EPOCHAL_CHECKPOINT_S", "0")

    def kill(now: int, batch: Any) -> None:
        if now == 6:
            raise Killed

    run = bench.create("one-phase")
    with pytest.raises(Killed):
        bench.train("one-phase", probe=bench.Probe(at=kill), run=run)
    assert bench.last(run)[1]["step"] == 5
    bench.assert_same(bench.train("one-phase", run=run, resume=True), whole)
    monkeypatch.setenv("EPOCHAL_CHECKPOINT_S", "often")
    with pytest.raises(EpochalError, match="EPOCHAL_CHECKPOINT_S = 'often' is no number"):
        bench.train("one-phase")


@pytest.mark.parametrize("shape", SHAPES)
def test_more_epochs_after_the_end(bench: Any, shape: str) -> None:
    """A finished run resumed for more epochs equals the run that was asked for them at once."""
    whole = bench.train(shape, bench.Settings(epochs=4))
    run = bench.train(shape, bench.Settings(epochs=2))
    bench.assert_same(bench.train(shape, bench.Settings(epochs=4), run=run, resume=True), whole)


def test_a_finished_run_stays_finished(bench: Any) -> None:
    """Killed after its last checkpoint but before it said so: resuming trains nothing, only says so."""
    whole = bench.train("one-phase")
    run = bench.train("one-phase")
    run.update(status="running", finished=None)
    probe = bench.Probe()
    bench.assert_same(bench.train("one-phase", run=run, resume=True, probe=probe), whole)
    assert probe.step == 0 and run.meta["finished"]


def test_seeds_decide_everything(bench: Any) -> None:
    """The same seed gives the same run, another seed other weights, order and noise, for every shape."""
    for shape in SHAPES:
        first, same, other = (bench.train(shape, bench.Settings(epochs=1), seed=s) for s in (1, 1, 2))
        bench.assert_same(first, same)
        (a, _), (b, _) = bench.last(first), bench.last(other)
        assert not any(torch.equal(a[k], b[k]) for k in a if k.endswith(("weight", "/w")) and "norm" not in k)


def test_the_callers_random_state_is_untouched(bench: Any) -> None:
    """Training and loading leave torch's global generator and thread count as they were."""
    torch.manual_seed(123)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    run = bench.train("one-phase", bench.Settings(epochs=1))
    engine.load(bench.recipes["one-phase"](bench.Probe()), run, device="cpu", settings=bench.Settings())
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


def test_threads_bind_numpys_matrix_products(bench: Any) -> None:
    """`threads` holds for NumPy's BLAS while it trains, is recorded for a resume, and ends with the training."""
    seen = []
    with threadpool_limits(2, user_api="blas"):
        run = bench.train(
            "numpy-step", probe=bench.Probe(at=lambda step, batch: seen.append(blas_threads())), threads=1
        )
        assert blas_threads() == {2}
    assert seen and all(threads == {1} for threads in seen)
    assert run.meta["choices"]["threads"] == 1


def blas_threads() -> set[int]:
    """Threads of the libraries that multiply NumPy's matrices."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_more_training_forgets_what_was_measured_before_it(bench: Any) -> None:
    """An evaluation speaks of the weights it was measured of: trained on, a run has none until it is measured again."""
    run = bench.train("one-phase", bench.Settings(epochs=1))
    run.update(evaluation={"test": {"accuracy": 0.5}})
    bench.train("one-phase", bench.Settings(epochs=2), run=run, resume=True)
    assert run.reload().meta["evaluation"] == {}


def test_validation_leaves_no_trace(bench: Any) -> None:
    """A recipe's `validate` may draw random numbers and switch nothing: training goes on as without it."""

    def greedy(nets: Any) -> dict[str, float]:
        assert not nets["net"].training and not torch.is_grad_enabled()
        return {"accuracy": float(torch.rand(100).mean())}

    quiet = bench.train("one-phase", probe=bench.Probe(validate=lambda nets: {}))
    drawn = bench.train("one-phase", probe=bench.Probe(validate=greedy))
    assert quiet.epoch_values() == drawn.epoch_values()


def test_the_best_epoch_is_kept(bench: Any) -> None:
    """The checkpoint `best` is that of the epoch with the best validation value; a value that is no number never is."""
    scores = iter([0.5, float("nan"), 0.9, 0.7])
    seen: list[torch.Tensor] = []

    def validate(nets: Any) -> dict[str, float]:
        seen.append(nets["net"].dense.weight.detach().clone())
        return {"accuracy": next(scores)}

    run = bench.train("one-phase", bench.Settings(epochs=4), probe=bench.Probe(validate=validate))
    recipe = bench.recipes["one-phase"](bench.Probe())
    best = engine.load(recipe, run, device="cpu", settings=bench.Settings())
    last = engine.load(recipe, run, which="last", device="cpu", settings=bench.Settings())
    assert torch.equal(best.nets["net"].dense.weight, seen[2])
    assert torch.equal(last.nets["net"].dense.weight, seen[3])
    assert checkpoint.read(run.checkpoints_dir / "best.safetensors")[1] == {"epoch": 3}
    assert not best.nets["net"].training


def test_a_warm_start_begins_with_the_parents_weights(bench: Any) -> None:
    """Weights and buffers are the parent's at the first step; the parent's optimiser is not taken over."""
    for shape in SHAPES:
        parent = bench.train(shape)
        child = bench.train(shape, bench.Settings(epochs=1, steps=1, lr=1e-12), seed=9, warm_start=parent)
        (old, _), (new, _) = bench.last(parent), bench.last(child)
        same = [k for k in old if k.startswith("weights/") and "running" not in k and "num_batches" not in k]
        for name in same if shape == "one-phase" else [k for k in same if "discriminator" in k]:
            torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-6)


def test_a_warm_start_from_another_network_is_refused(bench: Any) -> None:
    """One clear message that names the first weight that does not fit, and the run is marked failed."""
    parent = bench.train("two-phases", bench.Settings(epochs=1))
    run = bench.create("one-phase")
    with pytest.raises(EpochalError, match=r"cannot start from the weights of .*: net\.conv\.weight"):
        bench.train("one-phase", run=run, warm_start=parent)
    assert run.reload().status == "failed"


def test_a_checkpoint_of_another_network_is_refused(bench: Any) -> None:
    """Resuming from it gives one message, and so does loading it; no traceback of torch's."""
    other = bench.train("two-phases", bench.Settings(epochs=1))
    run = bench.train("one-phase", bench.Settings(epochs=1))
    file = other.checkpoints_dir / "last.safetensors"
    (run.checkpoints_dir / "last.safetensors").write_bytes(file.read_bytes())
    with pytest.raises(EpochalError, match="does not fit the run"):
        bench.train("one-phase", bench.Settings(epochs=2), run=run, resume=True)
    with pytest.raises(EpochalError, match="does not fit the networks of one-phase"):
        engine.load(
            bench.recipes["one-phase"](bench.Probe()),
            run,
            which="last",
            device="cpu",
            settings=bench.Settings(),
        )


def test_only_one_process_trains_a_run(bench: Any) -> None:
    """The run is locked while it trains."""
    run = bench.create("one-phase")
    with run.lock(), pytest.raises(EpochalError, match="is being trained by"):
        bench.train("one-phase", run=run)


def test_a_saved_choice_is_kept_on_resume(bench: Any) -> None:
    """Precision, layout, layers and threads of the first life; what the machine would choose now does not matter."""
    bench.choices = FAST
    run = bench.create("one-phase")
    with pytest.raises(KeyboardInterrupt):
        bench.train("one-phase", probe=bench.Probe(at=interrupt_at(3)), run=run)
    bench.choices = Choices()
    bench.train("one-phase", run=run, resume=True, precision="float32")
    assert run.meta["choices"] == {
        "precision": "bfloat16",
        "layout": "channels_last",
        "layers": "fast",
        "threads": 1,
        "how": "fixed by a test",
    }


@pytest.mark.parametrize("always_try", [False, True])
def test_a_benchmark_looks_for_faster_ways_however_short_it_is(
    bench: Any, monkeypatch: pytest.MonkeyPatch, always_try: bool
) -> None:
    """The trial is told how short the run is, which may leave it out; a benchmark, whose few steps stand for long
    runs, does not tell."""
    told: list[Any] = []

    def choose(*_: Any, steps: int | None, **__: Any) -> tuple[Choices, str]:
        told.append(steps)
        return precision.plain(1), "fixed by a test"

    monkeypatch.setattr(precision, "choose", choose)
    bench.train("one-phase", bench.Settings(epochs=3), always_try=always_try)
    assert told == [None if always_try else 3 * bench.steps]
