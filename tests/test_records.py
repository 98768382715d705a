"""The records behind the pages of docs/results/: benchmarks/records.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import epochal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import records
from results_page import RESULTS, seconds, trained

from epochal.journal import Lab, Run
from epochal.settings import apply, to_dict
from epochal.systems import recipes


def test_a_record_takes_the_place_of_its_older_one_alone(tmp_path: Path) -> None:
    """Training an experiment again replaces its record; other seeds and versions keep theirs; no path is kept."""
    lab, kept = tmp_path / "lab", tmp_path / "records"
    how = {"lab": lab, "show": False}
    first = epochal.run("xor-mlp", "v1", seeds=2, grid={"optim.lr": [0.5]}, patch={"epochs": 1}, **how)
    (other,) = epochal.run("xor-mlp", "zeros", patch={"epochs": 1}, **how)
    records.keep([*first, other], kept)
    again = epochal.run("xor-mlp", "v1", seeds=2, grid={"optim.lr": [0.5]}, patch={"epochs": 1}, **how)
    records.keep(again, kept)
    assert {path.name for path in kept.iterdir()} == {again[0].id, other.id}
    assert str(tmp_path) not in "".join(path.read_text() for path in kept.glob("*/*"))
    assert len((kept / again[0].id / "members.csv").read_text().splitlines()) == 3
    assert json.loads((kept / other.id / "run.json").read_text())["version"] == "zeros"


def test_a_record_does_not_say_where_the_data_lay(tmp_path: Path) -> None:
    """A folder of the machine that trained is nobody's business: neither in the settings nor in what was patched."""
    lab = Lab(tmp_path / "lab")
    settings = {"data": {"dir": "/home/somebody", "source": "faces-folder"}}
    run = lab.create_run(
        recipe="line", version="v", seed=0, settings=settings, patch={"data.dir": [None, "/home/somebody"]}
    )
    records.keep([run], tmp_path / "records")
    text = (tmp_path / "records" / run.id / "run.json").read_text("utf-8")
    assert "faces-folder" in text and "somebody" not in text


def test_a_page_leaves_out_what_was_trained_before_its_version_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose learning rate the version no longer has is not found again, and the page says which; one with
    another length, other data, or a change that the page itself made is."""
    lab = Lab(tmp_path / "lab")
    recipe = recipes.find("xor-mlp")
    settings = to_dict(recipes.settings_of(recipe, "v1"))

    def made(**changes: Any) -> Run:
        changed = apply(
            recipes.settings_of(recipe, "v1"), {k.replace("__", "."): v for k, v in changes.items()}
        )
        run = lab.create_run(recipe="xor-mlp", version="v1", seed=0, settings=to_dict(changed))
        run.update(status="finished")
        return run

    def found(**how: Any) -> list[str]:
        return [run.id for run in trained(lab, "xor-mlp", "v1", [0], only_found=True, **how)]

    old = made(optim__lr=settings["optim"]["lr"] * 2)
    assert found() == [] and f"left out: {old.id}" in capsys.readouterr().out
    assert found(patch={"optim.lr": settings["optim"]["lr"] * 2}) == [old.id]
    longer = made(epochs=settings["epochs"] + 1)
    assert found() == [longer.id]


def test_the_times_that_recipes_promise_are_of_the_size_that_was_measured() -> None:
    """`epochal list` gives minutes on two idle cores; records were trained on one or two, beside other programs.

    So a promise may be as low as a third of the shortest record, and not much above it. Who first trains teachers
    takes as long as they do, too.
    """
    took: dict[str, float] = {}
    teachers: dict[str, float] = {}
    for run in map(Run, sorted((RESULTS / "records").glob("*-*"))):
        recipe = recipes.find(run.recipe)
        newest = recipes.settings_of(recipe, None)
        whole = (run.settings["epochs"], run.settings["data"]["limit"]) == (newest.epochs, newest.data.limit)
        if run.recipe == "har-classifier":
            teachers[str(run.version)] = min(seconds(run) / 60, teachers.get(str(run.version), float("inf")))
        own = not run.name and not run.members  # a named run is a trial, or of a user's own pictures
        if run.version == recipe.versions[-1].name and whole and own:
            took[run.recipe] = min(seconds(run) / 60, took.get(run.recipe, float("inf")))
    assert {"cvae-digits", "unet", "rnn-scratch"} <= set(took)
    took["har-distill"] += teachers["wrn28-1"]
    took["har-distill-two-teachers"] += teachers["wrn28-1"] + teachers["persistence"]
    for name, minutes in took.items():
        assert minutes / 3 < recipes.find(name).minutes < max(1.5 * minutes, 0.2), (name, minutes)
