"""Errors of predicted numbers: against scikit-learn, and against the mean predictor by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from epochal.evidence.metrics import regression


def test_errors_are_scikit_learns() -> None:
    """MSE, MAE and R² of random predictions, and the error of scikit-learn's mean predictor fitted on other labels."""
    rng = np.random.default_rng(0)
    train, labels = rng.random(400), rng.random(300).astype(np.float32)
    predicted = 0.7 * labels + 0.3 * rng.random(300).astype(np.float32)
    found = regression.measure(torch.from_numpy(predicted), labels, float(train.mean()))
    assert found.mse == pytest.approx(mean_squared_error(labels, predicted), rel=1e-6)
    assert found.mae == pytest.approx(mean_absolute_error(labels, predicted), rel=1e-6)
    assert found.r2 == pytest.approx(r2_score(labels, predicted), rel=1e-6)
    dummy = DummyRegressor().fit(np.zeros((400, 1)), train).predict(np.zeros((300, 1)))
    assert found.mean_mse == pytest.approx(mean_squared_error(labels, dummy), rel=1e-6)
    assert found.gain == pytest.approx(found.mean_mse / found.mse) and found.predicts
    assert found.verdict().startswith("is predicted: squared error ") and "n = 300" in found.verdict()


def test_few_labels_have_no_verdict() -> None:
    """Two labels that happen to lie near the predictions are called neither predicted nor collapsed; ten are judged."""
    labels = np.linspace(0, 1, 10)
    few = regression.measure(labels[:2] + 0.01, labels[:2], 0.5)
    assert few.verdict().startswith("has too few labels to judge (n = 2): squared error ")
    assert regression.measure(labels + 0.01, labels, 0.5).verdict().startswith("is predicted: ")


def test_collapse_is_said() -> None:
    """A constant near the mean has a gain of about 1 and no spread; one that is worse than the mean says so."""
    labels = np.linspace(0, 1, 101)
    same = regression.measure(np.full(101, 0.5), labels, 0.5)
    assert same.gain == 1 and same.spread == 0 and same.collapsed and same.r2 == pytest.approx(0, abs=1e-9)
    assert same.verdict().startswith(
        "is NOT predicted, the network collapsed to the mean: squared error 1.00 times"
    )
    barely = regression.measure(0.5 + 0.06 * (labels - 0.5), labels, 0.5)
    assert 1.1 < barely.gain < 1.2 and barely.predicts and not barely.collapsed, "the bound is 1.1, not more"


def test_wrong_answers_are_not_called_the_mean() -> None:
    """A network that learnt its few labels by heart answers this and that: whoever fills a table with it must know."""
    labels = np.linspace(0, 1, 101)
    worse = regression.measure(1 - labels, labels, 0.5)
    assert not worse.predicts and not worse.collapsed and worse.spread == pytest.approx(1)
    assert worse.verdict().startswith(
        "is NOT predicted, the answers vary and are wrong: squared error 4.00 times that of always answering the mean"
    )


def test_labels_that_do_not_vary() -> None:
    """Nothing to explain: R² has no value, and the errors still do."""
    found = regression.measure([0.5, 0.7], [0.5, 0.5], 0.5)
    assert np.isnan(found.r2) and found.mse == pytest.approx(0.02) and found.gain == 0 and not found.predicts
    assert "infinitely" in found.verdict()


@pytest.mark.parametrize("wrong", [([], [], 0.5), ([1.0], [1.0, 2.0], 0.5), ([1.0], [1.0], float("nan"))])
def test_what_cannot_be_measured_is_refused(wrong: tuple[list[float], list[float], float]) -> None:
    """No items, items that do not pair, and no training labels to take a mean of."""
    with pytest.raises(ValueError, match="must be of one length"):
        regression.measure(*wrong)
