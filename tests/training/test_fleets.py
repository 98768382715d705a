"""Fleets: each member is what it would be alone, kills cost only time, and members leave when they are done."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from epochal.errors import EpochalError
from epochal.journal import Lab, Run, members
from epochal.settings import apply, to_dict
from epochal.settings.common import StopSettings
from epochal.training import checkpoint, engine

_SPEC = importlib.util.spec_from_file_location("tiny_fleet", Path(__file__).parents[1] / "tiny_fleet.py")
assert _SPEC is not None and _SPEC.loader is not None
tiny = importlib.util.module_from_spec(_SPEC)
__import__("sys").modules["tiny_fleet"] = tiny
_SPEC.loader.exec_module(tiny)

SEEDS = (0, 1, 2)
GRID: tuple[dict[str, Any], ...] = ({"optim.lr": 0.2}, {"optim.lr": 0.01, "optim.momentum": 0.0})
STEPS = 2 * 3  # an epoch: two passes of ten items in batches of four


class Fleets:
    """Trains fleets and single runs of the tiny recipe in a lab of their own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.steps = 0

    def create(
        self, settings: Any, seeds: Sequence[int] = SEEDS, grid: Sequence[Mapping[str, Any]] = GRID
    ) -> Run:
        """A fleet that is not trained yet: every seed at every point of the grid."""
        roster = members.lines_for([(seed, patch) for seed in seeds for patch in grid])
        return self.lab.create_run(
            recipe="lines",
            version="plain",
            seed=seeds[0],
            seeds_of=list(seeds),
            settings=to_dict(settings),
            roster=roster,
        )

    def train(self, run: Run, settings: Any, at: Callable[[int], None] | None = None, **how: Any) -> Run:
        """Trains a fleet; `at(step)` is called before every step of this call, counted from 1."""
        engine.train(self.recipe(at), settings, run, show=False, **how)
        return run.reload()

    def recipe(self, at: Callable[[int], None] | None = None) -> Any:
        """The tiny recipe; its fleet calls `at` before every step."""
        count = iter(range(1, 1_000_000))

        def stack(settings: Sequence[Any], seeds: Sequence[int]) -> Any:
            fleet = tiny.Lines(settings, seeds)
            step = fleet.step

            def watched(batch: Any, rngs: Any) -> Any:
                if at is not None:
                    at(next(count))
                return step(batch, rngs)

            fleet.step = watched
            return fleet

        return replace(tiny.RECIPE, stack=stack)

    def alone(self, settings: Any, seed: int, patch: Mapping[str, Any]) -> Run:
        """The run that a member would be."""
        own = apply(settings, patch)
        run = self.lab.create_run(recipe="lines", version="plain", seed=seed, settings=to_dict(own))
        engine.train(tiny.RECIPE, own, run, show=False)
        return run.reload()


@pytest.fixture
def fleets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleets:
    """A lab of its own; checkpoints inside an epoch only where a test asks for them."""
    monkeypatch.delenv("EPOCHAL_CHECKPOINT_S", raising=False)
    return Fleets(Lab(tmp_path / "lab"))


def lines(run: Run) -> list[dict[str, Any]]:
    """Metric lines of epochs, without the clock; a member's without its number."""
    kept = [line for line in run.metrics() if line["scope"] == "epoch"]
    return [{k: v for k, v in line.items() if k not in ("time", "member")} for line in kept]


def assert_equals_alone(fleets: Fleets, fleet: Run, settings: Any) -> list[Run]:
    """Every member equals its run alone to the bit: weights of both checkpoints, lines, values, steps."""
    alone = []
    for member in members.of(fleet):
        run = fleets.alone(settings, member.seed, member.line["patch"])
        alone.append(run)
        for which in ("last", "best"):
            mine, theirs = (
                engine.load(tiny.RECIPE, one, which=which).nets["line"].state() for one in (member, run)
            )
            for name, array in theirs.items():
                np.testing.assert_array_equal(mine[name], array, err_msg=f"{member.id} {which} {name}")
        assert lines(member) == lines(run), member.id
        for field in ("final", "status", "steps_done", "epochs_done", "settings", "loss_definition", "data"):
            assert member.meta[field] == run.meta[field], (member.id, field)
    return alone


