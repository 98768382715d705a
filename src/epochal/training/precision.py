"""Choosing precision, memory layout, layers and threads by a short trial instead of by faith.

The plain path (float32, torch's own layers) is always a candidate. Another one is kept only when it is faster
*and* its losses and gradients agree with the plain path's on the same batch.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import torch
from torch import nn

from epochal.errors import EpochalError, UsageError
from epochal.folders import cache_folder
from epochal.journal import atomic
from epochal.training import devices
from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Batch, Task

# A candidate's loss may differ from the plain one by this share, its gradient by this angle (cosine).
# Rounding to bfloat16 (8 significant bits, 0.4 %) moves a loss of thousands of terms by far less than 1 %.
_LOSS_TOLERANCE = 0.01
_GRADIENT_COSINE = 0.98
_TRIAL_S = 0.4  # a candidate is timed for about so long
_STEPS_A_TURN, _LEAST_TURNS, _MOST_TURNS = 4, 3, 12
_WORTH = 8  # a trial of slow steps may take this part of the training, and no more
_SLOW_STEP_S = 0.2  # steps this long are timed one by one: they differ by more than the clock's noise

MakeTask = Callable[[], tuple[Task, Mapping[str, nn.Module]]]


def plain(threads: int | None = None) -> Choices:
    """The textbook path: float32, torch's own layers."""
    return Choices(threads=threads or _threads())


