"""The numbers the engine reports and the steps it takes, against plain loops and autograd."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from epochal.training.learner import Choices
from epochal.training.task import Batch


def epoch_losses(run: Any, name: str = "loss") -> list[float]:
    """One value an epoch."""
    return [value for _, value in run.epoch_values()[name]]


def test_the_loss_is_the_sum_of_its_parts(bench: Any) -> None:
    """In every line, penalties included; a GAN's total is the sum over its phases."""
    run = bench.train("one-phase", bench.Settings(l2=0.01))
    lines = [line["values"] for line in run.metrics() if line["split"] == "train"]
    assert lines and all(set(v) == {"loss", "fit", "size", "l2"} for v in lines)
    for v in lines:
        assert v["loss"] == pytest.approx(v["fit"] + v["size"] + v["l2"], rel=1e-6)
    gan = bench.train("two-phases")
    for v in (line["values"] for line in gan.metrics()):
        assert v["discriminator/loss"] == pytest.approx(
            v["discriminator/real"] + v["discriminator/fake"], rel=1e-6
        )
        assert v["loss"] == pytest.approx(v["discriminator/loss"] + v["generator/loss"], rel=1e-6)


@pytest.mark.parametrize("shape", ["one-phase", "numpy-step"])
def test_the_epoch_loss_is_the_mean_over_items(bench: Any, shape: str) -> None:
    """Every item counts alike: the last batch of 2 weighs 2/50, against a float64 sum over the batches' own losses."""
    total = 0.0
    weights = {step: 1.0 + step / 10 for step in range(1, bench.steps + 1)}

    def note(step: int, batch: Batch) -> None:
        nonlocal total
        items.append(len(next(iter(batch.values()))))

    items: list[int] = []
    run = bench.train(
        shape, bench.Settings(epochs=1), probe=bench.Probe(at=note, factor=lambda step: weights[step])
    )
    steps = [line for line in run.metrics() if line["scope"] == "step"]
    assert items == [8] * 6 + [2] and len(steps) == bench.steps
    total = sum(n * line["values"]["loss"] for n, line in zip(items, steps, strict=True))
    assert epoch_losses(run) == [pytest.approx(total / bench.items, rel=1e-12)]


def test_step_lines_add_up_to_the_epoch(bench: Any) -> None:
    """Lines over several steps hold the means since the line before, at most twenty lines an epoch."""
    run = bench.train("numpy-step", bench.Settings(epochs=1, batch_size=1))
    steps = [line for line in run.metrics() if line["scope"] == "step"]
    assert [line["step"] for line in steps] == [*range(3, 50, 3), 50]
    counts = np.diff([0, *(line["step"] for line in steps)])
    mean = float(np.dot(counts, [line["values"]["loss"] for line in steps]) / bench.items)
    assert epoch_losses(run) == [pytest.approx(mean, rel=1e-12)]


@pytest.mark.parametrize("every", [1, 7])
def test_a_task_may_say_how_often_it_is_logged(bench: Any, every: int) -> None:
    """A line every so many steps, and at the end of an epoch; the numbers of the epoch stay what they are."""
    settings = bench.Settings(epochs=2, batch_size=1)
    run = bench.train("numpy-step", settings, probe=bench.Probe(log_every=every))
    steps = [line["step"] for line in run.metrics() if line["scope"] == "step"]
    assert steps == [n for n in range(1, 101) if (n - 1) % 50 % every == every - 1 or n % 50 == 0]
    assert epoch_losses(run) == pytest.approx(epoch_losses(bench.train("numpy-step", settings)), rel=1e-12)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_training_equals_a_plain_loop(bench: Any, name: str) -> None:
    """Same initial weights, order and optimiser in an idiomatic torch loop: weights and loss agree to rounding."""
    from epochal.training.streams import derive, torch_stream

    settings = bench.Settings(epochs=2, drop=0.0, l2=0.003, lr=0.02)
    run = bench.train("one-phase", settings, seed=4, probe=bench.Probe(optimiser=name))
    with torch.random.fork_rng():
        torch.manual_seed(derive(4, "init"))
        recipe = bench.recipes["one-phase"](bench.Probe())
        nets = recipe.nets(settings)
        task = recipe.build(settings, nets)
    net, (phase,), noise = nets["net"], task.phases, torch_stream(4, "noise")
    adam = name == "adam"
    optimiser: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr=0.02)
        if adam
        else torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    )
    means = []
    for epoch in (1, 2):
        order = torch.randperm(bench.items, generator=torch_stream(4, f"order/{epoch}"))
        total = 0.0
        for chosen in order.split(settings.batch_size):
            batch = task.prepare(Batch({k: torch.as_tensor(v)[chosen] for k, v in task.train.items()}))
            loss, _ = phase.loss(nets, batch, noise)
            loss = loss + settings.l2 * sum(p.square().sum() for p in net.parameters() if p.dim() == 4)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += len(chosen) * loss.item()
        means.append(total / bench.items)
    assert epoch_losses(run) == pytest.approx(means, rel=1e-5)
    kept, _ = bench.last(run)
    for key, tensor in net.state_dict().items():
        # The norm takes the convolution's bias away: its gradient is rounding noise, which Adam scales up.
        if not (adam and key in ("conv.bias", "norm.running_mean")):
            torch.testing.assert_close(kept[f"weights/net.{key}"], tensor, rtol=1e-3, atol=1e-4)


