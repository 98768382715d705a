"""The share of each loss term in the gradient: right, said when it matters, and without a trace in the training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from epochal.training.learner import Choices
from epochal.training.probes import gradient_share

BOTH = {"fit": 1.0, "size": 1.0}


def test_lengths_equal_separate_backward_passes() -> None:
    """One graph, walked once a term, gives what training on each term alone would; weights count."""
    net = nn.Linear(3, 2, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64)

    def terms() -> dict[str, torch.Tensor]:
        y = net(x)
        return {"a": 2.0 * y.square().mean(), "b": 0.1 * net.bias.sum(), "none": torch.tensor(3.0)}

    got = gradient_share.norms(terms(), list(net.parameters()))
    expected = []
    for name in ("a", "b"):
        net.zero_grad()
        terms()[name].backward()
        expected.append(
            float(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).norm())
        )
    assert got.tolist() == pytest.approx([*expected, 0.0], rel=1e-6)


def test_shares_sum_to_one() -> None:
    """A share is of all terms' lengths; where nothing has a gradient nobody has a share."""
    assert gradient_share.shares({"a": 3.0, "b": 1.0}) == {"a": 0.75, "b": 0.25}
    assert gradient_share.shares({"a": 0.0, "b": 0.0}) == {"a": 0.0, "b": 0.0}


def test_idle_takes_three_measurements() -> None:
    """One small share at the beginning is no finding; three in a row are, unless the last one is large again."""
    small, large = {"kl": 0.001, "ce": 0.999}, {"kl": 0.5, "ce": 0.5}
    assert gradient_share.idle([small, small], {}) == []
    assert gradient_share.idle([large, small, small, small], {}) == ["kl"]
    assert gradient_share.idle([small, small, small, large], {}) == []


def test_a_term_is_judged_by_what_it_is_meant_to_have() -> None:
    """5 % is much for a term that is meant to have 1 %, and next to nothing for one that is meant to have 70 %."""
    meant = {"ce": 0.3, "kl": 0.7}
    assert gradient_share.idle([{"ce": 0.95, "kl": 0.05}] * 3, meant) == ["kl"]
    assert gradient_share.idle([{"ce": 0.4, "kl": 0.6}] * 3, meant) == []
    assert gradient_share.idle([{"ce": 0.002, "kl": 0.998}] * 3, {"ce": 0.01, "kl": 0.99}) == []
    # Beside a term of which nothing is said, the others are judged among themselves.
    with_sp = {"ce": 0.15, "kl": 0.35, "sp": 0.5}
    assert gradient_share.idle([with_sp] * 3, meant) == []
    assert gradient_share.idle([{"ce": 0.48, "kl": 0.02, "sp": 0.5}] * 3, meant) == ["kl"]


def test_what_a_term_is_meant_to_have_is_written_and_told(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe's lines hold it beside what was measured, and the log says both."""
    monkeypatch.setattr(gradient_share, "EVERY", 2)
    probe = bench.Probe(
        terms=lambda epoch: {"fit": 1.0, "size": 1e-4}, meant=lambda epoch: {"fit": 0.5, "size": 0.5}
    )
    run = bench.train("one-phase", probe=probe)
    assert "where 0.5 is meant" in (run.path / "console.log").read_text()
    assert run.probes()[-1]["values"]["gradient_meant/fit/size"] == 0.5
    assert run.probes()[-1]["values"]["gradient_idle/fit/size"] == 1.0


@pytest.mark.parametrize(
    "choices", [Choices(), Choices(precision="bfloat16", layers="fast", layout="channels_last")]
)
def test_measuring_leaves_no_trace(bench: Any, monkeypatch: pytest.MonkeyPatch, choices: Choices) -> None:
    """Weights, moments, streams and metrics are equal to the bit whether the terms are measured or not."""
    monkeypatch.setattr(gradient_share, "EVERY", 4)
    bench.choices = choices
    without = bench.train("one-phase")
    measured = bench.train("one-phase", probe=bench.Probe(terms=lambda epoch: BOTH))
    bench.assert_same(without, measured)
    assert without.probes() == []
    lines = measured.probes()
    assert [line["step"] for line in lines] == [1, 5, 9, 13, 17, 21]  # each at its own step, not the log's
    for line in lines:
        values = line["values"]
        both = [values[f"gradient_share/fit/{name}"] for name in BOTH]
        assert sum(both) == pytest.approx(1) and all(0 < share < 1 for share in both)


def test_a_term_without_effect_is_said_once(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who reads the log finds the fault there, in words, and not at every measurement again."""
    monkeypatch.setattr(gradient_share, "EVERY", 2)
    run = bench.train("one-phase", probe=bench.Probe(terms=lambda epoch: {"fit": 1.0, "size": 1e-6}))
    said = [line for line in (run.path / "console.log").read_text().splitlines() if "next to nothing" in line]
    assert len(said) == 1 and "size has" in said[0]


def test_a_resumed_run_has_the_probes_of_an_undisturbed_one(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines after the last checkpoint are dropped and measured again, at the same steps."""
    monkeypatch.setattr(gradient_share, "EVERY", 4)
    terms = lambda epoch: BOTH  # noqa: E731
    whole = bench.train("one-phase", probe=bench.Probe(terms=terms))

    def interrupt(step: int, batch: Any) -> None:
        if step == 18:
            raise KeyboardInterrupt

    run = bench.create("one-phase")
    with pytest.raises(KeyboardInterrupt):
        bench.train("one-phase", run=run, probe=bench.Probe(at=interrupt, terms=terms))
    resumed = bench.train("one-phase", run=run, probe=bench.Probe(terms=terms), resume=True)
    told = [[(line["step"], line["values"]) for line in one.probes()] for one in (whole, resumed)]
    assert told[0] == told[1]
