"""The tree of a study: which version or fork came from which, and by what change, read from run folders."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from epochal.journal.run import Run

Patch = dict[str, tuple[Any, Any]]


@dataclass
class Node:
    """A version, or the forks of one parent that share a name and a patch (they differ in seed only).

    Attributes:
        key: unique in the study: the version's name, or the folder name of the oldest fork.
        title: what people call it.
        kind: version or fork.
        parent: key of the node it came from; None for a root.
        patch: what changed from the parent, dotted key → (old, new).
        runs: its runs, newest first; a version that others name as parent may have none.
    """

    key: str
    title: str
    kind: Literal["version", "fork"]
    parent: str | None = None
    patch: Patch = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """The versions and forks of one recipe in one lab.

    Attributes:
        recipe: name of the recipe.
        nodes: by key, oldest first.
    """

    recipe: str
    nodes: dict[str, Node]

    def roots(self) -> list[Node]:
        """Nodes without a parent, oldest first."""
        return [node for node in self.nodes.values() if node.parent is None]

    def children(self, key: str) -> list[Node]:
        """Nodes that came directly from the node `key`, oldest first."""
        return [node for node in self.nodes.values() if node.parent == key]

    def edges(self) -> list[tuple[str, str, Patch]]:
        """(parent's key, child's key, what changed), oldest child first."""
        return [
            (node.parent, node.key, node.patch) for node in self.nodes.values() if node.parent is not None
        ]

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Every node once with its depth (0 for roots), parents before children, branch by branch."""
        waiting = [(0, node) for node in reversed(self.roots())]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting.extend((depth + 1, child) for child in reversed(self.children(node.key)))

    def node_of(self, run: Run) -> Node:
        """The node that holds a run. KeyError when the run is not of this study."""
        for node in self.nodes.values():
            if run in node.runs:
                return node
        raise KeyError(run.path.name)


def study(
    runs: Iterable[Run], recipe: str, *, label: Callable[[Run], str] = operator.attrgetter("label")
) -> Study:
    """The tree of one recipe's runs.

    A fork hangs on the node of the run that it was forked from; when that run was deleted, on the version
    that it names as its parent. Parents that go round in a circle (a spoilt folder) are cut: nothing is lost.

    Args:
        runs: readable runs in any order; those of other recipes are passed over.
        recipe: name of the recipe.
        label: the version that a run stands for which is no fork; by default its name, where it has one.
    """
    own = sorted(
        (run for run in runs if run.recipe == recipe), key=lambda run: (run.meta["created"], run.path)
    )
    by_id = {run.id: run for run in own}
    by_id.update({run.parent: by_id[fleet] for run in own if run.parent and (fleet := _fleet(run)) in by_id})
    nodes: dict[str, Node] = {}
    forks: dict[str, Node] = {}
    placed: dict[Run, Node] = {}
    for run in own:
        for ancestor in _unplaced_line(run, by_id, placed):
            parent = by_id.get(ancestor.parent or "")
            above = placed.get(parent) if parent is not None else None
            node = _node(ancestor, label(ancestor), above, nodes, forks)
            node.runs.insert(0, ancestor)
            placed[ancestor] = node
    _cut_circles(nodes)
    return Study(recipe, nodes)


def studies(runs: Iterable[Run]) -> dict[str, Study]:
    """The trees of all recipes among `runs`, by recipe name."""
    listed = list(runs)
    return {recipe: study(listed, recipe) for recipe in sorted({run.recipe for run in listed})}


def _fleet(run: Run) -> str:
    """The id of the fleet that a run was forked from a member of (`FLEET#12`); empty for any other."""
    fleet, sign, _ = (run.parent or "").rpartition("#")
    return fleet if sign else ""


def _unplaced_line(run: Run, by_id: dict[str, Run], placed: dict[Run, Node]) -> list[Run]:
    """A run and its ancestors that have no node yet, eldest first."""
    line: dict[Run, None] = {}
    above: Run | None = run
    while above is not None and above not in placed and above not in line:
        line[above] = None
        above = by_id.get(above.parent or "")
    return list(line)[::-1]


def _node(run: Run, label: str, parent: Node | None, nodes: dict[str, Node], forks: dict[str, Node]) -> Node:
    """The node that `run` belongs to, made when it is the first; `parent` is that of its parent run.

    `forks` finds the node of forks that share parent, name and patch.
    """
    origin = run.meta["parent_version"]
    if run.parent is None:
        if origin is not None:
            _version(origin, nodes)  # before its child: nodes are kept oldest first
        node = _version(label, nodes)
        if node.parent is None and origin not in (None, node.key):
            node.parent = origin
        node.patch = run.patch or node.patch
        return node
    if parent is None and origin is not None:
        parent = _version(origin, nodes)
    alike = json.dumps([parent.key if parent else run.parent, run.name, run.meta["patch"]], sort_keys=True)
    if alike not in forks:
        title = run.name or f"{run.version or 'run'}, changed"
        node = Node(run.path.name, title, "fork", parent.key if parent else None, run.patch)
        forks[alike] = nodes[node.key] = node
    return forks[alike]


def _version(name: str, nodes: dict[str, Node]) -> Node:
    return nodes.setdefault(name, Node(name, name, "version"))


def _cut_circles(nodes: dict[str, Node]) -> None:
    for node in nodes.values():
        seen = {node.key}
        above = node
        while above.parent is not None:
            if above.parent in seen:
                above.parent = None
                break
            seen.add(above.parent)
            above = nodes[above.parent]
