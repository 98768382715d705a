"""The example recipe works as its own text says, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from epochal.cli import main
from epochal.systems.data import glyphs

RECIPE = str(Path(__file__).parents[1] / "examples" / "my_recipe.py")


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab, a cache and a record of recipe files of its own; few drawn digits, no real ones."""
    monkeypatch.setattr(glyphs, "ITEMS", (300, 1100))
    for name, folder in (("EPOCHAL_LAB", "lab"), ("EPOCHAL_CACHE", "cache"), ("XDG_STATE_HOME", "state")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_runs(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run`, `fork`, `evaluate`, `compare` and `log`, as its README says; the picture is drawn."""

    def epochal(*words: str) -> Any:
        assert main([*words, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    options = ["--epochs", "1", "--data.limit", "256", "--data.source", "glyphs"]
    (run,) = epochal("run", RECIPE, *options, "--precision", "float32")["runs"]
    assert (run["recipe"], run["version"], run["status"]) == ("autoencoder", "more-numbers", "finished")
    assert (Path(run["folder"]) / "figures" / "reconstructions.png").stat().st_size > 0
    (fork,) = epochal("fork", "last", "--latent", "8", "--note", "in between", "--precision", "float32")[
        "runs"
    ]
    assert fork["run"] != run["run"]
    epochal("evaluate", "last")
    epochal("compare", run["run"], fork["run"])
    epochal("log", RECIPE)
