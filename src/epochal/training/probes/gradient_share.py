"""Which term of a loss moves the weights: the length of each weighted term's gradient beside the others'.

A term that is small beside the others' values may still steer, and a large constant steers nothing: what counts is its
gradient. A term whose share stays under `NEGLIGIBLE` is in the loss by name only (a distillation whose divergence is
averaged over the classes too, or lacks its T²).

One backward pass a term, on the very graph of the training step, every `EVERY` steps: about 1 % of a training with two
terms. Nothing that the training computes or draws is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

EVERY = 200
"""Optimiser steps from one measurement to the next; the first is of the initial weights."""
NEGLIGIBLE = 0.01
"""Share of the gradient below which a term does next to nothing."""
IN_A_ROW = 3
"""Measurements in a row with a negligible share before it is said: the first steps are like no others."""


def norms(weighted: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """‖∇ term‖₂ over all parameters together, of each weighted term of a loss: (terms,) float32.

    The graph stays, for the backward pass that trains. A term that depends on no parameter has norm 0.

    Args:
        weighted: scalar tensors whose sum is the loss.
        parameters: what the loss trains.
    """
    found = []
    for term in weighted.values():
        if not term.requires_grad:
            found.append(torch.zeros((), device=term.device))
            continue
        gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        lengths = torch._foreach_norm([g.float() for g in gradients if g is not None])
        found.append(torch.stack(lengths).norm())
    return torch.stack(found)


def shares(lengths: Mapping[str, float]) -> dict[str, float]:
    """Each term's part of the sum of all lengths, from 0 to 1; all 0 where no term has a gradient."""
    total = sum(lengths.values())
    return {name: length / total if total > 0 else 0.0 for name, length in lengths.items()}


def idle(course: Iterable[Mapping[str, float]]) -> list[str]:
    """Terms whose share was negligible in each of the last `IN_A_ROW` measurements.

    Args:
        course: shares by term, oldest first.
    """
    last = list(course)[-IN_A_ROW:]
    if len(last) < IN_A_ROW:
        return []
    return [name for name in last[-1] if all(seen.get(name, 1.0) < NEGLIGIBLE for seen in last)]