def candidates(device: torch.device, precision: str, threads: int | None) -> list[Choices]:
    """What is worth a trial on this device; the plain path is first.

    Raises:
        UsageError: unknown precision.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"unknown precision {precision!r}.", hint="Allowed: auto, float32, bfloat16.")
    base = plain(threads)
    wanted = [replace(base, layout="channels_last")]
    if (
        device.type == "cpu"
    ):  # our own convolutions win where they are small, the library's where they are large
        wanted = [replace(wanted[0], layers=layers) for layers in ("mixed", "fast")]
    if device.type != "mps":  # bfloat16 on MPS: not on all of Apple's chips
        wanted += [replace(candidate, precision="bfloat16") for candidate in wanted]
    if precision != "auto":
        wanted = [c for c in [base, *wanted] if c.precision == precision]
        if not wanted:
            raise UsageError(
                f"precision {precision} is not available on {device.type}.", hint="Use float32 or auto."
            )
        return wanted
    return [base, *wanted]


def choose(
    make: MakeTask,
    batches: Sequence[Batch],
    device: torch.device,
    *,
    precision: str = "auto",
    threads: int | None = None,
    key: str = "",
    steps: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Choices, str]:
    """The fastest candidate that agrees with the plain path, and a sentence on how it was found.

    Args:
        make: builds the task with fresh networks; called once a candidate, so that a trial leaves nothing
            behind.
        batches: prepared batches to try on.
        device: where.
        precision: auto, float32 or bfloat16 (a fixed precision still has its layout and layers chosen).
        threads: fixed number of threads, or None to try one thread against all.
        key: names the recipe and its shapes; the choice is cached under machine and key.
        steps: how many the training has: beside few of them a trial of slow steps is left out.
        say: told when the trial will take a while.
    """
    pool = candidates(device, precision, threads)
    store = _Store(device, f"{key}/{precision}/{threads}")
    busy = _busy()
    cached = store.get(busy)
    if cached is not None:
        crowded = busy and threads is None and cached.threads > 1
        more = "; other programs are busy: --threads 1 may be faster" if crowded else ""
        return cached, f"measured before on this machine{more}"
    entrants = {pool[0]: _learner(make, device, pool[0])}
    seconds = _seconds(entrants[pool[0]], batches[:1], device, pool[0])[0]
    slow = seconds > _SLOW_STEP_S
    if slow:
        # Each candidate is looked at once, warmed up and timed: three steps.
        cost = 3 * len(pool)
        if steps is not None and steps < _WORTH * cost:
            return pool[0], "a trial of faster ways would take long beside so few steps"
        say(f"trying {len(pool)} ways of computing for about {cost * seconds:.0f} s; the fastest is kept")
    if threads is None and device.type == "cpu" and pool[0].threads > 1 and not slow:
        pool += [replace(candidate, threads=1) for candidate in pool[1:]]
    reference = _probe(make, batches[0], device, pool[0])
    for candidate in pool[1:]:
        with suppress(RuntimeError, EpochalError):  # a layer without bfloat16 support: no candidate
            if _agrees(_probe(make, batches[0], device, candidate), reference):
                entrants[candidate] = _learner(make, device, candidate)
    times = _race(entrants, batches, device, one_by_one=slow)
    best = min(times, key=lambda c: times[c])
    ratio = times[pool[0]] / times[best]
    how = f"{ratio:.1f}x the speed of {pool[0]}" if best != pool[0] else "no other way tried was faster"
    store.put(best, busy)
    if busy:
        return best, f"{how}; other programs were busy: measured again when they are not"
    return best, how


def _probe(
    make: MakeTask, batch: Batch, device: torch.device, choices: Choices
) -> tuple[list[float], torch.Tensor]:
    """Loss of each phase and the gradient, in eval mode (no dropout), all candidates on the same noise."""
    learner = _learner(make, device, choices)
    learner.eval()
    losses, gradients = [], []
    for phase in learner.phases:
        loss, _ = phase.phase.loss(learner.nets, batch, torch.Generator(device).manual_seed(0))
        found = torch.autograd.grad(loss, list(phase.live.values()), allow_unused=True)
        losses.append(float(loss.detach()))
        gradients += [g.float().flatten().cpu() for g in found if g is not None]
    return losses, torch.cat(gradients)


def _agrees(mine: tuple[list[float], torch.Tensor], reference: tuple[list[float], torch.Tensor]) -> bool:
    losses = all(
        abs(a - b) <= _LOSS_TOLERANCE * max(abs(b), 1e-6) for a, b in zip(mine[0], reference[0], strict=True)
    )
    cosine = torch.nn.functional.cosine_similarity(mine[1], reference[1], dim=0)
    return losses and bool(cosine >= _GRADIENT_COSINE)


def _race(
    entrants: Mapping[Choices, TorchLearner],
    batches: Sequence[Batch],
    device: torch.device,
    *,
    one_by_one: bool = False,
) -> dict[Choices, float]:
    """Seconds of one step of each: the median of its quickest half, over rounds in which all take turns.

    Taking turns lets another program's load hit all alike; the quickest half leaves out what it slowed down.
    The first turn, and the first step of every other, pays for memory and for what the others left in the caches:
    it is not counted, except when steps are so long (`one_by_one`) that this is lost in them.
    """
    taken: dict[Choices, list[float]] = {choices: [] for choices in entrants}
    deadline = time.perf_counter() + _TRIAL_S * len(entrants)
    steps, least, skipped = (1, 1, 0) if one_by_one else (_STEPS_A_TURN, _LEAST_TURNS, 1)
    for turn in range(_MOST_TURNS):
        for choices, learner in entrants.items():
            chosen = [batches[step % len(batches)] for step in range(steps)]
            seconds = _seconds(learner, chosen, device, choices)
            if turn:
                taken[choices] += seconds[skipped:]
        if turn >= least and time.perf_counter() > deadline:
            break
    return {choices: median(sorted(times)[: (len(times) + 1) // 2]) for choices, times in taken.items()}


def _seconds(
    learner: TorchLearner, batches: Sequence[Batch], device: torch.device, choices: Choices
) -> list[float]:
    """Trains on the batches; the time of each step."""
    if device.type == "cpu":
        torch.set_num_threads(choices.threads)
    taken = []
    for batch in batches:
        start = time.perf_counter()
        learner.step(batch)
        devices.synchronise(device)
        taken.append(time.perf_counter() - start)
    return taken


def _learner(make: MakeTask, device: torch.device, choices: Choices) -> TorchLearner:
    task, nets = make()
    if device.type == "cpu":
        torch.set_num_threads(choices.threads)
    return TorchLearner(task, nets, 0, device, choices)


class _Store:
    """The cache of choices: one JSON file per machine and key; losing it costs one trial.

    What was measured while other programs were busy serves as long as they are.
    """

    def __init__(self, device: torch.device, key: str) -> None:
        machine = f"{devices.describe(device)}/{_threads()}/{torch.__version__}"
        name = hashlib.sha256(f"{machine}/{key}".encode()).hexdigest()[:16]
        self.path: Path = cache_folder() / "choices" / f"{name}.json"

    def get(self, busy: bool) -> Choices | None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            kept = json.loads(self.path.read_text())
            measured_busy = kept.pop("busy", False)
            choices = Choices(**kept)
            return choices if busy or not measured_busy else None
        return None

    def put(self, choices: Choices, busy: bool) -> None:
        with suppress(OSError, EpochalError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(self.path, {**asdict(choices), "busy": busy})


def _busy() -> bool:
    """Whether over half of the cores were used in the last minute: what is measured then is not to be trusted."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > _cores() / 2


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads() -> int:
    """One a core, or as many as OMP_NUM_THREADS allows where that is fewer."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(_cores(), max(1, int(wanted))) if wanted.isdecimal() else _cores()


def copy_of(task: Task, nets: Mapping[str, nn.Module]) -> tuple[Task, Mapping[str, nn.Module]]:
    """The same task over deep copies of its networks, for a trial."""
    return task, copy.deepcopy(dict(nets))
