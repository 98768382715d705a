"""Segmentation losses against their formulas written out pixel by pixel, and what void pixels do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from epochal.systems.losses import segmentation


def batch(classes: int = 3, void: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits (2, classes, 5, 7) in float64 and targets (2, 5, 7), a share of them void."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, classes, (2, 5, 7))
    target[rng.random(target.shape) < void] = segmentation.VOID
    logits = torch.tensor(rng.normal(size=(2, classes, 5, 7)), requires_grad=True)
    return logits, torch.tensor(target)


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    """The mean of -log softmax at the target, over labelled pixels of the whole batch (SciPy)."""
    logits, target = batch()
    scores, labels = logits.detach().numpy(), target.numpy()
    log_p = log_softmax(scores, axis=1).transpose(0, 2, 3, 1)
    kept = labels != segmentation.VOID
    wanted = -log_p[kept][np.arange(kept.sum()), labels[kept]].mean()
    assert float(segmentation.cross_entropy(logits.detach(), target)) == pytest.approx(wanted, rel=1e-12)


def test_dice_is_the_formula() -> None:
    """Class by class, with the sums over labelled pixels of the batch and squares in the denominator."""
    logits, target = batch()
    p = softmax(logits.detach().numpy(), axis=1).transpose(0, 2, 3, 1)
    labels = target.numpy()
    kept = labels != segmentation.VOID
    overlap = []
    for c in range(3):
        mine, true = p[kept][:, c], (labels[kept] == c).astype(float)
        overlap.append((2 * (mine * true).sum() + 0.5) / ((mine**2).sum() + (true**2).sum() + 0.5))
    found = float(segmentation.dice(logits.detach(), target, smooth=0.5))
    assert found == pytest.approx(1 - np.mean(overlap), rel=1e-12)


LOSSES = [segmentation.cross_entropy, segmentation.dice]


@pytest.mark.parametrize("loss", LOSSES)
def test_void_pixels_have_no_gradient(loss: Callable[..., Tensor]) -> None:
    """What the network says on void pixels neither changes the loss nor is changed by it."""
    logits, target = batch()
    loss(logits, target).backward()
    void = (target == segmentation.VOID)[:, None].expand_as(logits)
    assert logits.grad is not None
    assert (logits.grad[void] == 0).all() and (logits.grad[~void] != 0).any()
    other = torch.where(void, logits.detach() + 3, logits.detach())
    assert float(loss(other, target)) == pytest.approx(float(loss(logits.detach(), target)), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_all_void(loss: Callable[..., Tensor]) -> None:
    """A batch without any labelled pixel costs nothing, and its gradient is zero instead of NaN."""
    logits, target = batch(void=1.1)
    value = loss(logits, target)
    value.backward()
    assert value.item() == pytest.approx(0) and logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss: Callable[..., Tensor]) -> None:
    """Autograd agrees with finite differences."""
    logits, target = batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,))


def test_a_sure_right_answer_costs_nothing() -> None:
    """Logits that are certain and right: both losses vanish, also for the class that is nowhere."""
    target = torch.tensor([[[0, 1, 1, 0]]])
    logits = torch.nn.functional.one_hot(target, 3).permute(0, 3, 1, 2) * 100.0
    assert segmentation.cross_entropy(logits, target).item() == pytest.approx(0, abs=1e-6)
    assert segmentation.dice(logits, target).item() == pytest.approx(0, abs=1e-6)


def test_bytes_are_targets() -> None:
    """uint8 masks go in as they are stored."""
    logits, target = batch()
    for loss in LOSSES:
        assert loss(logits, target.byte()).item() == loss(logits, target).item()
