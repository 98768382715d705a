"""Persistence of signals: the same bars as gudhi and as the definition, on real, quantised and drawn windows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epochal.errors import EpochalError
from epochal.systems.data.persistence import diagrams


def bars_of(signals: np.ndarray, least: float = 0.0) -> list[list[tuple[float, float]]]:
    """The bars of each row, sorted."""
    owner, birth, death = diagrams(signals, least=least)
    assert np.all(np.diff(owner) >= 0)
    return [
        sorted(zip(birth[owner == row].tolist(), death[owner == row].tolist(), strict=True))
        for row in range(len(signals))
    ]


def by_definition(signal: np.ndarray) -> list[tuple[float, float]]:
    """Bars of lifetime > 0 from components merged sample by sample, as the definition has it."""
    component: list[set[int]] = [set() for _ in signal]
    bars = []
    for sample in np.argsort(signal, kind="stable").tolist():
        component[sample] = {sample}
        for neighbour in (sample - 1, sample + 1):
            if 0 <= neighbour < len(signal) and component[neighbour]:
                one, other = component[sample], component[neighbour]
                younger = max(min(signal[list(one)]), min(signal[list(other)]))
                if younger < signal[sample]:
                    bars.append((float(younger), float(signal[sample])))
                for member in (merged := one | other):
                    component[member] = merged
    return sorted(bars)


def wisdm(folder: Path, count: int) -> np.ndarray:
    """Windows (count, 500) of wrists, every activity, one axis each, scaled over all."""
    with np.load(folder / "wisdm_watch_accel_6act.npz") as file:
        accel = file["accel"]
    windows = accel[:, :2000].reshape(-1, 500, 3).transpose(0, 2, 1).reshape(-1, 500)
    chosen = windows[np.random.default_rng(0).permutation(len(windows))[:count]]
    return chosen.astype(float) / np.abs(accel).max()


def geneactiv(folder: Path, count: int) -> np.ndarray:
    """Windows (count, 500) of the sample, whose steps of 1/256 g make ties."""
    file = folder / "geneactiv_sample_right_wrist.csv"
    g = np.loadtxt(file, delimiter=",", skiprows=100, usecols=(1, 2, 3)).T
    starts = np.random.default_rng(1).integers(0, g.shape[1] - 500, count)
    return np.stack([g[i % 3, start : start + 500] for i, start in enumerate(starts)]) / 8


def drawn(count: int) -> np.ndarray:
    """Windows (count, 500) of noise, random walks, few levels, swings that grow and fade, ramps and constants."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, (count, 500))
    time = np.linspace(0, 1, 500)
    kinds = [
        lambda row: row,
        lambda row: np.cumsum(row) / 20,
        lambda row: np.round(row * 4) / 4,
        lambda row: time * np.sin(90 * time + row[0]),
        lambda row: (1 - time) * (-1.0) ** np.arange(500),
        lambda row: np.sign(row[0]) * time,
        lambda row: np.full(500, row[0]),
    ]
    return np.stack([kinds[i % len(kinds)](row) for i, row in enumerate(noise)])


@pytest.fixture(scope="module")
def windows(real_data: Path) -> np.ndarray:
    """1,000 windows of all kinds."""
    return np.concatenate([wisdm(real_data, 500), geneactiv(real_data, 250), drawn(250)])


@pytest.mark.parametrize("as_vertices", [True, False])
def test_bars_are_gudhis(windows: np.ndarray, as_vertices: bool) -> None:
    """On 1,000 windows the bars equal gudhi's to the last bit, samples taken as vertices or as top cells."""
    gudhi = pytest.importorskip("gudhi", reason="gudhi is not installed (extra topology)")
    found = bars_of(windows, least=0.01)
    assert sum(map(len, found)) > 20_000
    for window, bars in zip(windows, found, strict=True):
        samples = {"vertices": window} if as_vertices else {"top_dimensional_cells": window}
        cubes = gudhi.CubicalComplex(**samples)
        cubes.compute_persistence()
        theirs = cubes.persistence_intervals_in_dimension(0)
        kept = theirs[np.isfinite(theirs[:, 1]) & (theirs[:, 1] - theirs[:, 0] > 0.01)]
        assert bars == sorted(map(tuple, kept.tolist()))


@given(arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 24)), elements=st.integers(-3, 3)))
def test_bars_are_the_definitions_with_ties(signals: np.ndarray) -> None:
    """Few levels make ties and plateaus everywhere: the bars are still those of merging sample by sample."""
    assert bars_of(signals) == [by_definition(row.astype(float)) for row in signals]


@given(arrays(np.float32, (3, 40), elements=st.floats(-1, 1, width=32)))
def test_bars_are_the_definitions_without_rounding(signals: np.ndarray) -> None:
    """Any float32 numbers, tiny steps beside large ones: births and deaths are samples, paired by the definition."""
    assert bars_of(signals) == [by_definition(row.astype(float)) for row in signals]


def test_a_bar_is_a_valley_and_the_oldest_lives_on() -> None:
    """Of valleys at 0, 2 and 1 behind ridges at 5 and 3 the younger ones die; a short bar is left out by `least`."""
    signal = np.array([[4.0, 0, 5, 2, 3, 1, 6]])
    assert bars_of(signal) == [[(1, 5), (2, 3)]]
    assert bars_of(signal, least=1.0) == [[(1, 5)]]  # a lifetime equal to it is left out
    assert bars_of(np.zeros((2, 1))) == [[], []]
    assert [len(part) for part in diagrams(np.empty((0, 5)))] == [0, 0, 0]


def test_rows_do_not_touch(windows: np.ndarray) -> None:
    """Each window gets the bars that it gets alone, in the same order, whatever stands beside it."""
    chosen = windows[::50]
    owner, birth, death = diagrams(chosen)
    for row, window in enumerate(chosen):
        _, *alone = diagrams(window[None])
        assert np.array_equal(np.stack([birth, death])[:, owner == row], np.stack(alone))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    """A gap or an infinity has no level: the message names the first signal that holds one."""
    signals = np.zeros((3, 4))
    signals[1, 2] = bad
    with pytest.raises(EpochalError, match=r"1 of 3 signals .* number 1"):
        diagrams(signals)


@pytest.mark.parametrize(("shape", "least"), [((4,), 0.0), ((2, 0), 0.0), ((2, 4), -1.0), ((2, 4), np.nan)])
def test_what_is_no_batch_of_signals_is_refused(shape: tuple[int, ...], least: float) -> None:
    """Another number of axes, no sample, or a negative lifetime is a mistake of the caller, named by its value."""
    with pytest.raises(ValueError, match="signals"):
        diagrams(np.zeros(shape), least=least)
