"""What the engine insists on before it trains a task: mistakes of a recipe, said in the recipe's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochal.errors import EpochalError, UsageError
from epochal.training.task import Task


def insist(recipe: str, task: Task, nets: Mapping[str, Any]) -> None:
    """Refuses a task that could only fail inside the engine, or train on nothing.

    Args:
        recipe: its name, for the message.
        task: what `build` gave.
        nets: the networks by name.

    Raises:
        EpochalError: no items, columns of different length, nothing to train, an unknown network, two phases
            of one name, a stepper that is no network of the recipe's, an average of a net that it does not fit.
    """
    wrong = _fault(task, nets)
    if wrong is not None:
        raise EpochalError(f"The recipe {recipe} cannot be trained: {wrong[0]}.", hint=wrong[1])


def insist_on_patience(recipe: str, task: Task, settings: Any) -> None:
    """Refuses patience with a recipe that no validation metric watches: it would never end a training.

    Raises:
        UsageError: `stop.patience` is set and the task names no `keep_best`.
    """
    patience = settings.stop.patience
    if patience and task.keep_best is None:
        raise UsageError(
            f"stop.patience = {patience}, but no validation metric of {recipe} says what is better.",
            hint="Leave it out; --epochs or --steps ends the training.",
        )


def _fault(task: Task, nets: Mapping[str, Any]) -> tuple[str, str] | None:
    lengths = {name: len(column) for name, column in task.train.items()}
    if not lengths or 0 in lengths.values():
        return "its data hold no training items", "Check --data.limit and what its `build` puts into `train`."
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        return f"its columns differ in length ({shown})", "One row of each column makes an item."
    if task.stepper is None and not task.phases:
        return "it has neither phases nor a stepper", "Give its Task one of them."
    if task.stepper is not None and not any(net is task.stepper for net in nets.values()):
        return (
            "its stepper is none of its networks",
            "Its `nets` makes the stepper, and `build` hands that same object to its Task.",
        )
    if task.repeat < 1:
        return (
            f"it repeats its data {task.repeat} times in an epoch",
            "Give its Task a `repeat` of at least 1.",
        )
    if task.log_every is not None and task.log_every < 1:
        return (
            f"it logs every {task.log_every} steps",
            "Give its Task a `log_every` of at least 1, or None.",
        )
    names = [phase.name for phase in task.phases]
    if len(set(names)) < len(names):
        return (
            f"two of its phases have one name ({', '.join(names)})",
            "Logs and checkpoints tell them apart by name.",
        )
    for phase in task.phases:
        unknown = [name for name in phase.trains if name not in nets]
        if unknown or not phase.trains:
            what = f"the network {unknown[0]!r}, which it does not have" if unknown else "nothing"
            return f"its phase {phase.name} trains {what}", f"Networks: {', '.join(nets)}."
    return _unfit_average(task, nets)


def _unfit_average(task: Task, nets: Mapping[str, Any]) -> tuple[str, str] | None:
    for average in task.averages:
        unknown = [name for name in (average.of, average.into) if name not in nets]
        if unknown:
            return (
                f"it averages the network {unknown[0]!r}, which it does not have",
                f"Networks: {', '.join(nets)}.",
            )
        if any(average.into in phase.trains for phase in task.phases):
            return (
                f"it trains {average.into!r} and fills it with an average",
                "Average into a net of its own.",
            )
        of, into = (
            {k: tuple(t.shape) for k, t in nets[n].state_dict().items()} for n in (average.of, average.into)
        )
        if of != into:
            return (
                f"{average.into!r} cannot average {average.of!r}: their weights differ in name or shape",
                "Its `nets` makes both in the same way.",
            )
        if not 0 <= average.decay < 1:
            return f"its average has the decay {average.decay:g}", "0 <= decay < 1 must hold."
    return None
