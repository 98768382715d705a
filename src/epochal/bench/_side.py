"""A side of the speed benchmark at work, in a process of its own: `python -m epochal.bench._side`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Any

from epochal.bench._yardsticks import YARDSTICKS, blocks

if TYPE_CHECKING:
    from epochal.training.task import Batch, Nets, Recipe, Task


class _Channel:
    """The measured side's end: waits for each go, answers with one JSON line."""

    def __init__(self) -> None:
        # Whatever the side prints must not get between the answers.
        self.answers: IO[str] = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> None:
        """Waits for the next go; ends the process when nobody is there any more."""
        if not sys.stdin.readline():
            os._exit(0)

    def answer(self, **values: Any) -> None:
        """Sends one answer."""
        self.answers.write(json.dumps(values) + "\n")
        self.answers.flush()


def _serve_program(side: str, plan: Mapping[str, Any], programs: Path, channel: _Channel) -> None:
    """A program of `benchmarks/`: its class `Side` trains in blocks and times itself."""
    import torch

    sys.path.insert(0, str(programs))
    yardstick = YARDSTICKS[plan["recipe"]]
    module = __import__(yardstick.programs[side].removesuffix(".py"))
    channel.wait()
    program = module.Side(plan["source"], plan["limit"], seed=0, **yardstick.versions[plan["version"]])
    losses = []
    for number, steps in enumerate(blocks(plan)):
        if number:
            channel.wait()
        seconds, loss = program.run(steps)
        losses.append(loss * steps)
        channel.answer(seconds=seconds)
    channel.wait()
    channel.answer(
        loss=sum(losses) / sum(blocks(plan)),
        how=f"float32, {torch.get_num_threads()} threads",
        items=program.items,
        batch_size=module.BATCH,
        data=program.data,
    )


class _Gate:
    """Stands before every step of a training: ends a block after so many and holds the next until its go."""

    def __init__(self, blocks: Sequence[int], channel: _Channel) -> None:
        self.blocks, self.channel = list(blocks), channel
        self.left = self.blocks.pop(0)
        self.start = perf_counter()

    def step(self) -> None:
        """Called when a step begins."""
        if self.left == 0:
            self.channel.answer(seconds=perf_counter() - self.start)
            self.channel.wait()
            # After the last block a few steps are left, untimed, to the end of the training.
            self.left = self.blocks.pop(0) if self.blocks else -1
            self.start = perf_counter()
        self.left -= 1


def _gated(recipe: Recipe, gate: _Gate) -> Recipe:
    """The recipe with the gate before every step; it neither validates nor draws, as the others do not."""

    def build(settings: Any, nets: Nets) -> Task:
        task = recipe.build(settings, nets)

        def prepare(batch: Batch) -> Batch:
            gate.step()
            return task.prepare(batch)

        return replace(task, prepare=prepare, validate=None, keep_best=None, sample=None)

    return replace(recipe, build=build)


def _serve_engine(plan: Mapping[str, Any], scratch: Path, channel: _Channel) -> None:
    """Epochal's engine itself, training into a run folder as it always does."""
    from epochal import settings as settings_room
    from epochal.journal import Lab
    from epochal.systems import recipes
    from epochal.training import engine

    recipe = recipes.find(plan["recipe"])
    patch: dict[str, Any] = {"data.source": plan["source"], "data.limit": plan["limit"]}
    # One step more than the blocks hold: the gate ends a block when the next step begins.
    patch |= {"steps": sum(blocks(plan)) + 1, "epochs": sum(blocks(plan)) + 1}
    settings = settings_room.apply(recipes.settings_of(recipe, plan["version"]), patch)
    lab = Lab(scratch / "lab")
    run = lab.create_run(recipe=recipe.name, settings=settings_room.to_dict(settings), seed=0)
    channel.wait()
    gate = _Gate(blocks(plan), channel)
    engine.train(_gated(recipe, gate), settings, run, device="cpu", show=False, always_try=True)
    choices = run.reload().meta["choices"]
    how = "{precision}, {layout}, {layers} layers, {threads} threads".format(**choices)
    channel.answer(loss=_mean_loss(run.metrics()), how=how)


def _mean_loss(records: Sequence[Mapping[str, Any]]) -> float:
    """Mean training loss over all steps, from the epochs' means."""
    total, before = 0.0, 0
    for record in records:
        if record["scope"] == "epoch" and record["split"] == "train":
            total += record["values"]["loss"] * (record["step"] - before)
            before = record["step"]
    return total / before


def _serve(side: str, plan: str, programs: str, scratch: str) -> None:
    """Entry of a side's process."""
    channel, wanted = _Channel(), json.loads(plan)
    if side == "epochal":
        _serve_engine(wanted, Path(scratch), channel)
    else:
        _serve_program(side, wanted, Path(programs), channel)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
