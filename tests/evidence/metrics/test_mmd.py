"""The kernel distance of two samples against all differences written out."""

from __future__ import annotations

import numpy as np
import pytest

from epochal.evidence.metrics import mmd


def direct(a: np.ndarray, b: np.ndarray) -> float:
    """O(N²·D): every pair's difference is there, every kernel is its formula."""

    def kernels(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        distances = ((p[:, None] - q[None]) ** 2).sum(2)
        d = p.shape[1]
        return sum(2 * d * s / (2 * d * s + distances) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    def off_diagonal(k: np.ndarray) -> float:
        n = len(k)
        return float(np.mean([k[i, j] for i in range(n) for j in range(n) if i != j]))

    return off_diagonal(kernels(a, a)) + off_diagonal(kernels(b, b)) - 2 * float(kernels(a, b).mean())


@pytest.mark.parametrize(("n", "m", "shift"), [(2, 3, 0.0), (30, 41, 0.5), (25, 25, 100.0)])
def test_it_equals_the_direct_computation(n: int, m: int, shift: float) -> None:
    """Matrix products give what the differences give, for unequal sizes and far from the origin too."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(shift, 1, (n, 5)), rng.normal(shift, 1.5, (m, 5))
    assert mmd.imq(a, b) == pytest.approx(direct(a, b), rel=1e-9, abs=1e-10)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number does not depend on how many rows are held at a time."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(23, 3)), rng.normal(size=(17, 3))
    whole = mmd.imq(a, b)
    monkeypatch.setattr(mmd, "_ROWS", 4)
    assert mmd.imq(a, b) == pytest.approx(whole, rel=1e-12)


def test_it_is_unbiased() -> None:
    """Of samples of one distribution the mean over 300 draws is 0 within four standard errors; of a shifted one it is
    far above."""
    rng = np.random.default_rng(0)
    same = [mmd.imq(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))) for _ in range(300)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(300)
    assert min(same) < 0 < max(same)
    assert mmd.imq(rng.normal(size=(200, 4)), rng.normal(1, 1, (200, 4))) > 5 * np.std(same)


def test_refused() -> None:
    """Samples of different dimension, or of one row, are refused with their shapes."""
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 4\)"):
        mmd.imq(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        mmd.imq(np.zeros((1, 2)), np.zeros((3, 2)))
