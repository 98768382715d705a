"""Moving averages of weights: the formula, in every precision, and what they must not touch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Average, Batch, Optimiser, Phase, Task

DECAY = 0.8


def net() -> nn.Sequential:
    """A dense layer (rounded in bfloat16) and a norm (with buffers)."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def learner(choices: Choices, **how: Any) -> TorchLearner:
    """One that moves `net` and averages it into `average`."""

    def loss(nets: Any, batch: Batch, rng: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return (nets["net"](batch["x"]) - 1).square().mean() + nets["net"][0].weight.sum(), {}

    task = Task(
        {"x": torch.zeros(8, 3).numpy()},
        8,
        [Phase("fit", ("net",), loss, Optimiser(lr=0.1), "mean (y - 1)² + Σw")],
        averages=[Average("net", "average", DECAY, **how)],
    )
    torch.manual_seed(0)
    return TorchLearner(task, {"net": net(), "average": net()}, 0, torch.device("cpu"), choices)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_average_follows_its_formula(precision: Any) -> None:
    """w̄ ← d·w̄ + (1 - d)·w over the float32 weights, from w itself on; buffers are those of the last step."""
    one = learner(replace(Choices(), precision=precision))
    weights = {k: v.detach().clone() for k, v in one.weights().items()}
    expected = {k: v for k, v in weights.items() if k.startswith("net.")}
    for _ in range(5):
        one.step(Batch(x=torch.randn(8, 3)))
        now = {k: v.detach() for k, v in one.weights().items()}
        for key, value in expected.items():
            buffer = "running" in key or "num_batches" in key
            expected[key] = now[key].clone() if buffer else DECAY * value + (1 - DECAY) * now[key]
    moved = 0.0
    for key, value in expected.items():
        found = now["average." + key.removeprefix("net.")]
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)
        moved += float((found.float() - now[key].float()).abs().sum())
    assert moved > 0.1, "an average equal to the weights would pass unnoticed"


def test_warm_up_shortens_the_memory_of_the_first_steps() -> None:
    """At step 0 the decay is 1/10: nine tenths of the first step's weights, not a fifth."""
    one = learner(Choices(), warm_up=True)
    before = one.weights()["net.0.weight"].detach().clone()
    one.step(Batch(x=torch.randn(8, 3)))
    now = one.weights()
    torch.testing.assert_close(now["average.0.weight"], 0.1 * before + 0.9 * now["net.0.weight"].detach())


def test_looking_uses_the_rounded_average() -> None:
    """In bfloat16 the network that is looked at holds the average of now, not that of the beginning."""
    one = learner(Choices(precision="bfloat16"))
    for _ in range(3):
        one.step(Batch(x=torch.randn(8, 3)))
    one.eval()
    live = one.nets["average"][0].weight
    assert live.dtype is torch.bfloat16 and not live.requires_grad
    assert torch.equal(live, one.weights()["average.0.weight"].bfloat16())


def test_resuming_puts_the_average_back() -> None:
    """A fresh learner with the saved state goes on to the bit: the average is part of a checkpoint."""
    batches = [torch.randn(8, 3) for _ in range(6)]
    one, other = learner(Choices()), learner(Choices())
    for x in batches[:3]:
        one.step(Batch(x=x))
    other.load({k: v.clone() for k, v in one.state().items()})
    for x in batches[3:]:
        one.step(Batch(x=x))
        other.step(Batch(x=x))
    mine, theirs = one.state(), other.state()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)
