"""Which term of a loss moves the weights: the length of each weighted term's gradient beside the others'.

A term that is small beside the others' values may still steer, and a large constant steers nothing: what counts is its
gradient. A term does next to nothing whose share stays under `NEGLIGIBLE`, or under `FAR_LESS` of what it is meant to
have: a distillation is told to take 70 % of its gradient from the teacher, but its divergence is averaged over the
classes too and lacks its T², and it takes 5 %.

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
FAR_LESS = 0.2
"""Part of the share that a term is meant to have below which it does not do what it is there for."""
LEAST_MEANT = 0.05
"""A term that is meant to have less than this share is not judged."""
IN_A_ROW = 3
"""Measurements in a row with too small a share before it is said: the first steps are like no others."""


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


def least(shares: Mapping[str, float], meant: Mapping[str, float]) -> dict[str, float]:
    """The share under which each term does next to nothing.

    Args:
        shares: of the gradient, by term.
        meant: what some of them are meant to have beside each other; empty: nothing is said of any.
    """
    together = sum(shares[name] for name in meant if name in shares)
    limits = {}
    for name in shares:
        if name not in meant:
            limits[name] = NEGLIGIBLE
        else:
            limits[name] = FAR_LESS * meant[name] * together if meant[name] >= LEAST_MEANT else 0.0
    return limits


def idle(course: Iterable[Mapping[str, float]], meant: Mapping[str, float]) -> list[str]:
    """Terms whose share was too small in each of the last `IN_A_ROW` measurements.

    Args:
        course: shares by term, oldest first.
        meant: see `least`.
    """
    last = list(course)[-IN_A_ROW:]
    if len(last) < IN_A_ROW:
        return []
    return [
        name
        for name in last[-1]
        if all(name in seen and seen[name] < least(seen, meant)[name] for seen in last)
    ]
