"""The engine: trains a recipe's task into a run folder, so that a kill at any instant loses nothing but time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from epochal.errors import EpochalError, UsageError
from epochal.journal import Run
from epochal.training import checkpoint, devices, soundness
from epochal.training import precision as precision_
from epochal.training.feed import ArrayFeed, Feed, TensorFeed
from epochal.training.learner import Choices, Learner, NumpyLearner, TorchLearner, fill_stepper
from epochal.training.loading import load, load_members, quiet_generators, weights_of
from epochal.training.probes import gradient_share
from epochal.training.progress import Progress
from epochal.training.streams import derive, numpy_stream, torch_stream
from epochal.training.task import Batch, Recipe, Task

if TYPE_CHECKING:
    from epochal.training.task import Nets

__all__ = ["load", "load_members", "train"]

_LOGS_AN_EPOCH = 20  # step-scope lines; each waits once for the device
_CHECKPOINT_S = (
    120.0  # at most this much work is lost by a kill inside an epoch; $EPOCHAL_CHECKPOINT_S changes it
)
DIVERGED = 1e3  # a loss this many times the best one so far is not coming back


def train(
    recipe: Recipe,
    settings: Any,
    run: Run,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    resume: bool = False,
    warm_start: Run | None = None,
    show: bool = True,
    keep_going: bool = False,
    changes: Mapping[str, Any] | None = None,
    always_try: bool = False,
) -> None:
    """Trains `recipe` with `settings` into `run` (a run or a fleet) until all epochs (or steps) are done.

    Args:
        recipe: what to train.
        settings: an instance of `recipe.settings`.
        run: its folder, made by the journal; the seed is the run's.
        device: auto, cpu, cuda[:n] or mps. A resumed run keeps its own.
        precision: auto, float32 or bfloat16. A resumed run keeps its own choices.
        threads: CPU threads; by default chosen with the precision.
        resume: continue from the last checkpoint, to the bit.
        warm_start: begin from this run's weights instead of fresh ones.
        show: print progress (to standard error).
        keep_going: do not stop when the loss diverges.
        changes: fields of run.json to change once the run is held (the settings of a longer training).
        always_try: look for faster ways of computing even where so short a training does not repay it (a benchmark).

    Raises:
        EpochalError: the loss became NaN or infinite, or diverged; the run is marked failed, its last good
            checkpoint kept.
        KeyboardInterrupt: Ctrl-C; the run is saved and marked stopped.
    """
    with run.lock(), quiet_generators():
        run.update(status="running", reason=None, **(changes or {}))
        try:
            _kind_of_session(run)(
                recipe,
                settings,
                run,
                device,
                precision,
                threads,
                resume,
                warm_start,
                show,
                keep_going,
                always_try,
            ).go()
        except KeyboardInterrupt:
            run.update(status="stopped", reason="interrupted")
            raise
        except BaseException as error:
            run.update(status="failed", reason=str(error) or type(error).__name__)
            raise


def _kind_of_session(run: Run) -> type[Session]:
    if not run.members:
        return Session
    from epochal.training.fleets import FleetSession

    return FleetSession


@dataclass
class Place:
    """Where in the training we are; saved with every checkpoint."""

    epoch: int = 1
    item: int = 0  # items of this epoch that are done
    step: int = 0
    elapsed: float = 0.0
    best: float | None = None  # best validation value so far
    best_epoch: int = 0
    lowest: float | None = None  # lowest logged loss so far, to recognise divergence
    logged: list[float] = field(default_factory=list)  # sums at the last step-scope line
    logged_item: int = 0
    done: bool = False
    reached: bool = False  # whether the loss got below `stop.loss`
    of_epochs: int = 0  # how many were asked for: a run that stopped by patience is done, with fewer


class Session:
    """One call of `train`: the loop over steps and epochs, its checkpoints, and what stops it."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Any,
        run: Run,
        device: str,
        precision: str,
        threads: int | None,
        resume: bool,
        warm_start: Run | None,
        show: bool,
        keep_going: bool,
        always_try: bool,
    ) -> None:
        self.recipe, self.settings, self.run, self.keep_going = recipe, settings, run, keep_going
        self.always_try = always_try
        self.seed = run.seed
        self.device = devices.resolve(run.meta["device"] if resume and run.meta["device"] else device)
        if self.device.type == "cpu":
            devices.keep_memory()
        torch.manual_seed(derive(self.seed, "init"))
        self.nets: Nets
        self.task: Task
        self.nets, self.task = self._build()
        soundness.insist(recipe.name, self.task, self.nets)
        soundness.insist_on_patience(recipe.name, self.task, settings)
        if self.task.stepper is not None:
            self.device = torch.device("cpu")  # NumPy knows no other
            self.task.stepper.init(numpy_stream(self.seed, "init"))
        self.items = len(next(iter(self.task.train.values())))  # of one pass; an epoch has `repeat` of them
        self.place = Place()
        self.progress = Progress(
            run.path / "console.log", show=show, epochs=settings.epochs, items=self.items * self.task.repeat
        )
        self.feed = self._feed()
        self.shares: dict[str, list[dict[str, float]]] = {}  # of the gradient by phase and term, as measured
        self.told: set[tuple[str, str]] = set()  # phases and terms of which it was said that they do nothing
        self.last = run.checkpoints_dir / "last.safetensors"
        fresh = not (resume and self.last.exists())
        if warm_start is not None and fresh:
            self._warm_start(warm_start)
        self.choices = self._choose(precision, threads, resume)
        self.learner = self._learner()
        if resume and self.last.exists():
            self._insist_on_data()
            self._resume()
        elif resume:  # killed before its first checkpoint: it starts again, and so do its logs
            self._truncate(after_step=0)
        self.place.of_epochs = settings.epochs
        if warm_start is not None and fresh:
            self._save()  # a kill before the first checkpoint must not lose where it started from

    def _build(self) -> tuple[Nets, Task]:
        nets = self.recipe.nets(self.settings)
        return nets, self.recipe.build(self.settings, nets)

    def _feed(self) -> Feed:
        if self.task.stepper is not None:
            return ArrayFeed(self.task, self.seed)
        return TensorFeed(self.task, self.seed, self.device)

    def _learner(self) -> Learner:
        if self.task.stepper is not None:
            return NumpyLearner(self.task, self.seed)
        learner = TorchLearner(
            self.task, self.nets, self.seed, self.device, self.choices, self.settings.clip_grad_norm
        )
        learner.probing = True
        return learner

    def _warm_start(self, parent: Run) -> None:
        weights = weights_of(parent, "last")
        if self.task.stepper is not None:
            misfit = fill_stepper(self.task.stepper, {k: v.numpy() for k, v in weights.items()})
            if misfit is not None:
                raise self._another_network(parent, misfit)
            return
        for net_name, net in self.nets.items():
            own = net.state_dict()
            prefix = f"{net_name}."
            given = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            wrong = [k for k in own if k not in given or given[k].shape != own[k].shape]
            if wrong:
                raise self._another_network(parent, f"{net_name}.{wrong[0]} differs")
            net.load_state_dict(given)

    def _another_network(self, parent: Run, misfit: str) -> EpochalError:
        return EpochalError(
            f"{self.run.id} cannot start from the weights of {parent.id}: {misfit}.",
            hint="Leave out --warm-start, or keep the network's shape as it was.",
        )

    def _choose(self, precision: str, threads: int | None, resume: bool) -> Choices:
        """Saved choices on resume; else measured ones, printed and saved."""
        saved = self.run.meta["choices"]
        if resume and saved:
            choices = Choices(**{k: v for k, v in saved.items() if k in Choices.__dataclass_fields__})
            how = "as before"
        elif self.task.stepper is not None:
            choices, how = precision_.plain(threads), "NumPy"
        else:
            batches = [self._batch(item) for item in range(0, self.items, self.task.batch_size)[:4]]
            choices, how = precision_.choose(
                lambda: precision_.copy_of(self.task, self.nets),
                batches,
                self.device,
                precision=precision,
                threads=threads,
                key=f"{self.recipe.name}/{_shapes(self.nets)}/{self.task.batch_size}",
                steps=None if self.always_try else self._steps(),
                say=self.progress.line,
            )
        numpy = self.task.stepper is not None  # what is chosen is torch's
        if self.device.type == "cpu":
            torch.set_num_threads(choices.threads)
        if not (resume and saved):
            self.run.update(
                device=str(self.device),
                precision=None if numpy else choices.precision,
                choices={"arithmetic": how, "threads": choices.threads}
                if numpy
                else {**asdict(choices), "how": how},
                data={**self.task.data, "items": self.items},
                loss_definition=definitions(self.task),
            )
        told = "NumPy" if numpy else f"{choices}; {how}"
        self.progress.line(f"{self.run.id}: {self.device} ({told})")
        if numpy and precision != "auto":
            self.progress.line(
                f"precision {precision} is not used: the recipe computes in NumPy as it is written"
            )
        if self.task.data.get("drawn"):
            self.progress.line(f"data: {self.task.data.get('name')}, drawn by Epochal: not real data")
        for remark in self.task.remarks:
            self.progress.line(remark)
        if self.settings.steps is not None and self._steps() < self.settings.steps:
            epochs, an_epoch = self.settings.epochs, self._steps() // self.settings.epochs
            self.progress.line(
                f"{epochs:,} epochs are {self._steps():,} steps, not the {self.settings.steps:,} asked for: "
                f"--epochs {math.ceil(self.settings.steps / an_epoch)} has as many"
            )
        return choices

    def _steps(self) -> int:
        """Optimiser steps of the whole training."""
        epochs: int = self.settings.epochs
        steps = epochs * self.task.repeat * math.ceil(self.items / self.task.batch_size)
        return steps if self.settings.steps is None else min(steps, self.settings.steps)

    def go(self) -> None:
        """Trains to the end."""
        started = time.perf_counter() - self.place.elapsed
        saved_at, checkpoint_s = time.perf_counter(), _checkpoint_s()
        if not self.run.meta["started"]:
            from epochal.journal.run import now

            self.run.update(started=now())
        place, settings = self.place, self.settings
        items, steps_a_pass = self.items * self.task.repeat, math.ceil(self.items / self.task.batch_size)
        log_every = self.task.log_every or max(1, math.ceil(steps_a_pass * self.task.repeat / _LOGS_AN_EPOCH))
        try:
            with _interruptible() as interrupted, _blas_threads(self.choices.threads):
                while not place.done:
                    self._begin_epoch()
                    while place.item < items:
                        self.learner.step(self._batch(place.item))
                        place.item = self._next(place.item)
                        place.step += 1
                        place.elapsed = time.perf_counter() - started
                        place.reached = self._reached()
                        ends = place.item >= items or place.step == settings.steps or place.reached
                        if ends or self._steps_in_epoch() % log_every == 0:
                            self._log_step()
                        if ends or place.reached:
                            break
                        due = time.perf_counter() - saved_at > checkpoint_s
                        if due or interrupted():
                            self._save()
                            saved_at = time.perf_counter()
                        if interrupted():
                            raise KeyboardInterrupt
                    self._end_epoch(started)
                    saved_at = time.perf_counter()
                    if interrupted() and not place.done:
                        raise KeyboardInterrupt
        finally:
            self.progress.close()
        self._finish()

    def _reached(self) -> bool:
        """Whether the last step's loss was below `stop.loss`."""
        wanted = self.settings.stop.loss
        return wanted is not None and self.learner.latest().get("loss", math.inf) < wanted

    def _begin_epoch(self) -> None:
        if self.place.item == 0:
            self.learner.reset()
            self.place.logged, self.place.logged_item = [], 0
        self.progress.begin(self.place.epoch, self.place.item)

    def _next(self, item: int) -> int:
        """Items done after the batch that begins with `item`: the last, smaller one of a pass ends it."""
        return min(item + self.task.batch_size, (item // self.items + 1) * self.items)

    def _steps_in_epoch(self) -> int:
        """Steps of this epoch that are done."""
        passes, item = divmod(self.place.item, self.items)
        return passes * math.ceil(self.items / self.task.batch_size) + math.ceil(item / self.task.batch_size)

    def _batch(self, item: int) -> Batch:
        """The batch that begins with that item of the present epoch."""
        return self.feed.batch(self.place.epoch, *divmod(item, self.items))

    def _log_step(self) -> None:
        """Means since the last such line (those of the very step that got below `stop.loss`).

        The one place inside an epoch that waits for the device, unless `stop.loss` is set.
        """
        place = self.place
        names, sums = self.learner.sums()
        before = np.zeros(len(sums))
        before[: len(place.logged)] = place.logged
        count = place.item - place.logged_item
        values = dict(zip(names, ((sums - before) / max(count, 1)).tolist(), strict=True))
        if place.reached:
            values = self.learner.latest()
        self._check(values)
        self._probe()
        place.logged, place.logged_item = sums.tolist(), place.item
        self.run.append("metrics", [self._record("step", "train", values)])
        self.progress.advance(place.epoch, place.item, values)

    def _probe(self) -> None:
        """Writes down which terms of the losses move the weights, and says of one that does not."""
        if not isinstance(self.learner, TorchLearner) or not (lengths := self.learner.take_probed()):
            return
        values: dict[str, float] = {}
        for phase in self.task.phases:
            own = {k.split("/", 1)[1]: v for k, v in lengths.items() if k.startswith(f"{phase.name}/")}
            if not own:
                continue
            shares = gradient_share.shares(own)
            meant = phase.meant(self.place.epoch) if phase.meant is not None else {}
            course = self.shares.setdefault(phase.name, [])
            course.append(shares)
            idle = gradient_share.idle(course, meant)
            values |= {f"gradient_share/{phase.name}/{name}": share for name, share in shares.items()}
            values |= {f"gradient_meant/{phase.name}/{name}": share for name, share in meant.items()}
            values |= {f"gradient_norm/{phase.name}/{name}": length for name, length in own.items()}
            values |= {f"gradient_idle/{phase.name}/{name}": 1.0 for name in idle}
            for name in idle:
                self._tell_idle(phase.name, name, shares[name], meant.get(name))
        self.run.append("probes", [self._record("step", "train", values, step=self.learner.probed_at)])

    def _tell_idle(self, phase: str, term: str, share: float, meant: float | None) -> None:
        """Says once that a term of a loss does next to nothing."""
        if (phase, term) in self.told:
            return
        self.told.add((phase, term))
        wanted = f" where {meant:.2g} is meant" if meant is not None else ""
        self.progress.line(
            f"{term} has {share:.2g} of the gradient{wanted}: it does next to nothing. Is its weight what you meant, "
            "or is it averaged over more than the batch?"
        )

    def _recall_probes(self) -> None:
        """What was measured before a resume, so that the run goes on as one that was never interrupted."""
        for line in self.run.probes():
            for phase in self.task.phases:
                prefix = f"gradient_share/{phase.name}/"
                shares = {
                    k.removeprefix(prefix): v for k, v in line["values"].items() if k.startswith(prefix)
                }
                if shares:
                    self.shares.setdefault(phase.name, []).append(shares)
                idle = f"gradient_idle/{phase.name}/"
                self.told |= {
                    (phase.name, k.removeprefix(idle)) for k in line["values"] if k.startswith(idle)
                }

    def _check(self, values: Mapping[str, float]) -> None:
        """Stops a run that cannot recover."""
        loss = values.get("loss", 0.0)
        place = self.place
        bad = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise EpochalError(
                f"the loss is no longer a number in epoch {place.epoch}, step {place.step} ({', '.join(bad)}).",
                hint=self._advice(),
            )
        # A loss that has been negative (a critic's score) has no scale against which it could diverge.
        scale = max(place.lowest, 1e-3) if place.lowest is not None and place.lowest >= 0 else math.inf
        if loss > DIVERGED * scale and not self.keep_going:
            raise EpochalError(
                f"the loss diverged in epoch {place.epoch}, step {place.step}: "
                f"{loss:.4g}, over {DIVERGED:g} times its lowest value {place.lowest:.4g}.",
                hint=f"{self._advice()} --keep-going trains on regardless.",
            )
        if "loss" in values:
            place.lowest = loss if place.lowest is None else min(place.lowest, loss)

    def _advice(self) -> str:
        kept = (
            f"The last good checkpoint is kept: {self.last}."
            if self.last.exists()
            else "No checkpoint was written yet."
        )
        return f"{kept} Try a smaller learning rate or clip_grad_norm; check the data for NaN."

    def _good_state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds. Weights and moments can be no numbers although the loss was one."""
        state = self.learner.state()
        bad = [name for name, t in state.items() if t.is_floating_point() and not bool(t.isfinite().all())]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise EpochalError(
                f"{bad[0]}{more} is no longer finite in epoch {self.place.epoch}, step {self.place.step}.",
                hint=self._advice(),
            )
        return state

    def _end_epoch(self, started: float) -> None:
        place, finished_epoch = self.place, self.place.epoch
        final, no_more = self._close_epoch(started)
        place.done = (
            finished_epoch >= self.settings.epochs
            or place.step == self.settings.steps
            or place.reached
            or no_more
        )
        if not place.done:
            place.epoch, place.item = place.epoch + 1, 0
        # Before the checkpoint: a kill between the two then repeats the epoch instead of losing its numbers.
        self.run.update(epochs_done=finished_epoch, final=final)
        self._save()

    def _close_epoch(self, started: float) -> tuple[dict[str, float], bool]:
        """Writes down an epoch; gives its values for run.json, and whether patience is at its end."""
        place = self.place
        self._good_state()
        names, sums = self.learner.sums()
        train = dict(zip(names, (sums / max(place.item, 1)).tolist(), strict=True))
        validation = self._validate()
        place.elapsed = time.perf_counter() - started
        records = [self._record("epoch", "train", train)]
        if validation:
            records.append(self._record("epoch", "validation", validation))
            for said in self.learner.watch(validation):
                self.progress.line(said)
        self.run.append("metrics", records)
        self._sample()
        self.progress.epoch(place.epoch, place.item, train, validation)
        improved = self._improved(validation)
        if improved:
            weights = {f"weights/{k}": v for k, v in self.learner.weights().items()}
            checkpoint.write(self.run.checkpoints_dir / "best.safetensors", weights, {"epoch": place.epoch})
        stop = self.settings.stop.patience
        no_more = bool(stop and validation and place.epoch - place.best_epoch >= stop)
        last = self.learner.latest() if place.reached else train
        return {**last, **{f"validation/{k}": v for k, v in validation.items()}}, no_more

    def _validate(self) -> dict[str, float]:
        if self.task.validate is None:
            return {}
        with self._looking():
            values = self.task.validate(self.nets, self._stream("validation"))
        return {name: float(value) for name, value in values.items()}

    def _stream(self, name: str) -> Any:
        """A generator of the kind that the task's networks draw from: NumPy's for a stepper, else torch's."""
        if self.task.stepper is not None:
            return numpy_stream(self.seed, name)
        return torch_stream(self.seed, name, self.device)

    def _sample(self) -> None:
        if self.task.sample is None:
            return
        from epochal.training.pictures import write_grid

        with self._looking():
            grid = self.task.sample(self.nets, self._stream("sample"))
        write_grid(self.run.samples_dir / f"epoch-{self.place.epoch:04d}.png", grid.images)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Eval mode, no gradients, and no trace left in the streams that training draws from."""
        learner = self.learner
        if isinstance(learner, TorchLearner):
            learner.eval()
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []),
        ):
            yield
        if isinstance(learner, TorchLearner):
            learner.train()

    def _improved(self, validation: Mapping[str, float]) -> bool:
        metric, place = self.task.keep_best, self.place
        if metric is None or metric.name not in validation:
            place.best_epoch = place.epoch
            return False
        value = validation[metric.name]
        better = math.isfinite(value) and (
            place.best is None or (value < place.best if metric.better == "lower" else value > place.best)
        )
        if better:
            place.best, place.best_epoch = value, place.epoch
        return better

    def _save(self) -> None:
        """Metrics first, then the checkpoint: a kill between them leaves lines that resuming drops and writes again."""
        state = self._good_state()
        self._probe()  # a measurement that no line has told of yet would be lost
        self.run.sync()
        moved = self.run.meta["steps_done"] != self.place.step
        # What was measured of earlier weights says nothing about these.
        self.run.update(
            steps_done=self.place.step, **({"evaluation": {}, "measured_with": {}} if moved else {})
        )
        checkpoint.write(self.last, state, asdict(self.place))

    def _insist_on_data(self) -> None:
        """Refuses to go on with other data: what was held out before could be trained on now."""
        was, now = (about.get("sha256") for about in (self.run.meta["data"], self.task.data))
        if was and now and was != now:
            raise EpochalError(
                f"the data of {self.run.id} have changed since it was trained (SHA-256 {str(was)[:12]}…, now "
                f"{str(now)[:12]}…).",
                hint="Put back the data it began with, or start a new run.",
            )

    def _resume(self) -> None:
        tensors, state = checkpoint.read(self.last)
        try:
            self._load(tensors)
            self.place = Place(**state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise EpochalError(
                f"the checkpoint {self.last} does not fit the run: {error}.",
                hint="It is another file's, or the recipe has changed since; run.json names the commit.",
            ) from error
        self._truncate(after_step=self.place.step)
        self._recall_probes()
        more = self.settings.epochs > max(self.place.epoch, self.place.of_epochs)
        if self.place.done and more and self.place.step != self.settings.steps and not self.place.reached:
            self.place.done = False
            self.place.epoch, self.place.item = self.place.epoch + 1, 0
            if any(phase.optimiser.schedule is not None for phase in self.task.phases):
                self.progress.line(
                    "the learning rate goes on along the schedule of the longer training, whose first epochs were "
                    "not trained by it: the network is not that of so many epochs from the start"
                )
        if not self.place.done:
            done = (self.place.epoch - 1) + self.place.item / (self.items * self.task.repeat)
            self.progress.line(f"resumed after {done:.2f} epochs (step {self.place.step})")

    def _load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.learner.load(tensors)

    def _truncate(self, *, after_step: int) -> None:
        self.run.truncate("metrics", after_step=after_step)
        self.run.truncate("probes", after_step=after_step)

    def _finish(self) -> None:
        from epochal.journal.run import now

        self.run.update(status="finished", reason=None, finished=now())

    def _record(
        self, scope: str, split: str, values: Mapping[str, float], *, step: int | None = None
    ) -> dict[str, Any]:
        place = self.place
        return {
            "time": round(place.elapsed, 3),
            "step": place.step if step is None else step,
            "epoch": place.epoch,
            "scope": scope,
            "split": split,
            "values": dict(values),
        }


def _checkpoint_s() -> float:
    text = os.environ.get("EPOCHAL_CHECKPOINT_S", "")
    try:
        return float(text) if text else _CHECKPOINT_S
    except ValueError:
        raise UsageError(
            f"EPOCHAL_CHECKPOINT_S = {text!r} is no number.",
            hint="Give the seconds between checkpoints inside an epoch, e.g. 60, or unset it.",
        ) from None


def definitions(task: Task) -> dict[str, str]:
    """Formula of every phase's loss."""
    if task.stepper is not None:
        return {"step": task.definition}
    penalty = " + {:g}·Σw² over convolution kernels"
    return {p.name: p.definition + (penalty.format(p.l2) if p.l2 else "") for p in task.phases}


def _shapes(nets: Nets) -> str:
    shapes = {f"{n}.{k}": list(p.shape) for n, net in nets.items() for k, p in net.named_parameters()}
    return hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:12]


@contextmanager
def _blas_threads(threads: int) -> Iterator[None]:
    """NumPy's matrix products on so many threads: how one is split decides its last bits, so a resume keeps it."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"):
        yield


@contextmanager
def _interruptible() -> Iterator[Any]:
    """Turns the first Ctrl-C or SIGTERM into a request that the loop reads between steps; a second acts at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
