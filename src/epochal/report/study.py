"""A study as the log tells it: versions and forks, the runs of each, and which of their numbers compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from epochal import settings
from epochal.journal import lineage
from epochal.settings.check import shown

if TYPE_CHECKING:
    from epochal.journal import Run
    from epochal.training.task import Recipe, Version

_SPLITS = ("train", "validation", "test")

WHERE_DATA_LIES = ("data.dir", "data.source")
"""Settings that say where data are found; which data were used stands in the run's `data`."""

Measure = tuple[str, str]
"""A number's split ("train", "validation", "test") and its name ("loss")."""

TITLES = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "glyphs": "drawn glyphs",
    "cifar10": "CIFAR-10",
    "shapes": "drawn shapes",
    "nuclei": "nuclei (DSB 2018)",
    "cells": "drawn nuclei",
    "membranes": "membranes (ISBI 2012)",
    "tissue": "drawn membranes",
    "voc2012": "PASCAL VOC 2012",
    "stained-cells": "drawn stained cells",
    "drawn-faces": "drawn faces",
    "drawn-faces-64": "drawn faces, 64x64",
    "faces-folder": "a folder of faces",
    "faces-sfhq": "SFHQ faces, 64x64",
    "wisdm-watch": "WISDM watch",
    "chest": "a chest accelerometer",
    "pamap2": "PAMAP2",
    "basicmotions": "BasicMotions",
    "arrays-folder": "a folder of windows",
    "geneactiv-folder": "a folder of GENEActiv recordings",
    "wrist": "simulated wrist",
    "xor": "XOR table",
    "sine": "sine wave",
    "toy": "toy samples",
}
"""Names of data sets as titles write them."""


@dataclass(frozen=True)
class Variant:
    """Runs of one version or fork with the same settings and data; they differ in their seeds.

    Attributes:
        title: unique in the study.
        runs: by seed, then oldest first; at least one.
    """

    title: str
    runs: Sequence[Run]

    @property
    def counted(self) -> list[Run]:
        """The runs that may be averaged: finished, one a seed (the newest)."""
        return list({run.seed: run for run in self.runs if run.status == "finished"}.values())

    @property
    def shown(self) -> Run:
        """The run whose pictures and settings stand for all: the first finished one, else the first."""
        return next(iter(self.counted), self.runs[0])

    @property
    def created(self) -> str:
        """When the first of its runs was made (ISO 8601)."""
        return min(str(run.meta["created"]) for run in self.runs)


@dataclass
class Entry:
    """A version or a fork in the study's tree.

    Attributes:
        key: unique in the study.
        title: what people call it.
        parent: key of the entry it came from.
        words: what changed, in words.
        changes: what changed, setting by setting: dotted key → (old, new).
        variants: its runs, oldest first; none when it was not trained.
    """

    key: str
    title: str
    parent: str | None
    words: str
    changes: settings.Diff
    variants: list[Variant] = field(default_factory=list)


def entries(recipe: Recipe, runs: Sequence[Run]) -> dict[str, Entry]:
    """All versions of the recipe and all forks among the runs, by key, parents before children."""
    study = lineage.study(runs, recipe.name, label=lambda run: _label(recipe, run))
    found = {
        version.name: Entry(
            version.name, version.name, version.parent, version.change, version_changes(recipe, version)
        )
        for version in recipe.versions
    }
    for node in study.nodes.values():
        entry = found.setdefault(node.key, _other_entry(recipe, node))
        entry.variants = variants(node.title, node.runs)
    _tell_apart([variant for entry in found.values() for variant in entry.variants], found)
    return found


def _label(recipe: Recipe, run: Run) -> str:
    """Where a run that is no fork stands in the tree: a name alone makes no version of its own of it."""
    version = version_of(recipe, run)
    return run.label if version is None or overrides(recipe, run) else version.name


def _other_entry(recipe: Recipe, node: lineage.Node) -> Entry:
    """A fork, a version that the recipe no longer has, or a named run of other settings than its version's."""
    parent, changes = node.parent, node.patch
    version = version_of(recipe, node.runs[0]) if node.runs else None
    if version is not None:  # it came from its version, whose own changes are not its
        own = settings.flatten(settings.to_dict(resolved(recipe, ancestors(recipe, version))))
        used = overrides(recipe, node.runs[0])
        parent, changes = version.name, {key: (own.get(key), value) for key, value in used.items()}
    return Entry(node.key, node.title, parent, "", changes)


def variants(title: str, runs: Sequence[Run]) -> list[Variant]:
    """The runs divided by settings and data, oldest first; titles say what differs between them."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.meta["created"], run.id)):
        kind = [_compared(run), run.meta["data"].get("name"), run.meta["data"].get("sha256")]
        kind.append(run.id if run.members else None)  # a fleet holds its seeds itself
        groups.setdefault(json.dumps(kind, sort_keys=True, default=str), []).append(run)
    divided = [sorted(group, key=lambda run: run.seed) for group in groups.values()]
    flat = [{**_compared(group[0]), "data": data_name(group[0])} for group in divided]
    keys = dict.fromkeys(key for one in flat for key in one)
    differing = [key for key in keys if len({shown(one.get(key)) for one in flat}) > 1]
    names = []
    for one in flat:
        parts = [str(one[key]) if key == "data" else f"{key} = {shown(one.get(key))}" for key in differing]
        names.append(f"{title} ({', '.join(parts)})" if parts else title)
    return [Variant(name, group) for name, group in zip(names, divided, strict=True)]


def version_changes(recipe: Recipe, version: Version) -> settings.Diff:
    """What a version changes in the settings of its parent; nothing for a root."""
    if version.parent is None:
        return {}
    line = ancestors(recipe, version)
    return settings.diff(resolved(recipe, line[:-1]), resolved(recipe, line))


def resolved(recipe: Recipe, line: Sequence[Version]) -> Any:
    """The settings after the patches of a line of versions."""
    return settings.layered(recipe.settings(), [(one.name, one.patch) for one in line])


def ancestors(recipe: Recipe, version: Version) -> list[Version]:
    """The version's line of parents, root first, itself last; a parent that does not exist ends it."""
    by_name = {one.name: one for one in recipe.versions}
    line = [version]
    while (parent := by_name.get(line[0].parent or "")) is not None and parent not in line:
        line.insert(0, parent)
    return line


