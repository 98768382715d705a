"""Fleets: many networks trained as one stacked model, each of them exactly what it would be alone.

A member has the order, initial weights and noise of a run of its seed. One that is done (its loss got below
`stop.loss`, it diverged, its patience ended) is noted with the step where that happened and taken out of the
stacked arrays, a few per cent of the members at a time, so that the rest goes on faster.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from epochal.errors import EpochalError
from epochal.journal import members
from epochal.training import checkpoint
from epochal.training.engine import DIVERGED, Session, definitions
from epochal.training.feed import Feed, FleetFeed
from epochal.training.learner import Learner
from epochal.training.streams import numpy_stream
from epochal.training.task import Batch, Task

if TYPE_CHECKING:
    from epochal.training.learner import Choices
    from epochal.training.task import Array, Fleet, Nets

SWEEP = 0.05  # members that are done stay in the arrays until they are this share of them
_FEW_ITEMS = 64  # enough data to ask a recipe for the formula of its loss


class FleetLearner:
    """Steps a fleet and keeps, member by member, the sums of the epoch and the state that it leaves.

    "Rows" are places in the fleet's arrays, "members" their numbers in the run: `present[row]` is the member.
    """

    def __init__(self, recipe: str, fleet: Fleet, count: int, seeds: Sequence[int]) -> None:
        self.recipe, self.fleet = recipe, fleet
        fleet.init([numpy_stream(seed, "init") for seed in seeds])
        self.noise = [numpy_stream(seed, "noise") for seed in seeds]
        self.kept = {name: np.array(array) for name, array in fleet.state().items()}
        self.present = np.arange(count)
        self.gone = np.zeros(count, dtype=bool)  # by row: done, but still in the arrays
        self.last: Mapping[str, Array] = {}
        self._sums: dict[str, Array] = {}
        self._fine = np.zeros(count, dtype=bool)
        wrong = [name for name, array in self.kept.items() if array.shape[:1] != (count,)]
        if wrong:
            shape = self.kept[wrong[0]].shape
            raise self._unsound(f"{wrong[0]} of its fleet's state has the shape {shape}, not ({count}, …)")

    def step(self, batch: Batch) -> None:
        """Does one step of every member that is present."""
        self.last = self.fleet.step(batch, self.noise)
        items = next(iter(batch.values())).shape[1]
        for name, mean in self.last.items():
            if name not in self._sums:
                self._admit(name, mean)
            self._sums[name] += items * np.asarray(mean, dtype=np.float64)

    def _admit(self, name: str, mean: Array) -> None:
        rows = len(self.present)
        if np.shape(mean) != (rows,):
            raise self._unsound(f"its fleet's step gives {name} of shape {np.shape(mean)}, not ({rows},)")
        self._sums[name] = np.zeros(rows)

    def _unsound(self, what: str) -> EpochalError:
        return EpochalError(
            f"The recipe {self.recipe} cannot be trained as a fleet: {what}.",
            hint="Every array of a fleet has the members as its first axis. --one-by-one trains them alone.",
        )

    def noteworthy(self, wanted: float) -> Array | None:
        """Rows whose last loss is below `wanted`, or no number; None (at next to no cost) when there are none."""
        if "loss" not in self.last:
            raise self._unsound("its fleet's step gives no loss")
        np.greater_equal(self.last["loss"], wanted, out=self._fine)
        np.logical_or(self._fine, self.gone, out=self._fine)
        return None if self._fine.all() else np.flatnonzero(~self._fine)

    def rows(self) -> Array:
        """Rows of the members that are still training."""
        return np.flatnonzero(~self.gone)

    def sweep(self) -> Array | None:
        """Takes members that are done out of the arrays once they are enough; gives the rows that stay."""
        done = int(np.count_nonzero(self.gone))
        if done == len(self.gone) or done < max(1.0, SWEEP * len(self.gone)):
            return None
        chosen = self.rows()
        self.fleet.keep(chosen)
        self.present = self.present[chosen]
        self._sums = {name: array[chosen] for name, array in self._sums.items()}
        self.gone = np.zeros(len(chosen), dtype=bool)
        self._fine = np.zeros(len(chosen), dtype=bool)
        return chosen

    def keep(self, rows: Array, state: Mapping[str, Array]) -> None:
        """Remembers the state of these rows as their members'."""
        for name, array in state.items():
            self.kept[name][self.present[rows]] = array[rows]

    def sums(self) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
        """Names of the loss parts and their sums over the epoch's items, (parts, rows)."""
        return list(self._sums), np.array([*self._sums.values()]).reshape(len(self._sums), len(self.present))

    def latest(self) -> dict[str, float]:
        """The median over the present members of what the last step gave."""
        return {name: float(np.median(values)) for name, values in self.last.items()}

    def reset(self) -> None:
        """Starts the sums anew."""
        self._sums = {}

    def watch(self, values: Mapping[str, float]) -> list[str]:
        """Steppers have no schedule that validation could change."""
        return []

    def weights(self) -> dict[str, torch.Tensor]:
        """The kept state, every array (members, …)."""
        return {name: torch.from_numpy(array) for name, array in self.kept.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """All that `load` needs; of members that are done, the state that they left and no sums."""
        state = {f"weights/{name}": tensor for name, tensor in self.weights().items()}
        state["fleet/present"] = torch.from_numpy(self.present)
        state["fleet/gone"] = torch.from_numpy(self.gone)
        state["stream/noise"] = as_bytes([rng.bit_generator.state for rng in self.noise])
        for i, (part, totals) in enumerate(self._sums.items()):
            state[f"sum/{i:02d}/{part}"] = torch.from_numpy(np.where(self.gone, 0.0, totals))
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts back what `state` gave, into a fleet of all members."""
        given = {k.removeprefix("weights/"): v for k, v in state.items() if k.startswith("weights/")}
        wrong = checkpoint.misfit(self.weights(), given)
        if wrong is not None:
            raise ValueError(wrong)
        self.kept = {name: np.array(tensor.numpy()) for name, tensor in given.items()}
        self.present, self.gone = state["fleet/present"].numpy(), np.array(state["fleet/gone"].numpy())
        self._fine = np.zeros(len(self.present), dtype=bool)
        if len(self.present) < len(next(iter(self.kept.values()))):
            self.fleet.keep(self.present)
        self.fleet.load_state({name: array[self.present] for name, array in self.kept.items()})
        for rng, saved in zip(self.noise, from_bytes(state["stream/noise"]), strict=True):
            rng.bit_generator.state = saved
        self._sums = {
            key.split("/", 2)[2]: np.array(value.numpy())
            for key, value in sorted(state.items())
            if key.startswith("sum/")
        }


class FleetSession(Session):
    """One call of `train` for a fleet: the engine's loop, with a table of members in the place of one run."""

    def _build(self) -> tuple[Nets, Task]:
        """The task of the first member; members differ in nothing that the data or the order depend on."""
        from epochal.settings import apply

        if self.recipe.stack is None:
            raise EpochalError(
                f"The recipe {self.recipe.name} stacks no networks: {self.run.id} cannot be trained.",
                hint="The recipe has changed since; check out the commit that run.json names.",
            )
        self.lines = members.lines_for((line["seed"], line["patch"]) for line in self._given())
        patches = {json.dumps(line["patch"], sort_keys=True): line["patch"] for line in self.lines}
        foreign = [key for patch in patches.values() for key in patch if key not in self.recipe.stackable]
        if foreign:
            raise EpochalError(
                f"{self.run.id} cannot be trained: its members differ in {foreign[0]}, which a fleet of "
                f"{self.recipe.name} has in common.",
                hint=f"Members may differ in {', '.join(self.recipe.stackable) or 'their seeds alone'}; "
                f"restore a copy of {members.NAME}.",
            )
        self.settings_of = {key: apply(self.settings, patch) for key, patch in patches.items()}
        self.patch_of = [json.dumps(line["patch"], sort_keys=True) for line in self.lines]
        self.nets_of = {key: self._fresh(settings) for key, settings in self.settings_of.items()}
        self.seeds = list(dict.fromkeys(line["seed"] for line in self.lines))
        self.pending: list[dict[str, Any]] = []
        self.logged, self.lowest = np.zeros(0), np.full(len(self.lines), math.inf)
        self.best_value = np.zeros(len(self.lines))  # counts where best_epoch does
        self.best_epoch = np.zeros(len(self.lines), dtype=np.int64)
        self.best: dict[str, Array] = {}
        self.improved = False  # whether `best` is to be written
        nets = self.nets_of[self.patch_of[0]]
        task = self.recipe.build(self.settings_of[self.patch_of[0]], nets)
        if task.stepper is None:
            raise EpochalError(
                f"The recipe {self.recipe.name} cannot be trained as a fleet: its networks have no step of their own.",
                hint="Its Task needs a `stepper`. --one-by-one trains them alone.",
            )
        return nets, task

    def _given(self) -> list[dict[str, Any]]:
        """The members' lines, of the last checkpoint where there is one: their table may be lost or edited since."""
        last = self.run.checkpoints_dir / "last.safetensors"
        if last.exists():
            tensors, _ = checkpoint.read(last)
            with suppress(KeyError, EpochalError):  # another fleet's is refused when all of it is loaded
                return members.parse(self.run, bytes(tensors["fleet/members"].numpy()), last)
        return members.read(self.run)

    def _fresh(self, settings: Any) -> dict[str, Any]:
        """Networks of their own for members with these settings, to look at one member after another."""
        nets = self.recipe.nets(settings)
        for net in nets.values():
            net.init(numpy_stream(self.seed, "init"))
        return nets

    def _feed(self) -> Feed:
        return FleetFeed(self.task, self.seeds)

    def _learner(self) -> Learner:
        assert self.recipe.stack is not None
        place = {seed: index for index, seed in enumerate(self.seeds)}
        fleet = self.recipe.stack(
            [self.settings_of[key] for key in self.patch_of], [place[line["seed"]] for line in self.lines]
        )
        self.stack = FleetLearner(self.recipe.name, fleet, len(self.lines), self.seeds)
        self.encoded = [members.encode(line) for line in self.lines]
        return self.stack

    def _choose(self, precision: str, threads: int | None, resume: bool) -> Choices:
        choices = super()._choose(precision, threads, resume)
        if not (resume and self.last.exists()):
            self._define()
        return choices

    def _define(self) -> None:
        """Notes the formula of the loss with every member whose settings change it: losses then do not compare."""
        first = self.run.meta["loss_definition"]
        formulas = {
            key: first if key == self.patch_of[0] else self._formulas(key) for key in self.settings_of
        }
        for line, key in zip(self.lines, self.patch_of, strict=True):
            if formulas[key] != first:
                line["loss_definition"] = formulas[key]

    def _formulas(self, key: str) -> dict[str, str]:
        from epochal.settings import apply

        settings = self.settings_of[key]
        limit = min(settings.data.limit or _FEW_ITEMS, _FEW_ITEMS)
        nets = self.recipe.nets(settings)
        return definitions(self.recipe.build(apply(settings, {"data.limit": limit}), nets))

    def go(self) -> None:
        """Trains to the end. A member that overflows is failed, not warned of."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            super().go()

    def _begin_epoch(self) -> None:
        if self.place.item == 0:
            self.logged = np.zeros(len(self.stack.present))
        super()._begin_epoch()

    def _reached(self) -> bool:
        """Takes out the members whose loss got below `stop.loss` or is no number; whether none is left."""
        wanted = self.settings.stop.loss
        rows = self.stack.noteworthy(-math.inf if wanted is None else wanted)
        if rows is None:
            return False
        losses = self.stack.last["loss"][rows]
        finite = np.isfinite(losses)
        for row in rows[~finite]:
            self._fail(row, f"the loss is no longer a number in {self._where()}")
        if finite.any():
            self._reach(rows[finite])
        return self._sweep()

    def _reach(self, rows: Array) -> None:
        """Members got below `stop.loss` in this very step: its state, count and values are theirs for good."""
        state = self.stack.fleet.state()
        self.stack.keep(rows, state)
        validations = self._close_members(rows, state)
        for row, validation in zip(rows, validations, strict=True):
            last = {name: float(values[row]) for name, values in self.stack.last.items()}
            self._end_member(row, "finished", reached=True, final=_joined(last, validation))

    def _where(self) -> str:
        return f"epoch {self.place.epoch}, step {self.place.step}"

    def _fail(self, row: Any, reason: str) -> None:
        self._end_member(row, "failed", reason=reason)

    def _end_member(self, row: Any, status: str, **fields: Any) -> None:
        member = int(self.stack.present[row])
        done = {"status": status, "steps": self.place.step, "epochs": self.place.epoch, **fields}
        self._write_line(member, done)
        self.stack.gone[row] = True

    def _write_line(self, member: int, fields: Mapping[str, Any]) -> None:
        self.lines[member].update(fields)
        self.encoded[member] = members.encode(self.lines[member])

    def _sweep(self) -> bool:
        """Makes room when enough members are done; whether none is left."""
        chosen = self.stack.sweep()
        if chosen is not None:
            self.logged, self.lowest = self.logged[chosen], self.lowest[chosen]
        return bool(self.stack.gone.all())

    def _log_step(self) -> None:
        """Looks for members whose loss is no number or diverged; a mean over members would say nothing."""
        names, sums = self.stack.sums()
        totals = sums[names.index("loss")]
        count = max(self.place.item - self.place.logged_item, 1)
        means = (totals - self.logged) / count
        self.logged, self.place.logged_item = totals.copy(), self.place.item
        alive = ~self.stack.gone
        bad = alive & ~np.isfinite(sums).all(axis=0)
        # A loss that has been negative (a critic's score) has no scale against which it could diverge.
        scale = np.where(self.lowest >= 0, np.maximum(self.lowest, 1e-3), math.inf)
        diverged = alive & ~bad & (means > DIVERGED * scale) & (not self.keep_going)
        for row in np.flatnonzero(bad):
            self._fail(row, f"the loss is no longer a number in {self._where()}")
        for row in np.flatnonzero(diverged):
            told = f"{means[row]:.4g}, over {DIVERGED:g} times its lowest value {self.lowest[row]:.4g}"
            self._fail(row, f"the loss diverged in {self._where()}: {told}")
        self.lowest = np.fmin(self.lowest, means)
        self.progress.advance(self.place.epoch, self.place.item, self.stack.latest())
        self.place.reached = self._sweep()

    def _close_epoch(self, started: float) -> tuple[dict[str, float], bool]:
        rows = self._sound_rows()
        state = self.stack.fleet.state()
        means = self._means(rows)
        validations = self._close_members(rows, state)
        patience = self.settings.stop.patience
        for row, mean, validation in zip(rows, means, validations, strict=True):
            member = int(self.stack.present[row])
            final = _joined(mean, validation)
            if patience and validation and self.place.epoch - self.best_epoch[member] >= patience:
                self.stack.keep(np.array([row]), state)
                self._end_member(row, "finished", reached=self._censored(), final=final)
            else:
                fields = {"steps": self.place.step, "epochs": self.place.epoch, "final": final}
                self._write_line(member, fields)
        self._write_best()
        self._tell(means)
        self.place.reached = self._sweep()
        return {}, False

    def _means(self, rows: Array) -> list[dict[str, float]]:
        """Of each row the means over this epoch's items so far, by name."""
        names, sums = self.stack.sums()
        means = (sums[:, rows] / max(self.place.item, 1)).T.tolist()
        return [dict(zip(names, values, strict=True)) for values in means]

    def _close_members(self, rows: Array, state: Mapping[str, Array]) -> list[dict[str, float]]:
        """Ends the epoch of these rows (lines for metrics.jsonl, best state); gives the values of validation."""
        validations = []
        for row, mean in zip(rows, self._means(rows), strict=True):
            member = int(self.stack.present[row])
            validation = self._validated(member, row, state)
            self.pending.append({"member": member, **self._record("epoch", "train", mean)})
            if validation:
                self.pending.append({"member": member, **self._record("epoch", "validation", validation)})
            self._judge(member, row, state, validation)
            validations.append(validation)
        return validations

    def _validated(self, member: int, row: Any, state: Mapping[str, Array]) -> dict[str, float]:
        if self.task.validate is None:
            return {}
        nets = self.nets_of[self.patch_of[member]]
        for net in nets.values():
            net.load_state({name: np.array(array[row]) for name, array in state.items()})
        rng: Any = numpy_stream(self.lines[member]["seed"], "validation")
        return {name: float(value) for name, value in self.task.validate(nets, rng).items()}

    def _judge(
        self, member: int, row: Any, state: Mapping[str, Array], validation: Mapping[str, float]
    ) -> None:
        """Keeps the state of a member whose validation value is its best so far."""
        metric = self.task.keep_best
        if metric is None or metric.name not in validation:
            self.best_epoch[member] = self.place.epoch
            return
        value, old = validation[metric.name], float(self.best_value[member])
        better = value < old if metric.better == "lower" else value > old
        if math.isfinite(value) and (better or not self.best_epoch[member]):
            self.best_value[member], self.best_epoch[member] = value, self.place.epoch
            for name, array in state.items():
                if name not in self.best:
                    self.best[name] = self.stack.kept[name].copy()
                self.best[name][member] = array[row]
            self.improved = True

    def _write_best(self) -> None:
        if not self.improved:
            return
        tensors = {f"weights/{name}": torch.from_numpy(array) for name, array in self.best.items()}
        path = self.run.checkpoints_dir / "best.safetensors"
        checkpoint.write(path, {**tensors, "best/epoch": torch.from_numpy(self.best_epoch)}, {})
        self.improved = False

    def _censored(self) -> bool | None:
        """What is said of a member that ends without having got below `stop.loss`."""
        return None if self.settings.stop.loss is None else False

    def _tell(self, means: Sequence[Mapping[str, float]]) -> None:
        done = [line["status"] for line in self.lines]
        median = float(np.median([mean["loss"] for mean in means])) if means else math.nan
        text = f"epoch {self.place.epoch}/{self.settings.epochs}  step {self.place.step:,}  "
        text += f"{len(means):,} of {len(self.lines):,} members in training"
        counts = {"finished": done.count("finished"), "failed": done.count("failed")}
        text += "".join(f", {count:,} {what}" for what, count in counts.items() if count)
        self.progress.epoch_line(self.place.epoch, f"{text}  median loss {median:.4g}" if means else text)

    def _sound_rows(self) -> Array:
        """Rows in training after failing those whose state is no longer finite."""
        rows, state = self.stack.rows(), self.stack.fleet.state()
        for name, array in state.items():
            if np.issubdtype(array.dtype, np.floating):
                finite = np.isfinite(array[rows]).all(axis=tuple(range(1, array.ndim)))
                for row in rows[~finite]:
                    self._fail(row, f"{name} is no longer finite in {self._where()}")
                rows = rows[finite]
        return rows

    def _good_state(self) -> dict[str, torch.Tensor]:
        rows = self._sound_rows()
        self.stack.keep(rows, self.stack.fleet.state())
        return {
            **self.stack.state(),
            "fleet/members": torch.frombuffer(bytearray(b"".join(self.encoded)), dtype=torch.uint8),
            "fleet/logged": torch.from_numpy(np.where(self.stack.gone, 0.0, self.logged)),
            "fleet/lowest": torch.from_numpy(np.where(self.stack.gone, math.inf, self.lowest)),
            "best/value": torch.from_numpy(self.best_value),
            "best/epoch": torch.from_numpy(self.best_epoch),
        }

    def _save(self) -> None:
        """Lines of members that ended, the table of members, then the checkpoint that knows of them."""
        self.run.append("metrics", self.pending)
        self.pending = []
        super()._save()
        members.write(self.run, self.encoded)

    def _load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super()._load(tensors)
        text = bytes(tensors["fleet/members"].numpy())
        self.encoded = text.splitlines(keepends=True)
        self.lines = members.parse(self.run, text, self.last)
        self.logged, self.lowest = (np.array(tensors[f"fleet/{n}"].numpy()) for n in ("logged", "lowest"))
        self.best_value = np.array(tensors["best/value"].numpy())
        self.best_epoch = np.array(tensors["best/epoch"].numpy())
        path = self.run.checkpoints_dir / "best.safetensors"
        if path.exists():
            best, _ = checkpoint.read(path)
            weights = {k: v for k, v in best.items() if k.startswith("weights/")}
            self.best = {k.removeprefix("weights/"): np.array(v.numpy()) for k, v in weights.items()}

    def _finish(self) -> None:
        reasons = [line.get("reason") for line in self.lines if line["status"] == "failed"]
        for line in self.lines:
            if line["status"] == "running":
                self._write_line(line["member"], {"status": "finished", "reached": self._censored()})
        members.write(self.run, self.encoded)
        if len(reasons) == len(self.lines):
            raise EpochalError(
                f"all {len(reasons):,} members of the fleet failed; the first: {reasons[0]}.",
                hint=self._advice(),
            )
        super()._finish()


def as_bytes(value: Any) -> torch.Tensor:
    """A JSON value as a tensor of its bytes."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def from_bytes(tensor: torch.Tensor) -> Any:
    """What `as_bytes` was given."""
    return json.loads(bytes(tensor.numpy()))


def _joined(values: Mapping[str, float], validation: Mapping[str, float]) -> dict[str, float]:
    return {**values, **{f"validation/{name}": value for name, value in validation.items()}}
