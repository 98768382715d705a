"""Distillation losses against independent implementations: SciPy's softmax, PyTorch's own KL, loops by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, rel_entr, softmax

from epochal.systems.losses import distillation


def _logits(seed: int, items: int = 9, classes: int = 6) -> torch.Tensor:
    return 4 * torch.randn(items, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_divergence_equals_scipys_relative_entropy(temperature: float) -> None:
    """Σ_k p·log(p/q) of tempered softmaxes, item by item."""
    student, teacher = _logits(0), _logits(1)
    p, q = (softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    got = distillation.divergence(student, teacher, temperature=temperature)
    np.testing.assert_allclose(got.numpy(), rel_entr(p, q).sum(1), rtol=1e-10)


def test_mean_is_torchs_batchmean() -> None:
    """The sheet's definition in PyTorch's words: kl_div(log p_student, p_teacher, reduction="batchmean")."""
    student, teacher = _logits(2), _logits(3)
    expected = F.kl_div(F.log_softmax(student / 4, 1), F.softmax(teacher / 4, 1), reduction="batchmean")
    torch.testing.assert_close(
        distillation.divergence(student, teacher, temperature=4).mean(), expected, rtol=1e-10, atol=0
    )


@pytest.mark.filterwarnings("ignore:reduction")
def test_averaged_divergence_is_torchs_mean_reduction() -> None:
    """The fault is exactly `reduction="mean"`: K times too weak."""
    student, teacher = _logits(4), _logits(5)
    expected = F.kl_div(F.log_softmax(student / 4, 1), F.softmax(teacher / 4, 1), reduction="mean")
    got = distillation.averaged_divergence(student, teacher, temperature=4).mean()
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0)


def test_gradient_fades_with_the_square_of_the_temperature() -> None:
    """Why T² stands before the divergence: with it, matching soft answers at any T is matching logits.

    In the limit, d/dz (T²·KL) = (z - v) / K for centred logits (Hinton et al. 2015, equation 4).
    """
    student, teacher = _logits(6).requires_grad_(), _logits(7)
    (gradient,) = torch.autograd.grad(
        100.0**2 * distillation.divergence(student, teacher, temperature=100.0).sum(), student
    )
    centred = [z.detach() - z.detach().mean(1, keepdim=True) for z in (student, teacher)]
    expected = (centred[0] - centred[1]) / student.shape[1]
    torch.testing.assert_close(gradient, expected, rtol=0.15, atol=0.05)


def test_equal_answers_cost_nothing() -> None:
    """A student that answers as its teacher does, up to a constant, has divergence 0 and no gradient."""
    teacher = _logits(8)
    student = (teacher + 3.0).requires_grad_()
    lost = distillation.divergence(student, teacher, temperature=2.0).sum()
    (gradient,) = torch.autograd.grad(lost, student)
    assert lost.item() == pytest.approx(0, abs=1e-12)
    assert gradient.abs().max().item() < 1e-12


def test_similarity_equals_a_loop() -> None:
    """Each entry is an inner product of two items' outputs; each row has length 1."""
    features = torch.randn(5, 3, 4, dtype=torch.float64)
    rows = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            rows[i, j] = float((features[i] * features[j]).sum())
        rows[i] /= np.sqrt((rows[i] ** 2).sum())
    np.testing.assert_allclose(distillation.similarity(features).numpy(), rows, rtol=1e-12)


def test_gap_equals_the_published_formula() -> None:
    """‖difference‖²_F / B², of layers of different width."""
    wide = distillation.similarity(torch.randn(4, 10, dtype=torch.float64))
    narrow = distillation.similarity(torch.randn(4, 3, dtype=torch.float64))
    expected = np.linalg.norm(wide.numpy() - narrow.numpy(), "fro") ** 2 / 16
    assert distillation.similarity_gap(wide, narrow).item() == pytest.approx(expected, rel=1e-12)


def test_similarity_does_not_see_an_items_scale() -> None:
    """The rows' length is divided away: an item twice as loud is alike to the same others."""
    features = torch.rand(4, 6, dtype=torch.float64)
    loud = features.clone()
    loud[2] *= 2
    torch.testing.assert_close(
        distillation.similarity(loud)[2, [0, 1, 3]] / distillation.similarity(loud)[2, 0],
        distillation.similarity(features)[2, [0, 1, 3]] / distillation.similarity(features)[2, 0],
    )


def test_standardised_logits_have_deviation_one() -> None:
    """Std over the classes with K - 1, and the same softmax as with the mean taken away (Sun et al. 2024)."""
    logits = _logits(9)
    got = distillation.standardised(logits)
    np.testing.assert_allclose(got.numpy().std(1, ddof=1), 1, rtol=1e-6)
    published = (logits - logits.mean(1, keepdim=True)) / logits.std(1, keepdim=True)
    np.testing.assert_allclose(
        log_softmax(got.numpy(), axis=1), log_softmax(published.numpy(), axis=1), rtol=1e-6
    )


@pytest.mark.parametrize("what", ["divergence", "similarity_gap"])
def test_other_shapes_are_refused(what: str) -> None:
    """Broadcasting would quietly compare each item with all others."""
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        getattr(distillation, what)(torch.zeros(3, 4), torch.zeros(1, 4))
