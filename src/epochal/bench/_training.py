"""One training of the device benchmark, in a process of its own: `python -m epochal.bench._training`."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochal.training.task import Nets, Task


def train(plan: Mapping[str, Any], device: str, threads: int | None, scratch: Path) -> dict[str, Any]:
    """Trains as planned on a device; says how long it took, from the first step to the end of the last epoch.

    Args:
        plan: recipe, version, seed, precision, and `settings`, the whole of them.
        device: "cpu", "cuda" or "mps".
        threads: CPU threads.
        scratch: folder for the run.

    Returns:
        `started` (seconds since the epoch), `seconds`, `items` trained on, `final` (last values, as the run
        keeps them), `how` it computed, `data` (name and digest), `created` (when it ended).
    """
    from epochal import settings as settings_room
    from epochal.journal import Lab
    from epochal.systems import recipes
    from epochal.training import engine

    recipe = recipes.find(plan["recipe"])
    settings: Any = settings_room.from_dict(recipe.settings, plan["settings"])
    sizes: list[int] = []

    def build(settings: Any, nets: Nets) -> Task:
        task = recipe.build(settings, nets)
        sizes.append(len(next(iter(task.train.values()))) * task.repeat)
        return task

    lab = Lab(scratch / "lab")
    run = lab.create_run(recipe=recipe.name, settings=settings_room.to_dict(settings), seed=plan["seed"])
    watched = replace(recipe, build=build)
    engine.train(
        watched, settings, run, device=device, precision=plan["precision"], threads=threads, show=False
    )
    meta, records = run.reload().meta, run.metrics()
    return {
        "started": datetime.fromisoformat(meta["started"]).timestamp(),
        "seconds": records[-1]["time"],
        "items": trained_items(meta["steps_done"], sizes[0], settings.batch_size),
        "final": meta["final"],
        "how": meta["choices"].get("arithmetic")
        or "{precision}, {layout}, {layers} layers".format(**meta["choices"]),
        "created": meta["finished"],
        "data": {name: meta["data"].get(name) for name in ("name", "sha256")},
    }


def trained_items(steps: int, items: int, batch_size: int) -> int:
    """Items that so many steps saw, when every epoch over `items` ends with a smaller batch."""
    epochs, rest = divmod(steps, math.ceil(items / batch_size))
    return epochs * items + rest * batch_size


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the training prints must not get into the answer
    wanted = json.loads(sys.argv[1])
    json.dump(train(wanted["plan"], wanted["device"], wanted["threads"], Path(sys.argv[2])), answers)
    answers.close()