def assert_same(a: Run, b: Run) -> None:
    """Two fleets are equal to the bit but for the clock: checkpoints, lines, members."""
    for name in ("last.safetensors", "best.safetensors"):
        paths = [run.checkpoints_dir / name for run in (a, b)]
        assert paths[0].exists() == paths[1].exists()
        if paths[0].exists():
            (mine, my_state), (theirs, their_state) = (checkpoint.read(path) for path in paths)
            assert mine.keys() == theirs.keys()
            for key, tensor in mine.items():
                assert tensor.numpy().tobytes() == theirs[key].numpy().tobytes(), (name, key)
            assert {**my_state, "elapsed": 0} == {**their_state, "elapsed": 0}
    mine_lines, their_lines = ([{**line, "time": 0} for line in run.metrics()] for run in (a, b))
    assert mine_lines == their_lines
    assert members.read(a) == members.read(b)
    for name in ("epochs_done", "steps_done", "status", "final", "loss_definition"):
        assert a.meta[name] == b.meta[name], name


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [4, 10])
def test_members_equal_their_runs_alone(fleets: Fleets, shuffle: bool, batch_size: int) -> None:
    """Order, initial weights and noise are the seed's own; the arithmetic of this recipe is the same to the bit."""
    settings = tiny.Settings(shuffle=shuffle, batch_size=batch_size)
    fleet = fleets.train(fleets.create(settings), settings)
    assert (fleet.status, fleet.meta["epochs_done"], fleet.meta["final"]) == ("finished", 4, {})
    assert_equals_alone(fleets, fleet, settings)
    assert all(line["reached"] is None for line in members.read(fleet))


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_members_that_reach_their_loss_stop_where_they_would_alone(
    fleets: Fleets, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """In the very step, with its weights and values, however late the arrays are made smaller; others go on."""
    monkeypatch.setattr("epochal.training.fleets.SWEEP", share)
    settings = tiny.Settings(stop=StopSettings(loss=0.05), epochs=6)
    fleet = fleets.train(fleets.create(settings), settings)
    alone = assert_equals_alone(fleets, fleet, settings)
    reached = [line["reached"] for line in members.read(fleet)]
    assert reached == [run.meta["final"]["loss"] < 0.05 for run in alone]
    assert {True, False} == set(reached)
    assert len({run.meta["steps_done"] for run in alone}) > 2
    assert fleet.meta["steps_done"] == max(run.meta["steps_done"] for run in alone)


def test_a_fleet_ends_with_its_last_member(fleets: Fleets) -> None:
    """No step is made once all are done."""
    settings = tiny.Settings(stop=StopSettings(loss=1e6), epochs=6)
    steps: list[int] = []
    fleet = fleets.train(fleets.create(settings), settings, at=steps.append)
    assert len(steps) == 1 == fleet.meta["steps_done"]
    assert [line["status"] for line in members.read(fleet)] == ["finished"] * 6
    assert_equals_alone(fleets, fleet, settings)


def test_patience_is_each_members_own(fleets: Fleets) -> None:
    """A member whose validation value no longer improves ends; its best weights are those of its best epoch."""
    settings = tiny.Settings(stop=StopSettings(patience=2), epochs=12, noise=0.3)
    fleet = fleets.train(fleets.create(settings), settings)
    alone = assert_equals_alone(fleets, fleet, settings)
    assert len({run.meta["epochs_done"] for run in alone}) > 1


def test_steps_end_a_fleet_inside_an_epoch(fleets: Fleets) -> None:
    """As they end a run."""
    settings = tiny.Settings(steps=STEPS + 2)
    fleet = fleets.train(fleets.create(settings), settings)
    assert_equals_alone(fleets, fleet, settings)


def test_a_member_that_diverges_leaves_the_others_alone(fleets: Fleets) -> None:
    """It is failed with its reason; what was written of it stays finite."""
    settings = tiny.Settings(epochs=6)
    grid = ({"optim.lr": 0.05}, {"optim.lr": 30.0})
    fleet = fleets.train(fleets.create(settings, grid=grid), settings)
    assert fleet.status == "finished"
    for member in members.of(fleet):
        if member.line["patch"]["optim.lr"] == 30.0:
            assert member.status == "failed" and "diverged in epoch 1" in member.meta["reason"]
        else:
            run = fleets.alone(settings, member.seed, member.line["patch"])
            assert lines(member) == lines(run) and member.status == "finished"
    tensors, _ = checkpoint.read(fleet.checkpoints_dir / "last.safetensors")
    assert all(bool(t.isfinite().all()) for k, t in tensors.items() if k.startswith("weights/"))
    kept = fleets.train(fleets.create(settings, grid=grid), settings, keep_going=True)
    reasons = {line.get("reason", "") for line in members.read(kept) if line["status"] == "failed"}
    assert not any("diverged" in reason for reason in reasons)


def test_a_fleet_whose_members_all_fail_fails(fleets: Fleets) -> None:
    """With the first reason; each member has its own."""
    settings = tiny.Settings(epochs=60)
    fleet = fleets.create(settings, grid=({"optim.lr": 1e9},))
    with pytest.raises(EpochalError, match="all 3 members of the fleet failed; the first: the loss"):
        fleets.train(fleet, settings)
    assert fleet.reload().status == "failed" and fleet.meta["epochs_done"] < 60
    assert all(line["status"] == "failed" and line["reason"] for line in members.read(fleet))


def test_losses_of_members_may_have_different_formulas(fleets: Fleets) -> None:
    """A member whose settings change the loss carries its own definition, so that losses are not compared."""
    settings = tiny.Settings(epochs=1)
    fleet = fleets.train(fleets.create(settings, grid=({}, {"optim.decay": 0.5})), settings)
    one, other, *_ = members.of(fleet)
    assert one.meta["loss_definition"] == fleet.meta["loss_definition"] == {"step": "mean (ŷ - y)² + 0·w²"}
    assert other.meta["loss_definition"] == {"step": "mean (ŷ - y)² + 0.5·w²"}
    assert_equals_alone(fleets, fleet, settings)


STOPPING = tiny.Settings(stop=StopSettings(loss=0.05), epochs=6)


def interrupt_at(step: int) -> Callable[[int], None]:
    """Ctrl-C, as the operating system sends it, before a step."""
    return lambda now: signal.raise_signal(signal.SIGINT) if now == step else None


@pytest.mark.parametrize("share", [0.05, 0.6])
@pytest.mark.parametrize("step", [3, STEPS, 9, 14, 20, 30])
def test_resuming_is_exact(fleets: Fleets, monkeypatch: pytest.MonkeyPatch, step: int, share: float) -> None:
    """Stopped inside an epoch or at its end, before and after members were taken out: the same to the bit."""
    monkeypatch.setattr("epochal.training.fleets.SWEEP", share)
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    run = fleets.create(STOPPING)
    with pytest.raises(KeyboardInterrupt):
        fleets.train(run, STOPPING, at=interrupt_at(step))
    assert run.reload().status == "stopped"
    assert {one.status for one in members.of(run)} <= {"stopped", "finished"}
    assert_same(fleets.train(run, STOPPING, resume=True), whole)


def test_resuming_again_and_again_is_exact(fleets: Fleets) -> None:
    """Two steps a life."""
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    run, lives = fleets.create(STOPPING), 0
    while run.reload().status != "finished":
        try:
            fleets.train(run, STOPPING, at=interrupt_at(2), resume=lives > 0)
        except KeyboardInterrupt:
            lives += 1
    assert lives > 10
    assert_same(run, whole)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the engine's runs afterwards (what it runs, a kill would leave out)."""


@pytest.mark.parametrize("every_step", [True, False], ids=["checkpoints-inside", "checkpoints-between"])
@pytest.mark.parametrize("step", [1, 8, 15, 25])
def test_a_kill_costs_only_time(
    fleets: Fleets, monkeypatch: pytest.MonkeyPatch, step: int, every_step: bool
) -> None:
    """Before the first checkpoint, between two, or with one after every step."""
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    if every_step:
        monkeypatch.setenv("EPOCHAL_CHECKPOINT_S", "0")

    def kill(now: int) -> None:
        if now == step:
            raise Killed

    run = fleets.create(STOPPING)
    with pytest.raises(Killed):
        fleets.train(run, STOPPING, at=kill)
    assert_same(fleets.train(run, STOPPING, resume=True), whole)


@pytest.mark.parametrize("victim", ["update", "append", "sync", "writing"])
@pytest.mark.parametrize("call", range(1, 16, 2))
def test_a_kill_between_two_writes_costs_only_time(
    fleets: Fleets, monkeypatch: pytest.MonkeyPatch, victim: str, call: int
) -> None:
    """Metrics, members, run.json and checkpoint are four files: after a kill between two writes all agree again."""
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    calls, real = iter(range(1, 1000)), getattr(Run, victim)

    def dying(self: Run, *args: Any, **fields: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return real(self, *args, **fields)

    run = fleets.create(STOPPING)
    with monkeypatch.context() as patch:
        patch.setattr(Run, victim, dying)
        with suppress(Killed):
            fleets.train(run, STOPPING)
    if run.reload().status != "finished":
        fleets.train(run, STOPPING, resume=True)
    assert_same(run.reload(), whole)


def test_a_torn_log_is_mended(fleets: Fleets) -> None:
    """A power cut may tear the last line of the metrics and take the table of members back by a checkpoint."""
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    run = fleets.create(STOPPING)
    old = (run.path / members.NAME).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        fleets.train(run, STOPPING, at=interrupt_at(14))
    (run.path / members.NAME).write_bytes(old)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"member": 1, "time": 3.1, "st')
    assert_same(fleets.train(run, STOPPING, resume=True), whole)


def test_more_epochs_after_the_end(fleets: Fleets) -> None:
    """Members that had not reached their loss go on, as if they had been asked for so many at once."""
    longer, shorter = STOPPING, replace(STOPPING, epochs=2)
    whole = fleets.train(fleets.create(longer), longer)
    run = fleets.train(fleets.create(shorter), shorter)
    assert [line["status"] for line in members.read(run)] == ["finished"] * 6
    run.update(settings=to_dict(longer))
    assert_same(fleets.train(run, longer, resume=True), whole)


def test_a_finished_fleet_stays_finished(fleets: Fleets) -> None:
    """Killed after its last checkpoint but before it said so: resuming trains nothing, only says so."""
    whole = fleets.train(fleets.create(STOPPING), STOPPING)
    run = fleets.train(fleets.create(STOPPING), STOPPING)
    run.update(status="running", finished=None)
    steps: list[int] = []
    assert_same(fleets.train(run, STOPPING, resume=True, at=steps.append), whole)
    assert not steps


def test_more_training_forgets_what_was_measured_before_it(fleets: Fleets) -> None:
    """An evaluation speaks of the weights it was measured of; a member that was done and did not move keeps its own."""
    run = fleets.train(fleets.create(STOPPING), STOPPING)
    lines = members.read(run)
    ended = next(line["member"] for line in lines if line["reached"])
    going = next(line["member"] for line in lines if line["status"] == "finished" and not line["reached"])
    found = {"test": {"slope_error": 0.25}}
    members.keep_evaluations(run, {ended: found, going: found})
    fleets.train(run, replace(STOPPING, epochs=STOPPING.epochs + 1), resume=True)
    assert members.one(run, ended).meta["evaluation"] == found
    assert members.one(run, going).meta["evaluation"] == {}


def test_members_load_and_lend_their_weights(fleets: Fleets) -> None:
    """All at once as one by one; a run can start from a member's weights."""
    settings = tiny.Settings(epochs=2)
    fleet = fleets.train(fleets.create(settings), settings)
    runs = members.of(fleet)
    for member, loaded in zip(runs, engine.load_members(tiny.RECIPE, runs), strict=True):
        alone = engine.load(tiny.RECIPE, member)
        np.testing.assert_array_equal(loaded.nets["line"].weights, alone.nets["line"].weights)
        assert (loaded.seed, loaded.settings) == (member.seed, alone.settings)
    child = fleets.lab.create_run(recipe="lines", version="plain", seed=5, settings=to_dict(settings))
    still = replace(settings, epochs=1, steps=1, optim=replace(settings.optim, lr=1e-300))
    engine.train(tiny.RECIPE, still, child, show=False, warm_start=runs[3])
    started = engine.load(tiny.RECIPE, child, which="last", settings=still).nets["line"].weights
    lent = engine.load(tiny.RECIPE, runs[3], which="last").nets["line"]
    np.testing.assert_allclose(started, lent.weights + 0.5 * lent.velocity)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": lambda self: {"w": np.zeros(2)}}, r"w of its fleet's state has the shape \(2,\), not \(6"),
        ({"step": lambda self, batch, rngs: {"loss": 1.0}}, r"step gives loss of shape \(\), not \(6,\)"),
        ({"step": lambda self, batch, rngs: {"fit": np.zeros(6)}}, "step gives no loss"),
    ],
)
def test_a_fleet_that_is_none_is_named(fleets: Fleets, change: Mapping[str, Any], message: str) -> None:
    """A mistake in a recipe's stack is said in its words, with the way round."""
    settings = tiny.Settings()
    kind = type("Odd", (tiny.Lines,), dict(change))
    run = fleets.create(settings)
    with pytest.raises(EpochalError, match=message) as caught:
        engine.train(replace(tiny.RECIPE, stack=kind), settings, run, show=False)
    assert "--one-by-one" in str(caught.value)


