"""The verb that asks a run's networks about a user's own data: predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from epochal.api._calls import verb
from epochal.api._networks import Which, trained_of
from epochal.api._runs import LabLike, known_recipe, lab_of, single
from epochal.errors import UsageError
from epochal.journal import Run, atomic
from epochal.training.task import Figure


@dataclass(frozen=True)
class Prediction:
    """What `predict` wrote, and about it what the recipe tells.

    Attributes:
        path: the answers.
        told: numbers and texts, by name.
        pictures: what was drawn of them, beside `path`.
    """

    path: Path
    told: Mapping[str, float | str]
    pictures: Sequence[Path] = ()


@verb
def predict(
    ref: str | Run,
    path: str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    which: Which = "best",
    device: str = "auto",
    recipe: str | None = None,
    lab: LabLike = None,
) -> Prediction:
    """Answers a run's networks give to data of one's own, written to a file; whole or not at all.

    Where the recipe draws its answers, the picture lies beside them: `OUT.png` for `OUT.csv`, or with its name too
    (`OUT-NAME.png`) where there are several. Answers and pictures take their places together.

    Args:
        ref: the run.
        path: the data: what the recipe reads (for face-conditions a folder of pictures with a CSV, for har-classifier
            a GENEActiv CSV export).
        out: file to write; default: `DATA-answers.csv` in the present folder.
        overwrite: write over `out` and its pictures where they exist; also where `out` is the data themselves.
        which: checkpoint to use.
        device: see `run`.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.

    Raises:
        UsageError: the recipe predicts nothing, the data are not there, or `out` or a picture is.
        EpochalError: the run has no checkpoint yet, or the data are not what the recipe reads.
    """
    one = single(lab_of(lab).find(ref))
    found, _ = known_recipe(one, recipe)
    if found.predict is None:
        raise UsageError(f"The recipe {found.name} predicts nothing from data of your own.")
    source = Path(path).expanduser()
    if not source.exists():
        raise UsageError(
            f"There is no {source} to read.", hint=f"Name the data that {found.name} is to answer for."
        )
    target = Path(f"{source.resolve().stem}-answers.csv") if out is None else Path(out).expanduser()
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    _insist_free(target, overwrite)
    trained = trained_of(found, one, which, device)
    with ExitStack() as places:  # each file takes its place when all are written
        told = found.predict(trained, source, places.enter_context(atomic.replacing(target)))
        drawn = {name: value for name, value in told.items() if isinstance(value, Figure)}
        pictures = [target.with_name(f"{target.stem}{f'-{name}' * (len(drawn) > 1)}.png") for name in drawn]
        for picture, figure in zip(pictures, drawn.values(), strict=True):
            from epochal.report import figures, study

            _insist_free(picture, overwrite)
            if picture == target:
                raise UsageError(
                    f"{target} is the name of the picture of the answers.", hint="-o answers.csv"
                )
            figures.draw(
                figure, places.enter_context(atomic.replacing(picture)), subtitle=study.run_title(one)
            )
    words = {name: value for name, value in told.items() if not isinstance(value, Figure)}
    return Prediction(target, words, tuple(pictures))


def _insist_free(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists.", hint="Name another file, or write over it: --overwrite")
