"""The page docs/results/dcgan-cifar10.md: what benchmarks/dcgan_results.py computes beside the networks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import dcgan_results as page
from results_page import Page

from epochal.journal import Lab


def test_the_interval_is_the_paired_t_interval() -> None:
    """SciPy's paired t-test gives the same one, at 95 % and at 80 %."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(30, 2, 6), rng.normal(25, 2, 6)
    for level in (0.95, 0.8):
        expected = ttest_rel(b, a).confidence_interval(level)
        assert page.interval([*(b - a)], level) == pytest.approx((expected.low, expected.high))


def run_of(discriminator: list[float], generator: list[float]) -> Any:
    """A run that logged these losses."""
    lines = [
        {"scope": "step", "values": {"discriminator/loss": d, "generator/loss": g}}
        for d, g in zip(discriminator, generator, strict=True)
    ]
    return SimpleNamespace(metrics=lambda: lines)


@pytest.mark.parametrize(
    ("version", "discriminator", "generator", "missed"),
    [
        ("exp-3", [1.4, 1.0064], [0.32, 0.69], False),
        ("exp-3", [1.4, 0.9], [0.32, 0.69], True),
        ("exp-3", [1.4, 1.1], [0.32, 0.75], True),
        ("exp-7", [1.4, 1.1], [0.32, 0.69], True),  # a target of 0.8 raises the bound to 1.206
        ("exp-1", [0.1, 0.2], [3.0, 4.0], False),  # a logit has no bounds
    ],
)
def test_the_fingerprint_is_held_against_every_line(
    version: str, discriminator: list[float], generator: list[float], missed: bool
) -> None:
    """One line of the log outside of what the sigmoid allows is told as a miss."""
    text = Page("Title", "command")
    page.fingerprint(text, version, [run_of(discriminator, generator)])
    assert bool(text.misses) is missed
    assert any(version in line for line in text.lines) is (version != "exp-1")


def test_a_page_without_runs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty lab is told, with a failure: the page that is there stays."""
    out = tmp_path / "page.md"
    out.write_text("before")
    words = ["dcgan_results.py", "page", "--lab", str(Lab(tmp_path / "lab").path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert page.main() == 1
    assert out.read_text() == "before" and "holds none of the runs of page.md" in capsys.readouterr().out
