"""Groups of a fleet: medians that count censored members as they must, means over the finished ones."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.evidence.comparison import Summary, group
from epochal.evidence.groups import groups, median_loss
from epochal.journal import Lab, Run, members


def fleet(folder: Path, outcomes: list[dict[str, Any]], stop: float | None = 0.02) -> Run:
    """A finished fleet whose members ended like this."""
    own = {"stop": {"loss": stop}, "optim": {"lr": 0.5}}
    roster = members.lines_for([(seed, one.pop("patch", {})) for seed, one in enumerate(outcomes)])
    run = Lab(folder).create_run(
        recipe="xor", version="v", settings=own, roster=roster, seeds_of=list(range(len(outcomes)))
    )
    lines = [line | {"status": "finished"} | one for line, one in zip(roster, outcomes, strict=True)]
    members.write(run, [members.encode(line) for line in lines])
    run.update(status="finished")
    return run


def test_members_are_grouped_by_what_they_change(tmp_path: Path) -> None:
    """In order of appearance; numbers are mean and sample standard deviation over the finished ones."""
    outcomes: list[dict[str, Any]] = [
        {"patch": {"optim.lr": rate}, "steps": 10, "reached": True, "final": {"loss": loss}}
        for rate, loss in ((0.5, 0.01), (0.1, 0.5), (0.5, 0.03), (0.1, 0.6))
    ]
    outcomes.append(
        {"patch": {"optim.lr": 0.1}, "status": "failed", "reason": "diverged", "final": {"loss": 9.0}}
    )
    fast, slow = groups(members.of(fleet(tmp_path, outcomes)))
    assert (fast.patch, slow.patch) == ({"optim.lr": 0.5}, {"optim.lr": 0.1})
    assert (fast.members, fast.failed, slow.members, slow.finished, slow.failed) == (2, 0, 3, 2, 1)
    assert (fast.final["loss"].mean, fast.final["loss"].sd) == pytest.approx((0.02, stdev([0.01, 0.03])))
    assert slow.final["loss"].mean == pytest.approx(mean([0.5, 0.6]))
    json.dumps(fast.to_dict())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=9), st.randoms())
def test_the_median_counts_censored_members_above_all_others(
    tmp_path_factory: pytest.TempPathFactory, ends: list[tuple[int, bool]], chance: random.Random
) -> None:
    """It is what the median would be had they gone on, as long as half of the members got there."""
    outcomes: list[dict[str, Any]] = [
        {"steps": steps if there else 1000, "reached": there} for steps, there in ends
    ]
    (one,) = groups(members.of(fleet(tmp_path_factory.mktemp("lab"), outcomes)))
    gone_on = median([steps if there else 1000 + chance.randint(1, 10**6) for steps, there in ends])
    reached = sum(there for _, there in ends)
    assert one.reached == reached
    if 2 * reached > len(ends):
        assert one.median_steps == gone_on
    else:
        assert one.median_steps is None


def test_members_still_in_training_count_as_not_there_yet(tmp_path: Path) -> None:
    """Of a fleet that was stopped, the fast ones alone would give too short a median, and a share of 100 %."""
    outcomes: list[dict[str, Any]] = [{"steps": 7, "reached": True}, {"steps": 9, "reached": True}]
    outcomes += [{"steps": 20, "status": "running", "reached": None} for _ in range(4)]
    run = fleet(tmp_path, outcomes)
    for status in ("stopped", "failed"):  # Ctrl-C; the disk was full
        run.update(status=status)
        (one,) = groups(members.of(run))
        assert (one.reached, one.sound, one.failed, one.finished) == (2, 6, 0, 2)
        assert one.median_steps is None


def test_without_a_stop_nothing_is_said_of_reaching(tmp_path: Path) -> None:
    """All members trained for as long as they were told."""
    (one,) = groups(members.of(fleet(tmp_path, [{"steps": 5}, {"steps": 5}], stop=None)))
    assert one.reached is None and one.to_dict()["reached"] is None and one.median_steps is None


def test_evaluations_are_summed_up_by_split(tmp_path: Path) -> None:
    """Over those members that were measured."""
    run = fleet(tmp_path, [{}, {}, {}])
    members.keep_evaluations(run, {0: {"test": {"accuracy": 0.5}}, 2: {"test": {"accuracy": 0.7}}})
    (one,) = groups(members.of(run))
    assert (one.evaluation["test"]["accuracy"].mean, one.evaluation["test"]["accuracy"].n) == (0.6, 2)


def test_a_comparison_takes_one_group_and_names_few_of_the_others(tmp_path: Path) -> None:
    """The members of the largest set of equal settings; a thousand left out are not all listed."""
    rates = [0.5] * 6 + [0.1] * 20 + [0.01] * 20
    run = fleet(tmp_path, [{"patch": {"optim.lr": rate}} for rate in rates])
    side = group("v", members.of(run))
    assert {one.settings["optim"]["lr"] for one in side.runs} == {0.1} and len(side.runs) == 20
    (told,) = side.left_out
    assert "26 with other settings left out" in told and told.count("#") == 5


def test_the_median_loss_is_that_of_one_formula(tmp_path: Path) -> None:
    """Over the finished members; of losses that are defined differently there is none."""
    outcomes: list[dict[str, Any]] = [{"final": {"loss": loss}} for loss in (0.1, 0.2, 0.9)]
    outcomes.append({"status": "failed", "reason": "diverged", "final": {"loss": 99.0}})
    run = fleet(tmp_path, outcomes)
    assert median_loss(run) == (0.2, 1)
    lines = members.read(run)
    lines[1]["loss_definition"] = {"step": "another"}
    members.write(run, [members.encode(line) for line in lines])
    assert median_loss(run) == (None, 2)
    assert [one.loss_definition for one in groups(members.of(run))] == [{}]


@given(st.floats(-1e6, 1e6), st.integers(2, 40))
def test_equal_numbers_do_not_spread(value: float, n: int) -> None:
    """Their mean is the number itself, whatever rounding a sum of them would bring."""
    found = Summary.of([value] * n)
    assert found is not None and (found.mean, found.sd, found.n) == (value, 0.0, n)


def test_rounding_is_not_shown_as_a_spread() -> None:
    """Numbers that differ in their last bit alone read as equal; a small but real spread is shown."""
    noise = Summary.of([0.4, 0.1 + 0.3, 0.4 + 1e-16])
    assert str(noise) == "0.4 ± 0" and str(Summary(0.4, 6.8e-17, 6)) == "0.4 ± 0"
    assert str(Summary(0.4, 2e-9, 6)) == "0.4 ± 2e-09" and str(Summary(0.0, 1e-20, 2)) == "0 ± 1e-20"
