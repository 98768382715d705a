"""Every error message a user can cause: each is provoked and must be what the page of them shows."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    error_page: Any = importlib.import_module("error_page")
finally:
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The folder in which all cases run."""
    yield error_page.Workshop(tmp_path_factory.mktemp("errors"))


@pytest.mark.parametrize("case", error_page.CASES, ids=lambda case: f"{case.area}: {case.title}")
def test_a_mistake_gets_one_clear_message(workshop: Any, case: Any) -> None:
    """It ends with the declared exit code, names what was wrong, and shows no traceback."""
    outcome = workshop.run(case)
    assert not outcome.faults, f"{'; '.join(outcome.faults)}\n{outcome.said}"


def test_the_page_shows_every_case() -> None:
    """docs/errors.md is written by `python benchmarks/error_page.py`; a new case belongs on it."""
    shown = re.findall(r"^#{2,3} (.*)$", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.M)
    titles = [text for case in error_page.CASES for text in (case.area, case.title)]
    assert set(titles) == set(shown), "write it again: python benchmarks/error_page.py"
