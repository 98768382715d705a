"""The page docs/results/autoencoders.md: what benchmarks/autoencoders_results.py computes beside the networks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import autoencoders_results as page
from results_page import Page


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    """Ends, mean and p are SciPy's for six pairs."""
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    other = stats.ttest_rel(b, a)
    interval = other.confidence_interval(0.95)
    low, middle, high, p = page.paired(b - a)
    assert (low, high) == pytest.approx((interval.low, interval.high))
    assert (middle, p) == pytest.approx(((b - a).mean(), other.pvalue))


def models(fd_of_ae: float) -> dict[str, dict[int, Any]]:
    """Six seeds of each model with made-up numbers: the AE's FD from the prior is given, from the mixture it is 5."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[int, Any]] = {}
    for level, name in enumerate(page.MODELS):
        found[name] = {}
        for seed in range(6):
            values = {key: 10 + level + 0.1 * rng.normal() for key in page.ORDERED}
            if name == "AE":
                values |= {"fd_prior": fd_of_ae + 0.1 * rng.normal(), "fd_mixture": 5 + 0.1 * rng.normal()}
            found[name][seed] = SimpleNamespace(meta={"evaluation": {"test": values}}, seed=seed)
    return found


def test_the_order_is_told_with_intervals() -> None:
    """Neighbours are compared by their common seeds, later minus earlier; what the literature expects is met."""
    one = Page("Title", "command")
    page.order_section(one, models(fd_of_ae=40.0))
    text = "\n".join(one.lines)
    assert "| FD from the prior | VAE < WAE-MMD < WAE-GAN < AE |" in text
    assert "| MSE | AE < VAE < WAE-MMD < WAE-GAN | VAE - AE: 1" in text and "n = 6" in text
    assert not one.misses


def test_an_order_that_was_not_expected_is_a_miss() -> None:
    """An autoencoder whose samples from N(0, I) are good contradicts the literature: the page says no."""
    one = Page("Title", "command")
    page.order_section(one, models(fd_of_ae=8.0))
    assert len(one.misses) == 2
