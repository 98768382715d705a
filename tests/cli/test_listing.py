"""`epochal list --long`: every recipe with its data on this machine, its time, and what a reference reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from epochal.cli import main
from epochal.journal import Lab
from epochal.systems import data, recipes


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty lab, and a machine on which no data set is found."""
    monkeypatch.setenv("EPOCHAL_LAB", str(tmp_path / "lab"))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The answer of `epochal list … --json`."""
    capsys.readouterr()
    assert main(["list", *words, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_every_recipe_says_where_its_data_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Each built-in recipe is there with data, minutes and sources that exist; without files `auto` draws."""
    known = {source.name: source for source in data.sources()}
    rows = listed(capsys, "--long")["recipes"]
    assert [row["recipe"] for row in rows] == recipes.names()
    for row in rows:
        assert row["data"] and row["minutes"] > 0, row["recipe"]
        for here in row["data_here"]:
            assert here["path"] is None and not known[here["source"]].drawn, row["recipe"]
            assert known[here["used"]].drawn, row["recipe"]
        assert [here["source"] for here in row["data_here"]] == row["sources"]


def test_data_that_are_found_are_used(
    capsys: pytest.CaptureFixture[str], real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real files at hand the listing names their place, and `auto` takes them."""
    monkeypatch.setenv("EPOCHAL_DATA", str(real_data))
    (row,) = listed(capsys, "cvae-digits", "--long")["recipes"]
    (here,) = row["data_here"]
    assert here == {"source": "mnist", "path": str(real_data / "mnist.npz"), "used": "mnist"}


def test_numbers_of_a_reference_come_with_their_source(capsys: pytest.CaptureFixture[str]) -> None:
    """A number that nobody can look up is worth nothing: each version that has one names where it is from."""
    for row in listed(capsys)["recipes"]:
        for version in row["versions"]:
            assert bool(version["reported"]) == bool(version["source"]), (row["recipe"], version["version"])


def test_long_listing_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: what would be used instead of missing data, and reported numbers with their split."""
    assert main(["list", "--long"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (place,) = [line for line in lines if line.startswith("cvae-digits ") and "mnist" in line]
    assert place.endswith("not here: auto takes glyphs, which is drawn") and "45 min" in place
    (root,) = [line for line in lines if line.startswith("cvae-digits ") and "model-1" in line]
    assert "loss 24.85" in root and root.endswith("reference log")
    (digits,) = [line for line in lines if line.startswith("cnn-digits ") and " v1 " in line]
    assert "training accuracy 0.998, test accuracy 0.992" in digits


@pytest.mark.parametrize("width", [80, 100, 140])
def test_long_listing_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Long texts wrap between words: every recipe, time and number stays whole, and no line is too wide."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert main(["list", "--long"]) == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, text.splitlines()[:-1])) <= width  # the last one names the lab, however long that is
    for recipe in recipes.names():
        assert f"\n{recipe} " in text
    for whole in ("45 min", "24.85", "coursework", "kuangliu/pytorch-cifar,", "logged-best"):
        assert whole in text


def test_long_listing_of_one_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Its version tree first, then the same tables for it alone."""
    assert main(["list", "cvae-digits", "--long"]) == 0
    text = capsys.readouterr().out
    assert "what changed" in text and "on this machine" in text
    assert "cnn-digits" not in text


def test_short_listing_looks_for_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Only --long searches folders: the short listing answers at once."""
    assert all("data_here" not in row for row in listed(capsys)["recipes"])


def test_a_named_run_is_listed_with_its_recipe_and_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name stands beside what it trains, not in the place of it."""
    Lab(tmp_path / "lab").create_run(recipe="cells", version="nuclei", name="drawn")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.split("  +", lines[-2])[:3] == ["run", "recipe", "version"]
    assert re.split("  +", lines[-1])[1:3] == ["cells", "nuclei (drawn)"]
