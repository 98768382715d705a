"""The records behind the pages of docs/results/: benchmarks/records.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import epochal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import records


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
