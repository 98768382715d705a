"""The pages on wearables: what their programs compute beside the networks, and a GENEActiv recording by one command."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import epochal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import geneactiv_page
import har_results
from results_page import Page

from epochal.journal import Lab

DIFFERENCES = [0.01, 0.03, -0.005, 0.02, 0.015, 0.04]


def test_the_interval_is_the_paired_t_interval() -> None:
    """SciPy's one-sample t interval of the differences is the same."""
    expected = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.95)
    assert har_results.interval(DIFFERENCES) == pytest.approx((expected.low, expected.high))


def test_the_sign_flip_test_is_exact() -> None:
    """SciPy's permutation test over all 64 flips gives the same p; six of one sign give the smallest possible one."""
    expected = stats.permutation_test(
        (np.array(DIFFERENCES),), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert har_results.sign_flip(DIFFERENCES) == pytest.approx(expected)
    assert har_results.sign_flip([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 64)


def fake(accuracies: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs by row and seed of which only the accuracy is known."""
    monkeypatch.setattr(har_results, "evaluated", lambda run, lab: {"accuracy": run, "nll": 1 - run})
    return {name: dict(enumerate(accuracies.get(name, []))) for name in har_results.ROWS}


@pytest.mark.parametrize(("better", "said"), [(0.02, "better"), (-0.02, "worse"), (0.0, "not decided")])
def test_a_verdict_follows_its_interval(better: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six pairs that all differ alike decide; differences around nothing do not, nor can fewer than six pairs."""
    alone = [0.80, 0.82, 0.79, 0.81, 0.83, 0.80]
    noise = [0.001, -0.001, 0.002, -0.002, 0.001, -0.001]
    taught = [a + better + n for a, n in zip(alone, noise, strict=True)]
    page = Page("Title", "command")
    har_results.differences(page, fake({"alone16": alone, "kd16": taught}, monkeypatch), Lab("nowhere"))
    rows = [line for line in page.lines if "| accuracy |" in line]
    assert len(rows) == 1 and f"| 6 | {said} |" in rows[0]
    page = Page("Title", "command")
    few = fake({"alone16": alone[:3], "kd16": taught[:3]}, monkeypatch)
    har_results.differences(page, few, Lab("nowhere"))
    assert any("| 3 | hint: not decided |" in line for line in page.lines)
    assert "6 pairs of kd16 and alone16" in page.misses


def test_a_page_without_runs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty lab leaves the page of an earlier one as it is."""
    monkeypatch.setattr(
        sys, "argv", ["har_results.py", "page", "--lab", str(tmp_path / "lab"), "--out", str(tmp_path)]
    )
    assert har_results.main() == 1 and not (tmp_path / "har.md").exists()


def test_every_edit_makes_another_file(real_data: Path) -> None:
    """A malformed copy that is the recording itself would show nothing."""
    text = (real_data / geneactiv_page.SAMPLE).read_bytes().decode("latin-1")
    lines = text.splitlines()
    copies = [edit(list(lines)) for edit in geneactiv_page.EDITS.values()]
    assert all(copy != lines for copy in copies)
    assert all(one != other for one, other in itertools.combinations(copies, 2))


@pytest.mark.slow
def test_a_recording_and_its_malformed_copies_get_their_answers(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command answers the recording with a table and a picture; each copy has a message that fits its fault."""
    patch = {
        "data.source": "wisdm-watch",
        "data.limit": 300,
        "epochs": 1,
        "net.name": "resnet8",
        "teacher.net": "resnet8",
    }
    lab = tmp_path / "lab"
    epochal.run("har-distill", patch=patch, lab=lab, precision="float32", threads=1, show=False)
    monkeypatch.setattr(sys, "argv", ["geneactiv_page.py", "--lab", str(lab), "--out", str(tmp_path)])
    assert geneactiv_page.main() == 0
    page = (tmp_path / "geneactiv.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].lstrip("| "): line for line in page.splitlines() if line.startswith("| ")}
    for words, said in (
        ("the header is missing", "begins no GENEActiv header"),
        ("the header's frequency is 50 Hz, the rows are 100 Hz", "make 100 Hz"),
        ("12 s of the rows are missing", "of 12.00 s after"),
        ("text in a number", "line 1101: y is 'walking'"),
        ("the file ends in the middle of a line", "line 5001"),
    ):
        assert said in rows[words], words
    assert (tmp_path / "geneactiv.png").stat().st_size > 10_000
    assert "19 windows: " in page
