"""Members of a fleet: written with their folder, found by number and seed, seen as runs of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run, lineage, members

SETTINGS = {"epochs": 2, "optim": {"lr": 0.5, "momentum": 0.9}}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


def make(
    lab: Lab, seeds: tuple[int, ...] = (3, 4), rates: tuple[float, ...] = (0.5, 0.1), **more: Any
) -> Run:
    """A fleet of every seed at every learning rate, seed by seed."""
    grid = [(seed, {"optim.lr": rate} if len(rates) > 1 else {}) for seed in seeds for rate in rates]
    fields = {"version": "first", "seed": seeds[0], "seeds_of": list(seeds), "settings": SETTINGS, **more}
    return lab.create_run(recipe="xor", roster=members.lines_for(grid), **fields)


def test_a_fleet_is_one_run_with_its_members_beside_it(lab: Lab) -> None:
    """The folder appears with all its lines; the index and run.json say how many."""
    fleet = make(lab)
    assert lab.runs() == [fleet] and fleet.members == 4 == lab.summaries()[0]["members"]
    assert [(one.seed, one.settings["optim"]["lr"]) for one in members.of(fleet)] == [
        (3, 0.5),
        (3, 0.1),
        (4, 0.5),
        (4, 0.1),
    ]
    assert lab.create_run(recipe="xor").members == 0


def test_a_member_is_a_run_with_its_own_numbers(lab: Lab) -> None:
    """Settings, patch, seed, status and values are the member's, all else the fleet's."""
    fleet = make(lab, status="running", patch={"epochs": [1, 2], "optim.lr": [0.3, 0.5]}, device="cpu")
    lines = members.read(fleet)
    lines[1] |= {"status": "finished", "steps": 7, "epochs": 1, "reached": True, "final": {"loss": 0.01}}
    lines[2] |= {"status": "failed", "reason": "the loss is no longer a number"}
    members.write(fleet, [members.encode(line) for line in lines])
    first, second, third, _ = members.of(fleet)
    assert (second.id, second.seed, second.status) == (f"{fleet.id}#1", 3, "finished")
    assert second.patch == {"epochs": (1, 2), "optim.lr": (0.3, 0.1)}
    assert second.settings == {"epochs": 2, "optim": {"lr": 0.1, "momentum": 0.9}}
    assert (second.meta["steps_done"], second.meta["final"]) == (7, {"loss": 0.01})
    assert (third.status, third.meta["reason"]) == ("failed", "the loss is no longer a number")
    assert first.status == "running" and first.alive() and not second.alive()  # what the fleet does, it does
    assert first.meta["device"] == "cpu" and first.path == fleet.path
    assert first != second and first != fleet and len({first, second, fleet}) == 3
    assert fleet.settings == SETTINGS  # a member's patch must not reach into the fleet's settings


def test_members_are_found_by_number_and_by_seed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """`FLEET#k`, `FLEET@seed` and `recipe:version@seed`, whatever the fleet is named by."""
    fleet = make(lab, rates=(0.5,))
    monkeypatch.chdir(lab.path.parent)
    for name in (fleet.id, fleet.id[:-2], "last", f"lab/{fleet.id}", str(fleet.path), "xor:first", "first"):
        assert lab.find(f"{name}#1") == members.one(fleet, 1), name
        assert lab.find(f"{name}@4") == members.one(fleet, 1), name
        assert lab.find(f"{name}@4", many=True) == [members.one(fleet, 1)], name
        assert lab.find(name) == fleet and not isinstance(lab.find(name), members.MemberRun), name


def test_of_a_fleet_and_a_run_of_the_same_seed_the_newest_is_meant(lab: Lab) -> None:
    """They differ in nothing but how they were trained."""
    alone = lab.create_run(recipe="xor", version="first", seed=4)
    fleet = make(lab, rates=(0.5,))
    assert lab.find("first@4") == members.one(fleet, 1)
    again = lab.create_run(recipe="xor", version="first", seed=4)
    assert lab.find("first@4") == again
    assert lab.find("first@4", many=True) == [again, members.one(fleet, 1), alone]
    with pytest.raises(UsageError, match="fits 3 runs"):
        lab.find("xor:first")


def test_several_members_of_one_seed_are_listed_with_what_differs(lab: Lab) -> None:
    """A grid has as many members of a seed as it has points."""
    fleet = make(lab)
    message = rf"fits 2 members.*\n.*{fleet.id}#2 \(optim.lr = 0.5\), {fleet.id}#3 \(optim.lr = 0.1\)"
    for name in (fleet.id, "xor:first"):
        with pytest.raises(UsageError, match=message):
            lab.find(f"{name}@4")
        assert len(lab.find(f"{name}@4", many=True)) == 2


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("last#4", "has no member 4.*\n.*#0 to #3"),
        ("last@9", "has no member of seed 9.*\n.*3, 4"),
        ("nothing#1", "no run fits 'nothing#1'"),
        ("nothing@1", "no run fits 'nothing@1'"),
        ("./nowhere#1", "is a path, but there is no run"),
        ("alone#0", "is no fleet"),
        ("alone@5", "no run fits 'alone@5'"),
    ],
)
def test_a_member_that_is_not_there_is_said_so(lab: Lab, ref: str, message: str) -> None:
    """With what there is instead."""
    lab.create_run(recipe="xor", version="v", name="alone")
    make(lab)
    with pytest.raises(UsageError, match=message):
        lab.find(ref)


def test_a_name_that_ends_like_a_member_is_still_found(lab: Lab) -> None:
    """People call runs `try#2`."""
    named = lab.create_run(recipe="xor", version="v", name="try#2")
    assert lab.find("try#2") == named


def test_metrics_are_those_of_the_member(lab: Lab) -> None:
    """The fleet has no curve of its own: a mean over members of other settings would be none's."""
    fleet = make(lab)
    fleet.append(
        "metrics",
        [
            {
                "step": 5,
                "epoch": 1,
                "scope": "epoch",
                "split": "train",
                "member": k,
                "values": {"loss": k / 2},
            }
            for k in (0, 1, 11)
        ],
    )
    assert members.one(fleet, 1).epoch_values() == {"loss": [(1, 0.5)]}
    assert len(members.one(fleet, 1).metrics()) == 1 and len(fleet.metrics()) == 3
    assert fleet.epoch_values() == {}


