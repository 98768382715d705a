"""Feeds: what cuts a task's columns into batches, in an order that seed, epoch and pass alone decide.

So resuming inside an epoch is exact, and two runs of one seed see their items in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from epochal.training.streams import numpy_stream, torch_stream
from epochal.training.task import Batch, Task


def order_stream(epoch: int, passes: int) -> str:
    """Name of the random stream that shuffles a pass over the data: `passes` of the epoch are behind it."""
    return f"order/{epoch}/{passes}" if passes else f"order/{epoch}"


class Feed(Protocol):
    """What the engine asks for its batches."""

    def batch(self, epoch: int, passes: int, start: int) -> Batch:
        """The prepared batch that begins with item `start` of a pass; `passes` of the epoch are behind it."""


class TensorFeed:
    """Batches of tensors for torch networks, gathered on the device."""

    def __init__(self, task: Task, seed: int, device: torch.device) -> None:
        self.task, self.seed, self.device = task, seed, device
        self.columns = {
            name: torch.as_tensor(np.ascontiguousarray(column)).to(device)
            for name, column in task.train.items()
        }
        self.items = len(next(iter(self.columns.values())))
        self._order: torch.Tensor | None = None
        self._of: tuple[int, int] | None = None

    def batch(self, epoch: int, passes: int, start: int) -> Batch:
        """See `Feed`."""
        if self._of != (epoch, passes):
            self._order, self._of = self._ordered(epoch, passes), (epoch, passes)
        assert self._order is not None
        indices = self._order[start : start + self.task.batch_size]
        return _prepared(self.task, self.columns, indices, epoch)

    def _ordered(self, epoch: int, passes: int) -> torch.Tensor:
        if not self.task.shuffle:
            return torch.arange(self.items, device=self.device)
        stream = torch_stream(self.seed, order_stream(epoch, passes))
        return torch.randperm(self.items, generator=stream).to(self.device)


class ArrayFeed:
    """Batches of arrays for networks with their own step.

    In the stored order a batch is a read-only view; where it is the whole set it is prepared once.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed = task, seed
        self.columns = {name: _read_only(np.asarray(column)) for name, column in task.train.items()}
        self.items = len(next(iter(self.columns.values())))
        self._order: Any = None
        self._of: tuple[int, int] | None = None
        self._whole: Batch | None = None

    def batch(self, epoch: int, passes: int, start: int) -> Batch:
        """See `Feed`."""
        if not self.task.shuffle:
            return self._stored(epoch, start)
        if self._of != (epoch, passes):
            stream = numpy_stream(self.seed, order_stream(epoch, passes))
            self._order, self._of = stream.permutation(self.items), (epoch, passes)
        indices = self._order[start : start + self.task.batch_size]
        return _prepared(self.task, self.columns, indices, epoch)

    def _stored(self, epoch: int, start: int) -> Batch:
        if self._whole is not None:
            self._whole.epoch = epoch
            return self._whole
        stop = start + self.task.batch_size
        batch = _prepared(self.task, self.columns, slice(start, stop), epoch)
        if start == 0 and stop >= self.items:
            # Every step gets this one: none may change it for the next.
            batch.update({k: _read_only(v) for k, v in batch.items() if isinstance(v, np.ndarray)})
            self._whole = batch
        return batch


class FleetFeed:
    """Batches for many seeds at once: every column (seeds, batch, …), each seed's items in its own order.

    `Task.prepare` sees the items of all seeds as one long batch: it treats each item by itself. In the stored
    order all seeds share one batch, a view that repeats it.
    """

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self.task, self.seeds = task, list(seeds)
        self.stored = ArrayFeed(task, 0)
        self.items = self.stored.items
        self._orders: Any = None  # (seeds, items)
        self._of: tuple[int, int] | None = None
        self._shared: tuple[Batch, Batch] | None = None

    def batch(self, epoch: int, passes: int, start: int) -> Batch:
        """See `Feed`."""
        if not self.task.shuffle:
            return self._repeated(self.stored.batch(epoch, passes, start))
        if self._of != (epoch, passes):
            name = order_stream(epoch, passes)
            self._orders = np.stack([numpy_stream(s, name).permutation(self.items) for s in self.seeds])
            self._of = (epoch, passes)
        indices = self._orders[:, start : start + self.task.batch_size]
        flat = _prepared(self.task, self.stored.columns, indices.ravel(), epoch)
        batch = Batch({name: np.reshape(v, (*indices.shape, *v.shape[1:])) for name, v in flat.items()})
        batch.epoch = epoch
        return batch

    def _repeated(self, one: Batch) -> Batch:
        if self._shared is None or self._shared[0] is not one:
            several = {n: np.broadcast_to(v, (len(self.seeds), *np.shape(v))) for n, v in one.items()}
            self._shared = one, Batch(several)
        self._shared[1].epoch = one.epoch
        return self._shared[1]


def _prepared(task: Task, columns: Mapping[str, Any], items: Any, epoch: int) -> Batch:
    batch = Batch({name: column[items] for name, column in columns.items()})
    batch.epoch = epoch
    prepared = task.prepare(batch)
    prepared.epoch = epoch
    return prepared


def _read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    view = array.view()
    view.flags.writeable = False
    return view
