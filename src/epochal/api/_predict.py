"""The verb that asks a run's networks about a user's own data: predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from epochal.api._calls import verb
from epochal.api._networks import Which, trained_of
from epochal.api._runs import LabLike, known_recipe, lab_of, single
from epochal.errors import UsageError
from epochal.journal import Run, atomic


@dataclass(frozen=True)
class Prediction:
    """What `predict` wrote, and about it what the recipe tells."""

    path: Path
    told: Mapping[str, float | str]


@verb
def predict(
    ref: str | Run,
    path: str | Path,
    *,
    out: str | Path,
    overwrite: bool = False,
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
) -> Prediction:
    """Answers a run's networks give to data of one's own, written to a file; whole or not at all.

    Args:
        ref: the run.
        path: the data: what the recipe reads (for face-conditions a folder of pictures with a CSV).
        out: file to write.
        overwrite: write over `out` where it exists; also where it is the data themselves.
        which: checkpoint to use.
        device: see `run`.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.

    Raises:
        UsageError: the recipe predicts nothing, the data are not there, or `out` is.
        EpochalError: the run has no checkpoint yet, or the data are not what the recipe reads.
    """
    one = single(lab_of(lab).find(ref))
    found, _ = known_recipe(one, recipe)
    if found.predict is None:
        raise UsageError(f"The recipe {found.name} predicts nothing from data of your own.")
    source, target = Path(path).expanduser(), Path(out).expanduser()
    if not source.exists():
        raise UsageError(
            f"There is no {source} to read.", hint=f"Name the data that {found.name} is to answer for."
        )
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists.", hint="Name another file, or write over it: --overwrite")
    trained = trained_of(found, one, which, device)
    with atomic.replacing(target) as temporary:
        told = found.predict(trained, source, temporary)
    return Prediction(target, told)
