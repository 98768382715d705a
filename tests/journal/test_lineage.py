"""The tree of a study, from run folders alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epochal.journal import Lab, Run, lineage

GREY = {"loss.grey_weight": (0.32, 0.1)}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


def version(
    lab: Lab, name: str, origin: str | None = None, seed: int = 0, **patch: tuple[object, object]
) -> Run:
    """A run of a version."""
    return lab.create_run(recipe="r", version=name, parent_version=origin, patch=patch, seed=seed)


def fork(lab: Lab, parent: Run, patch: dict[str, tuple[float, float]], name: str | None = None) -> Run:
    """A fork of a run."""
    return lab.create_run(
        recipe="r",
        version=parent.version,
        name=name,
        parent=parent.id,
        parent_version=parent.version,
        patch=patch,
        seed=parent.seed,
    )


def shape(study: lineage.Study) -> list[tuple[int, str, int]]:
    """Depth, title and number of runs, in walking order."""
    return [(depth, node.title, len(node.runs)) for depth, node in study.walk()]


def test_versions_form_a_tree_with_their_changes(lab: Lab) -> None:
    """A version may return to an earlier parent; one that was never trained still links its children."""
    version(lab, "model-1")
    version(lab, "model-2", "model-1", seed=0, epochs=(8, 9))
    version(lab, "model-2", "model-1", seed=1, epochs=(8, 9))
    version(lab, "model-4", "model-3", epochs=(9, 41))
    version(lab, "model-5", "model-1")
    lab.create_run(recipe="other", version="model-1")
    study = lineage.study(lab.runs(), "r")
    assert shape(study) == [
        *((0, "model-1", 1), (1, "model-2", 2), (1, "model-5", 1)),
        *((0, "model-3", 0), (1, "model-4", 1)),
    ]
    assert study.edges()[:2] == [
        ("model-1", "model-2", {"epochs": (8, 9)}),
        ("model-3", "model-4", {"epochs": (9, 41)}),
    ]
    assert [run.seed for run in study.nodes["model-2"].runs] == [1, 0]


def test_equal_forks_of_several_seeds_are_one_node(lab: Lab) -> None:
    """Proving a change forks every seed; forks of forks hang below; another patch or name is another node."""
    parents = [version(lab, "model-4", seed=seed) for seed in range(3)]
    forks = [fork(lab, parent, GREY) for parent in parents]
    fork(lab, parents[0], {"loss.grey_weight": (0.32, 0.2)})
    fork(lab, parents[0], GREY, name="less-grey")
    deeper = fork(lab, forks[1], {"optim.lr": (1e-3, 2e-4)})
    study = lineage.study(lab.runs(), "r")
    assert shape(study) == [
        *((0, "model-4", 3), (1, "model-4, changed", 3), (2, "model-4, changed", 1)),
        *((1, "model-4, changed", 1), (1, "less-grey", 1)),
    ]
    node = study.node_of(deeper)
    assert node.kind == "fork" and node.patch == {"optim.lr": (1e-3, 2e-4)}
    assert study.nodes[node.parent or ""].runs == forks[::-1]
    with pytest.raises(KeyError):
        study.node_of(Run(lab.path / "none"))


def test_a_fork_of_a_deleted_run_hangs_on_its_version(lab: Lab) -> None:
    """`rm` of a parent does not lose its children."""
    parent = version(lab, "model-4")
    fork(lab, parent, GREY, name="less-grey")
    parent.delete()
    assert shape(lineage.study(lab.runs(), "r")) == [(0, "model-4", 0), (1, "less-grey", 1)]


def test_circles_are_cut(lab: Lab) -> None:
    """Spoilt folders that name each other (or themselves) as parents still show every run once."""
    a, b, c = (version(lab, "v") for _ in range(3))
    for run, parent in ((a, b), (b, a), (c, c)):
        meta = json.loads((run.path / "run.json").read_text())
        (run.path / "run.json").write_text(json.dumps({**meta, "parent": parent.id, "name": run.id}))
    d = version(lab, "x", "y")
    version(lab, "y", "x")
    study = lineage.study(lab.runs(), "r")
    walked = [run for _, node in study.walk() for run in node.runs]
    assert len(walked) == 5 and {a, b, c, d} < set(walked)


def test_a_long_chain_is_no_problem(lab: Lab, tmp_path: Path) -> None:
    """Depth is bounded by the disk only, whatever order the runs come in and whatever their clocks said."""
    runs = []
    parent = None
    for number in range(1500):
        meta = {"id": f"n{number}", "recipe": "r", "version": "v", "parent": parent, "created": str(-number)}
        runs.append(Run(tmp_path / f"n{number}", content=json.dumps(meta)))
        parent = f"n{number}"
    assert [depth for depth, _ in lineage.study(runs, "r").walk()] == list(range(1500))


def test_studies_are_by_recipe(lab: Lab) -> None:
    """One tree a recipe."""
    version(lab, "v")
    lab.create_run(recipe="a", version="v")
    assert list(lineage.studies(lab.runs())) == ["a", "r"]