def test_evaluations_are_kept_when_the_training_goes_on(lab: Lab) -> None:
    """A member's evaluation stands in its line; writing the lines anew keeps it."""
    fleet = make(lab)
    one = members.one(fleet, 2)
    one.update(evaluation={"test": {"accuracy": 0.5, "spread": float("inf")}})
    assert one.meta["evaluation"]["test"]["accuracy"] == 0.5
    fresh = members.lines_for([(seed, {}) for seed in (3, 3, 4, 4)])
    members.write(fleet, [members.encode(line) for line in fresh])
    kept = members.one(fleet, 2)
    assert kept.meta["evaluation"] == {"test": {"accuracy": 0.5, "spread": float("inf")}}
    assert members.one(fleet, 1).meta["evaluation"] == {}


def test_what_is_the_fleets_cannot_be_done_to_a_member(lab: Lab) -> None:
    """Deleting, training and logging one member alone; a note says whom it is about."""
    fleet = make(lab)
    one = members.one(fleet, 1)
    for act in (one.delete, lambda: one.append("metrics", []), lambda: one.update(status="failed")):
        with pytest.raises(UsageError, match="one member of a fleet"):
            act()
    with pytest.raises(UsageError, match="one member of a fleet"), one.lock():
        pass
    one.note("stalls")
    assert "#1: stalls" in fleet.notes() == one.notes()
    fleet.delete()
    assert lab.runs() == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: lines[:-1], "has 3 members where 4"),
        (lambda lines: [*lines[:2], "no json", *lines[2:]], "no JSON objects"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "member = 1, not 0 in line 1"),
        (lambda lines: [lines[0].replace('"seed": 3', '"seed": "x"'), *lines[1:]], "seed = 'x' in line 1"),
        (lambda lines: [lines[0].replace('"seed": 3', f'"seed": {10**30}'), *lines[1:]], "too large"),
        (lambda lines: [lines[0].replace("running", "sunk"), *lines[1:]], "status = 'sunk' in line 1"),
        (
            lambda lines: [lines[0].replace('"final": {}', '"final": {"a": "b"}'), *lines[1:]],
            "'a' = 'b'|a = 'b'",
        ),
        (
            lambda lines: [lines[0].replace('"final": {}', f'"final": {{"a": 1{"0" * 400}}}'), *lines[1:]],
            "'a', a number too large, in line 1",
        ),
        (lambda lines: [lines[0], lines[1].replace('"member": 1', '"member": true'), *lines[2:]], "True"),
        (lambda lines: [lines[0][:-1] + ', "evaluation": {"test": 1}}', *lines[1:]], "an evaluation"),
    ],
)
def test_a_spoilt_table_of_members_is_named(lab: Lab, spoil: Any, message: str) -> None:
    """Somebody's fleet may hold anything: one message says what is wrong, and listings go on."""
    fleet = make(lab)
    path = fleet.path / members.NAME
    path.write_text("\n".join(spoil(path.read_text().splitlines())) + "\n")
    with pytest.raises(EpochalError, match=message):
        members.of(fleet)
    assert lab.runs() == [fleet]


def test_a_fork_of_a_member_hangs_below_the_fleet(lab: Lab) -> None:
    """Its parent is `FLEET#k`, which the lineage places where the fleet stands."""
    fleet = make(lab)
    fork = lab.create_run(
        recipe="xor", version="first", name="faster", parent=f"{fleet.id}#1", parent_version="first"
    )
    study = lineage.study(lab.runs(), "xor")
    assert study.node_of(fork).parent == study.node_of(fleet).key == "first"


def test_lines_are_json_for_other_programs(lab: Lab) -> None:
    """Each line is strict JSON with the documented keys."""
    fleet = make(lab)
    lines = [json.loads(line) for line in (fleet.path / members.NAME).read_text().splitlines()]
    keys = {"member", "seed", "patch", "status", "steps", "epochs", "reached", "final"}
    assert all(set(line) == keys for line in lines) and [line["member"] for line in lines] == [0, 1, 2, 3]