def version_of(recipe: Recipe, run: Run) -> Version | None:
    """The recipe's version that a run trains; None for a fork or a name that the recipe does not know."""
    if run.parent is not None:
        return None
    return next((version for version in recipe.versions if version.name == run.version), None)


def overrides(recipe: Recipe, run: Run) -> dict[str, Any]:
    """Settings of a version's run that are not the version's own: dotted key → value used."""
    version = version_of(recipe, run)
    if version is None:
        return {}
    used = settings.flatten(run.settings)
    own = {key.replace("-", "_"): value for key, value in settings.flatten(version.patch).items()}
    foreign = [key for key, value in own.items() if shown(used.get(key)) != shown(value)]
    foreign += [key for key in run.patch if key not in own]
    return {key: used.get(key) for key in foreign if key not in WHERE_DATA_LIES}


def reported(recipe: Recipe, run: Run) -> Mapping[Measure, float]:
    """The reference's numbers for the version that a run trains; empty when there are none."""
    version = version_of(recipe, run)
    return {} if version is None else references(recipe, version)


def references(recipe: Recipe, version: Version) -> Mapping[Measure, float]:
    """A version's reported numbers by split and name, as `Version.reported` names them."""
    measured = {metric.name for metric in recipe.metrics}
    found = {}
    for key, value in version.reported.items():
        split, _, name = key.partition("/")
        if split not in _SPLITS:  # a phase's part has a slash of its own: "train/discriminator/real_accuracy"
            split, name = "test" if key in measured else "train", key
        found[split, name] = value
    return found


def reported_epoch(recipe: Recipe, run: Run) -> int:
    """The epoch that the reported numbers belong to: the version's last."""
    version = version_of(recipe, run)
    line = ancestors(recipe, version) if version is not None else []
    return int(resolved(recipe, line).epochs)


def formula(definition: Mapping[str, Any]) -> str:
    """A loss as its phases define it, on one line; empty when it was not recorded."""
    several = len(definition) > 1
    return "; ".join(f"{name}: {text}" if several else str(text) for name, text in definition.items())


def missed_steps(run: Run) -> dict[str, str]:
    """The steps that a finished run did and those that were asked for, where its epochs ended first; else empty."""
    wanted, epochs = (settings.flatten(run.settings).get(key) for key in ("steps", "epochs"))
    done = run.meta["steps_done"]
    if run.status != "finished" or not wanted or done >= wanted or run.meta["epochs_done"] < epochs:
        return {}
    return {"done": f"{done:,}", "total": f"{wanted:,}"}


def is_drawn(run: Run) -> bool:
    """Whether a run trained on drawn or simulated items that stand in for no real data."""
    return bool(run.meta["data"].get("drawn"))


def data_name(run: Run) -> str:
    """The data set that a run was trained on: "MNIST", "drawn glyphs"; drawn data are always called so."""
    name = str(run.meta["data"].get("name") or "data not recorded")
    title = TITLES.get(name, name)
    return f"{title} (drawn)" if is_drawn(run) and "drawn" not in title else title


def data_title(run: Run) -> str:
    """What a run was trained on, as a title says it: "drawn glyphs", "MNIST, 256 training items"."""
    title, limit, items = data_name(run), data_limit(run), data_items(run)
    if limit is None:
        return title
    amount = f"at most {limit:,}" if items is None else f"{items:,}"
    return f"{title}, {amount} training items"


def data_limit(run: Run) -> int | None:
    """The number of training items that a run was limited to; its data may have fewer."""
    limit = settings.flatten(run.settings).get("data.limit")
    return None if limit is None else int(limit)


def data_items(run: Run) -> int | None:
    """The number of items that a run was trained on; runs of earlier versions of Epochal did not note it."""
    items = run.meta["data"].get("items")
    return None if items is None else int(items)


def run_title(run: Run) -> str:
    """Recipe, version and name, seed and data of a run, as figures carry it."""
    return f"{run.recipe} {run.title}, seed {run.seed}, {data_title(run)}"


def _compared(run: Run) -> dict[str, Any]:
    return {key: value for key, value in settings.flatten(run.settings).items() if key not in WHERE_DATA_LIES}


def _tell_apart(all_variants: list[Variant], found: Mapping[str, Entry]) -> None:
    """Adds the id of the first run to titles that occur more than once (forks of different parents)."""
    titles = [variant.title for variant in all_variants]
    for entry in found.values():
        entry.variants = [
            Variant(f"{v.title} [{v.runs[0].id}]", v.runs) if titles.count(v.title) > 1 else v
            for v in entry.variants
        ]
