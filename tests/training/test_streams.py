"""Random streams: independent by name, and the same for ever, or old runs could not be resumed."""

from __future__ import annotations

import numpy as np
import torch

from epochal.training.streams import derive, numpy_stream, torch_stream

NAMES = ("init", "noise", "dropout", "order/1", "order/2", "order/11", "validation", "sample")


def test_streams_stay_what_they_were() -> None:
    """Recorded values: whoever changes them breaks the resuming of every run there is."""
    assert derive(0, "init") == 1519069808562059438
    assert derive(7, "order/3") == 929583480629082613
    assert numpy_stream(0, "noise").integers(0, 1000, 4).tolist() == [815, 558, 401, 378]
    assert torch.randperm(6, generator=torch_stream(0, "order/1")).tolist() == [0, 1, 2, 4, 5, 3]


def test_names_and_seeds_give_different_streams() -> None:
    """No two names, and no two seeds, share a stream; `1` with `1/x` is not `11` with `x`."""
    seeds = {derive(seed, name) for seed in range(200) for name in NAMES}
    assert len(seeds) == 200 * len(NAMES)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "1/x") != derive(11, "x")


def test_streams_are_uncorrelated() -> None:
    """Normal numbers of two names, and of two neighbouring seeds, correlate no more than chance allows."""
    n = 20_000
    for a, b in (
        (numpy_stream(0, "noise"), numpy_stream(0, "init")),
        (numpy_stream(0, "x"), numpy_stream(1, "x")),
    ):
        assert abs(np.corrcoef(a.normal(size=n), b.normal(size=n))[0, 1]) < 5 / n**0.5
    a, b = (torch.randn(n, generator=torch_stream(0, name)).numpy() for name in ("noise", "init"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / n**0.5


def test_streams_do_not_touch_the_global_state() -> None:
    """A stream is a generator of its own."""
    before = torch.get_rng_state()
    torch.randn(3, generator=torch_stream(0, "noise"))
    assert torch.equal(torch.get_rng_state(), before)
