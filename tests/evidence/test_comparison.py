"""Two sides of a comparison: which losses compare, and what a row is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from epochal.evidence.comparison import Comparison, Row, Side, compare
from epochal.journal import Lab, Run

SETTINGS: dict[str, Any] = {"epochs": 1, "stop": {"loss": 0.5}}


def trained(lab: Lab, loss_definition: dict[str, str], loss: float = 0.4, steps: int = 7) -> Run:
    """A finished run that minimised this."""
    run = lab.create_run(recipe="r", version="v", settings=SETTINGS, loss_definition=loss_definition)
    run.update(status="finished", final={"loss": loss, "accuracy": 0.9}, steps_done=steps)
    return run


def compared(lab: Lab, a: dict[str, str], b: dict[str, str]) -> Comparison:
    """Two runs of these losses side by side."""
    return compare(Side("a", [trained(lab, a)]), Side("b", [trained(lab, b)]))


def test_losses_of_one_phase_compare_by_their_formula(tmp_path: Path) -> None:
    """What the one phase is called does not matter; formulas that differ are named whole."""
    lab = Lab(tmp_path)
    same = compared(lab, {"classifier": "cross-entropy"}, {"step": "cross-entropy"})
    assert not same.refused and not same.definitions and "loss" in {row.metric for row in same.metrics}
    other = compared(lab, {"classifier": "cross-entropy"}, {"step": "mean squares"})
    assert other.definitions == {"loss": ("cross-entropy", "mean squares")}
    assert other.refused == ["loss", "steps", "median steps"]


def test_of_several_phases_each_is_compared_by_its_name(tmp_path: Path) -> None:
    """Which network minimises which formula is part of the definition."""
    swapped = compared(Lab(tmp_path), {"g": "one", "d": "two"}, {"g": "two", "d": "one"})
    assert swapped.definitions == {"g": ("one", "two"), "d": ("two", "one")} and "loss" in swapped.refused


def test_a_run_by_itself_tells_the_steps_it_needed(tmp_path: Path) -> None:
    """Those after which it ended, if its loss is below the one it stops at; else it is censored."""
    lab = Lab(tmp_path)
    sides = [Side(str(loss), [trained(lab, {"m": "x"}, loss)]) for loss in (0.4, 0.6)]
    found = compare(*sides)
    (row,) = [row for row in found.metrics if row.metric == "steps"]
    assert row.a is not None and row.a.mean == 7 and row.b is None
    assert any(warning.startswith("0.6: 1 of 1 did not get below") for warning in found.warnings)


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("accuracy", "training accuracy"),
        ("main.loss", "training main.loss"),
        ("validation/accuracy", "validation/accuracy"),
        ("test.accuracy", "test.accuracy"),
        ("median steps", "median steps"),
    ],
)
def test_a_row_says_whose_number_it_is(metric: str, title: str) -> None:
    """The last epoch's means are the training's; other splits are named already."""
    assert Row(metric, "", None, None).title == title


def test_numbers_measured_by_different_means_do_not_compare(tmp_path: Path) -> None:
    """A Fréchet distance of another extractor is another quantity; a squared error needs none."""
    lab = Lab(tmp_path)

    def side(label: str, extractor: str) -> Side:
        run = trained(lab, {"m": "x"})
        run.update(
            evaluation={"test": {"fd": 3.0, "fd_floor": 0.2, "mse": 0.1}},
            measured_with={"test": {"extractor": extractor}},
        )
        return Side(label, [run])

    by = {"fd": ("extractor",)}
    known = {"fd": "lower", "mse": "lower"}  # nobody said what fd_floor depends on
    same = compare(side("a", "cnn 1"), side("b", "cnn 1"), known, by)
    assert not same.otherwise and {"test.fd", "test.mse"} <= {row.metric for row in same.metrics}
    other = compare(side("a", "cnn 1"), side("b", "cnn 2"), known, by)
    assert other.otherwise == dict.fromkeys(
        ("test.fd", "test.fd_floor"), "extractor on test: cnn 1 against cnn 2"
    )
    assert "test.mse" in {row.metric for row in other.metrics}
    assert "test.fd" not in {row.metric for row in other.metrics}
