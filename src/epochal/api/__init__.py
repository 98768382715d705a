"""The verbs as functions: what `epochal VERB` does on the command line, callable from Python and notebooks.

    import epochal
    runs = epochal.run("cvae-digits", "model-4", seeds=3, patch={"epochs": 4})
    child = epochal.fork(runs[0].id, {"loss.grey_weight": 0.1}, note="less grey")[0]
    epochal.evaluate(child.id)
    epochal.load(child.id).decoder          # a plain torch.nn.Module

A run is named by its id, the beginning of it, "last", "recipe:version@seed", or its folder; a fleet's member as
"FLEET#12" or "FLEET@seed". The runs that a verb gives back name themselves: `epochal.evaluate(runs[0])`.
"""

from __future__ import annotations

from epochal.api._checks import PRECISIONS
from epochal.api._export import Exported, export
from epochal.api._networks import SPLITS, Which, evaluate, generate, load
from epochal.api._predict import Prediction, predict
from epochal.api._runs import LabLike, Runs, groups_of, members, recipe_of, recipes, runs, status_of
from epochal.api._study import Removal, compare, log, note, rm, show
from epochal.api._training import TrainingEnded, fork, resume, run
from epochal.api._weights import Imported, import_weights

__all__ = [
    "PRECISIONS",
    "SPLITS",
    "Exported",
    "Imported",
    "LabLike",
    "Prediction",
    "Removal",
    "Runs",
    "TrainingEnded",
    "Which",
    "compare",
    "evaluate",
    "export",
    "fork",
    "generate",
    "groups_of",
    "import_weights",
    "load",
    "log",
    "members",
    "note",
    "predict",
    "recipe_of",
    "recipes",
    "resume",
    "rm",
    "run",
    "runs",
    "show",
    "status_of",
]
