"""The page on persistence images: it says what it measured, and a wrong bar or a lost weight makes it fail."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks/persistence_results.py as a module."""
    pytest.importorskip("gudhi", reason="gudhi is not installed (extra topology)")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import persistence_results

    yield persistence_results
    del sys.modules["persistence_results"]


@pytest.fixture
def page(program: Any) -> Any:
    """An empty page."""
    return program.Page("Persistence images", "command")


def test_the_page_shows_what_was_measured(program: Any, page: Any, real_data: Path, tmp_path: Path) -> None:
    """On real windows: a thousand compared and none differing, weights held, every activity and way in the tables."""
    people = program.wrists(real_data)
    mixture = program.mixture(real_data, people)
    assert sum(map(len, mixture.values())) == 1000
    assert all(np.abs(signals).max() <= 1 for kind, signals in mixture.items() if "synthetic" not in kind)
    program.agreement(page, {kind: signals[:20] for kind, signals in mixture.items()})
    program.mass(page, 200)
    program.counts(page, people)
    program.timing(page, people, rounds=1, windows=10)
    text = "\n".join(page.lines)
    assert not page.misses and "- 0 of 80 windows differ, 0 demanded: yes" in text
    assert all(f"| {name} |" in text for name in people.names)
    assert "| gudhi's diagram and picture |" in text and "\n\n\n" not in text
    program.figures.save(program.drawn(people), tmp_path / "persistence.png")
    assert (tmp_path / "persistence.png").stat().st_size > 10_000


def test_a_wrong_bar_is_a_miss(program: Any, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One death off by a rounding: one window differs, and the page fails by it."""

    def wrong(signals: np.ndarray) -> tuple[np.ndarray, ...]:
        owner, birth, death = right(signals)
        death[0] = np.nextafter(death[0], 2)
        return owner, birth, death

    right = program.diagrams
    monkeypatch.setattr(program, "diagrams", wrong)
    program.agreement(page, {"noise": np.random.default_rng(0).normal(0, 0.3, (3, 50))})
    assert page.misses == ["the bars of 1 of 3 windows differ from gudhi's"]


def test_a_lost_weight_is_a_miss(program: Any, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures two per cent too bright are outside of the one per cent allowed."""
    right = program.painted
    monkeypatch.setattr(program, "painted", lambda *bars, out: 1.02 * right(*bars, out=out))
    program.mass(page, 20)
    assert len(page.misses) == 1 and "2.00%" in page.misses[0]