def test_a_recipe_that_no_longer_stacks_is_named(fleets: Fleets) -> None:
    """Its fleets cannot be resumed; the message says why."""
    settings = tiny.Settings()
    run = fleets.create(settings)
    with pytest.raises(EpochalError, match="stacks no networks"):
        engine.train(replace(tiny.RECIPE, stack=None), settings, run, show=False)


def test_a_checkpoint_of_another_fleet_is_refused(fleets: Fleets) -> None:
    """One with fewer members does not fit."""
    settings = tiny.Settings(epochs=1)
    run = fleets.train(fleets.create(settings), settings)
    other = fleets.train(fleets.create(settings, seeds=(0,)), settings)
    for name in ("last.safetensors", "best.safetensors"):
        (run.checkpoints_dir / name).write_bytes((other.checkpoints_dir / name).read_bytes())
    with pytest.raises(EpochalError, match="does not fit the run: weights is 2x2, not 6x2"):
        fleets.train(run, replace(settings, epochs=2), resume=True)


@pytest.mark.parametrize("table", ["", '{"member": 0}\n', None, "edited"])
def test_resume_writes_a_lost_table_of_members_anew(fleets: Fleets, table: str | None) -> None:
    """The checkpoint knows the members: nothing that happens to their table changes what is trained."""
    settings = tiny.Settings(epochs=2)
    whole = fleets.train(fleets.create(settings), settings)
    one = replace(settings, epochs=1)
    run = fleets.train(fleets.create(one), one)
    path = run.path / members.NAME
    if table is None:
        path.unlink()
    else:
        path.write_text(path.read_text().replace("0.2", "0.3") if table == "edited" else table)
    fleets.train(run, settings, resume=True)
    assert [line["final"] for line in members.read(run)] == [line["final"] for line in members.read(whole)]
    assert [line["patch"] for line in members.read(run)] == [line["patch"] for line in members.read(whole)]


