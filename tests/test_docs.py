"""The pages that people read: their links lead somewhere, their commands exist, no recipe is forgotten."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from epochal.cli import VERBS
from epochal.systems import recipes

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
PAGES = [page for page in PAGES if "records" not in page.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page is a file of the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "results" / "README.md"], ids=["first", "results"]
)
def test_commands_exist(page: Path) -> None:
    """What a page tells people to type names a verb and a program that are there."""
    text = page.read_text(encoding="utf-8")
    typed = re.findall(r"^epochal .*$", text, re.M) + re.findall(r"`((?:epochal|python) [^`]+)`", text)
    assert typed
    for line in typed:
        words = shlex.split(line, comments=True)
        if words[0] == "epochal":
            assert words[1] in VERBS, line
        else:
            assert (ROOT / words[1]).is_file(), line


def test_readme_has_every_recipe() -> None:
    """Who looks for a system finds it on the first page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in recipes.names() if f"`{name}`" not in text] == []