def test_the_learning_rate_follows_its_schedule(bench: Any) -> None:
    """It gets finished steps (from 0) and the epoch (from 1), also after a resume; a rate of zero moves nothing."""
    calls: list[tuple[int, int]] = []

    def schedule(step: int, epoch: int) -> float:
        calls.append((step, epoch))
        return float(epoch == 1)

    run = bench.train("one-phase", bench.Settings(epochs=1), probe=bench.Probe(schedule=schedule))
    (before, _) = bench.last(run)
    bench.train(
        "one-phase", bench.Settings(epochs=2), run=run, resume=True, probe=bench.Probe(schedule=schedule)
    )
    (after, _) = bench.last(run)
    assert calls == [(step, 1 + step // bench.steps) for step in range(2 * bench.steps)]
    assert all(
        torch.equal(before[k], after[k]) for k in before if k.startswith("weights/") and "norm" not in k
    )


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimisers_resume(bench: Any, name: str) -> None:
    """Moments of each optimiser travel in the checkpoint: two halves equal the whole."""
    whole = bench.train("one-phase", bench.Settings(epochs=4), probe=bench.Probe(optimiser=name))
    run = bench.train("one-phase", bench.Settings(epochs=2), probe=bench.Probe(optimiser=name))
    bench.train(
        "one-phase", bench.Settings(epochs=4), run=run, resume=True, probe=bench.Probe(optimiser=name)
    )
    bench.assert_same(run.reload(), whole)


def test_gradients_are_clipped(bench: Any) -> None:
    """With plain SGD and a tiny norm, no step is longer than rate x norm; without clipping it is."""

    def longest(clip: float | None) -> float:
        seen: list[torch.Tensor] = []

        def look(nets: Any) -> dict[str, float]:
            seen.append(torch.cat([p.detach().flatten().clone() for p in nets["net"].parameters()]))
            return {}

        probe = bench.Probe(optimiser="sgd", validate=look)
        bench.train(
            "one-phase",
            bench.Settings(epochs=3, batch_size=bench.items, lr=0.1, clip_grad_norm=clip),
            probe=probe,
        )
        return max(float((b - a).norm()) for a, b in pairwise(seen))

    # Momentum 0.9 lengthens the k-th step to at most lr·clip·(1 + 0.9 + 0.81).
    assert longest(1e-3) <= 0.1 * 1e-3 * 2.71 * 1.001
    assert longest(None) > 0.1 * 1e-3 * 2.71 * 5


def test_patience_ends_a_run(bench: Any) -> None:
    """Two epochs without a better value end it; resuming a run killed just then does not train on."""
    from epochal.settings.common import StopSettings

    settings = bench.Settings(epochs=9, stop=StopSettings(patience=2))
    values = [0.5, 0.6, 0.6, 0.6, 0.9]

    def probe() -> Any:
        scores = iter(values)
        return bench.Probe(validate=lambda nets: {"accuracy": next(scores)})

    run = bench.train("one-phase", settings, probe=probe())
    assert (run.status, run.meta["epochs_done"]) == ("finished", 4)
    run.update(status="running", finished=None)
    bench.train("one-phase", settings, probe=probe(), run=run, resume=True)
    assert run.meta["epochs_done"] == 4 and len(epoch_losses(run)) == 4


@pytest.mark.parametrize("steps", [3, 7, 9])
def test_steps_end_a_run(bench: Any, steps: int) -> None:
    """`steps` counts in total; the last, partial epoch is the mean over what it saw."""
    run = bench.train("numpy-step", bench.Settings(steps=steps))
    assert (run.status, run.meta["steps_done"], run.meta["epochs_done"]) == (
        "finished",
        steps,
        -(-steps // 7),
    )
    last = [
        line for line in run.metrics() if line["step"] > 7 * ((steps - 1) // 7) and line["scope"] == "step"
    ]
    sizes = [2 if line["step"] % 7 == 0 else 8 for line in last]
    mean = np.average([line["values"]["loss"] for line in last], weights=sizes)
    assert epoch_losses(run)[-1] == pytest.approx(mean, rel=1e-12)


def test_parts_may_come_and_go(bench: Any, tmp_path: Any) -> None:
    """A term that is absent from some steps counts zero there, and no other part takes its place in the sums."""
    from dataclasses import replace

    from epochal.training import engine

    plain = bench.recipes["one-phase"](bench.Probe())

    def build(settings: Any, nets: Any) -> Any:
        task = plain.build(settings, nets)
        (phase,) = task.phases
        steps = iter(range(1, 100))

        def loss(nets: Any, batch: Batch, rng: Any) -> Any:
            total, parts = phase.loss(nets, batch, rng)
            odd = {"extra": torch.tensor(1.0)} if next(steps) % 2 else {}
            return total, {**odd, **parts}

        return replace(task, phases=[replace(phase, loss=loss)])

    run = bench.create("one-phase")
    engine.train(replace(plain, build=build), bench.Settings(), run, device="cpu", show=False)
    reference = bench.train("one-phase")
    for name in ("loss", "fit", "size"):
        assert epoch_losses(run, name) == epoch_losses(reference, name)
    # Seven steps of 8, 8, 8, 8, 8, 8 and 2 items; the odd steps of epoch 1 are 1, 3, 5, 7, of epoch 2 they are 2, 4, 6.
    assert epoch_losses(run, "extra")[:2] == pytest.approx([26 / 50, 24 / 50])


def test_bfloat16_with_fast_layers_learns_the_same(bench: Any) -> None:
    """Without dropout, six epochs in bfloat16 stay within a few per cent of float32's loss; weights are float32."""
    settings = bench.Settings(epochs=6, drop=0.0)
    plain = bench.train("one-phase", settings)
    bench.choices = Choices("bfloat16", "channels_last", "fast", 1)
    fast = bench.train("one-phase", settings)
    assert epoch_losses(fast) == pytest.approx(epoch_losses(plain), rel=0.05)
    tensors, _ = bench.last(fast)
    assert {t.dtype for k, t in tensors.items() if k.startswith("weights/") and t.is_floating_point()} == {
        torch.float32
    }
    assert not torch.equal(
        tensors["weights/net.conv.weight"], tensors["weights/net.conv.weight"].bfloat16().float()
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_tied_weights_are_kept(bench: Any, precision: Any) -> None:
    """Two layers that share a weight train, are saved, resume exactly, and load tied, with the trained value."""
    from dataclasses import replace

    from epochal.training import engine

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(36, 36), nn.Linear(36, 36)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.relu(self.a(x.flatten(1)))).mean(1)

    plain = bench.recipes["one-phase"](bench.Probe())
    recipe = replace(plain, nets=lambda settings: {"net": Tied()})
    bench.choices = Choices(precision)
    whole, run = bench.create("one-phase"), bench.create("one-phase")
    engine.train(recipe, bench.Settings(), whole, device="cpu", show=False)
    engine.train(recipe, bench.Settings(epochs=1), run, device="cpu", show=False)
    engine.train(recipe, bench.Settings(), run, device="cpu", show=False, resume=True)
    bench.assert_same(run.reload(), whole.reload())
    net = engine.load(recipe, run, which="last", device="cpu", settings=bench.Settings()).nets["net"]
    kept, _ = bench.last(run)
    assert net.a.weight is net.b.weight and torch.equal(net.a.weight, kept["weights/net.a.weight"])
    assert torch.equal(kept["weights/net.a.weight"], kept["weights/net.b.weight"])