def test_members_that_differ_in_what_they_share_are_refused(fleets: Fleets) -> None:
    """Such a fleet was edited by hand: the message names the setting, and those that may differ."""
    settings = tiny.Settings()
    run = fleets.create(settings, grid=[{"optim.lr": 0.2}, {"batch_size": 3}])
    with pytest.raises(EpochalError, match="its members differ in batch_size") as caught:
        fleets.train(run, settings)
    assert "Members may differ in optim.lr" in str(caught.value)


def test_members_with_what_json_cannot_hold_are_written(fleets: Fleets) -> None:
    """A validation value that is not finite is kept as such, in the line and in the checkpoint."""

    def build(settings: Any, nets: Any) -> Any:
        return replace(tiny.build(settings, nets), validate=lambda nets, rng: {"score": float("inf")})

    settings = tiny.Settings(epochs=1)
    run = fleets.create(settings)
    engine.train(replace(tiny.RECIPE, build=build), settings, run, show=False)
    assert members.one(run.reload(), 0).meta["final"]["validation/score"] == float("inf")
    assert json.loads((run.path / members.NAME).read_text().splitlines()[0])["final"]["validation/score"] == (
        "Infinity"
    )
    engine.train(replace(tiny.RECIPE, build=build), replace(settings, epochs=2), run, show=False, resume=True)
    assert members.one(run.reload(), 0).meta["epochs_done"] == 2


def test_the_callers_numpy_warnings_are_untouched(fleets: Fleets) -> None:
    """Overflow of a failing member is silent inside the fleet's training, and only there."""
    settings = tiny.Settings(epochs=1)
    before = np.geterr()
    fleets.train(fleets.create(settings), settings)
    assert np.geterr() == before and torch.get_num_threads() >= 1
