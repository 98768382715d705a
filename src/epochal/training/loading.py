"""Trained networks from run folders: what `evaluate`, `generate`, figures and notebooks get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from epochal.errors import EpochalError
from epochal.journal import Run
from epochal.journal.members import MemberRun
from epochal.training import checkpoint, devices
from epochal.training.learner import fill_stepper
from epochal.training.streams import numpy_stream
from epochal.training.task import Recipe, Trained


def load(
    recipe: Recipe, run: Run, *, which: str = "best", device: str = "auto", settings: Any = None
) -> Trained:
    """A run's networks in float32, in eval mode and without gradients (`net.requires_grad_()` to train on).

    Args:
        recipe: the run's recipe.
        run: the run.
        which: "best" by the validation metric (the last one where the recipe names none), or "last".
        device: where to put them.
        settings: the run's settings where the caller has built them; else they are read from the run.

    Raises:
        EpochalError: no checkpoint, an unreadable one, or one that does not fit the recipe's networks.
    """
    from epochal.settings import from_dict

    settings = from_dict(recipe.settings, run.settings) if settings is None else settings
    return _filled(recipe, run, settings, weights_of(run, which), devices.resolve(device))


def load_members(recipe: Recipe, runs: Iterable[MemberRun], *, which: str = "best") -> Iterator[Trained]:
    """The networks of a fleet's members, one after another; its checkpoints are read once.

    Raises:
        EpochalError: as `load`.
    """
    from epochal.settings import from_dict

    files: dict[Path, dict[str, torch.Tensor]] = {}
    for run in runs:
        settings: Any = from_dict(recipe.settings, run.settings)
        yield _filled(recipe, run, settings, weights_of(run, which, files), torch.device("cpu"))


def weights_of(
    run: Run, which: str, files: dict[Path, dict[str, torch.Tensor]] | None = None
) -> dict[str, torch.Tensor]:
    """A run's saved weights by name; of a fleet's member its own.

    Args:
        run: the run.
        which: "best" (the last one where there is none) or "last".
        files: keeps what was read for the next call.

    Raises:
        EpochalError: there is no checkpoint, or it cannot be read.
    """
    files = {} if files is None else files
    best, last = (run.checkpoints_dir / f"{name}.safetensors" for name in ("best", "last"))

    def tensors(path: Path) -> dict[str, torch.Tensor]:
        if path not in files:
            files[path] = checkpoint.read(path)[0]
        return files[path]

    path = last if which == "last" or not best.exists() else best
    found = tensors(path)
    if isinstance(run, MemberRun):
        if "best/epoch" in found and not found["best/epoch"][run.member]:  # it never had a best epoch
            found = tensors(last)
        found = {name: tensor[run.member] for name, tensor in found.items() if name.startswith("weights/")}
    return {k.removeprefix("weights/"): v for k, v in found.items() if k.startswith("weights/")}


def _filled(
    recipe: Recipe, run: Run, settings: Any, weights: Mapping[str, torch.Tensor], where: torch.device
) -> Trained:
    about = run.meta["data"] or {}
    with quiet_generators():
        nets = recipe.nets_of(settings, about) if recipe.nets_of and about else recipe.nets(settings)
    for net_name, net in nets.items():
        if isinstance(net, torch.nn.Module):
            wrong = _fill_module(net, net_name, weights)
        else:
            net.init(numpy_stream(run.seed, "init"))
            wrong = fill_stepper(net, {name: tensor.numpy() for name, tensor in weights.items()})
            where = torch.device("cpu")  # NumPy knows no other
        if wrong is not None:
            raise EpochalError(
                f"the checkpoint of {run.id} does not fit the networks of {recipe.name}: {net_name}.{wrong}.",
                hint="The recipe has changed since this run; check out the code of the commit that run.json names.",
            )
        if isinstance(net, torch.nn.Module):
            net.to(where).eval().requires_grad_(False)
    return Trained(
        settings=settings,
        nets=nets,
        device=str(where),
        seed=run.seed,
        data=about,
        evaluation=run.meta["evaluation"],
    )


def _fill_module(net: torch.nn.Module, name: str, weights: Mapping[str, torch.Tensor]) -> str | None:
    """Puts the weights that are this network's into it; what does not fit, in words, when they do not."""
    prefix = f"{name}."
    found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    wrong = checkpoint.misfit(net.state_dict(), found)
    if wrong is None:
        net.load_state_dict(found)
    return wrong


@contextmanager
def quiet_generators() -> Iterator[None]:
    """Leaves the caller's global random state, and thread count, as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            torch.set_num_threads(threads)
