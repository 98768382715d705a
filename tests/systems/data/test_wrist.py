"""The simulated wrist: all is there, twice the same, physically plausible, neither trivial nor impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epochal.systems.data import recordings, wrist
from epochal.systems.data.dataset import Dataset
from epochal.systems.data.recordings import Recordings
from epochal.systems.data.wrist import SUBJECTS, WRIST

WINDOW = 500


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The source, drawn into a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return WRIST.load(None)


@pytest.fixture(scope="module")
def simulated(loaded: Dataset) -> Recordings:
    """All subjects, as a recipe gets them."""
    return recordings.of(loaded, "train")


@pytest.fixture(scope="module")
def windows(simulated: Recordings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (n, 500, 3) of one activity each, with activity and subject."""
    parts = []
    for subject in range(SUBJECTS):
        mine = np.flatnonzero(simulated.subject == subject)
        rows = mine[: len(mine) // WINDOW * WINDOW].reshape(-1, WINDOW)
        parts.append(rows[(simulated.activity[rows] == simulated.activity[rows[:, :1]]).all(1)])
    rows = np.concatenate(parts)
    return simulated.samples[rows], simulated.activity[rows[:, 0]], simulated.subject[rows[:, 0]]


def dominant(signals: np.ndarray) -> np.ndarray:
    """The strongest frequency of each 5 s window in Hz, its mean left out."""
    power = np.abs(np.fft.rfft(signals - signals.mean(1, keepdims=True), axis=1))
    return (1 + power[:, 1:].argmax(1)) * 100 / WINDOW


def test_everybody_does_everything(simulated: Recordings, loaded: Dataset) -> None:
    """24 subjects, each in one recording that holds every activity once, for 40 to 80 s, in an order of their own."""
    assert simulated.rate_hz == 100 and simulated.unit == "g" and len(simulated.classes) == 8
    assert np.array_equal(simulated.subject, simulated.recording)
    orders = set()
    for subject in range(SUBJECTS):
        activity = simulated.activity[simulated.subject == subject]
        changes = np.flatnonzero(np.diff(activity, prepend=-2))
        lengths = np.diff([*changes, len(activity)])
        assert sorted(activity[changes]) == list(range(8)) and 4_000 < lengths.min() <= lengths.max() < 8_000
        orders.add(tuple(activity[changes]))
    assert len(orders) == SUBJECTS
    assert len(loaded.splits["test"]["samples"]) == 0 and loaded.drawn


def test_two_draws_are_equal(simulated: Recordings) -> None:
    """The same seed gives the same samples: runs on two machines train on the same data."""
    again = wrist.draw_all()["train"]
    assert np.array_equal(again["samples"], simulated.samples)
    assert np.array_equal(again["activity"], simulated.activity)


def test_samples_are_what_the_device_can_give(simulated: Recordings) -> None:
    """Multiples of 0.0039 g within 8 g, finite, in float32."""
    steps = simulated.samples.astype(np.float64) / 0.0039
    assert np.abs(steps - np.round(steps)).max() < 1e-3
    assert simulated.samples.dtype == np.float32 and np.abs(simulated.samples).max() <= 8


def test_gravity_is_one_g(windows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The mean of a still window is as long as gravity, whatever the posture: within 5 %."""
    x, _, _ = windows
    still = x[(x.std(1) < 0.03).all(1)]
    assert len(still) > 500
    assert np.abs(np.linalg.norm(still.mean(1), axis=1) - 1).max() < 0.05


def test_walking_and_running_have_their_cadence(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray], simulated: Recordings
) -> None:
    """The magnitude's dominant frequency is that of steps: 1.4 to 2.5 Hz in 9 of 10 windows of walking, as on real
    wrists with the arm's swing, half as fast, in some; running is faster in all but few, too.
    """
    x, labels, _ = windows
    frequency = dominant(np.linalg.norm(x, axis=2))
    walking = frequency[labels == simulated.classes.index("walking")]
    running = frequency[labels == simulated.classes.index("running")]
    assert ((walking >= 1.4) & (walking <= 2.5)).mean() > 0.9 and 1.7 < np.median(walking) < 2.1
    assert 2.4 < np.median(running) < 3.0


def test_a_walk_is_as_strong_as_a_real_one(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray], simulated: Recordings, real_data: Path
) -> None:
    """The magnitude's standard deviation, in the median window of walking and running, is WISDM's within 20 %."""
    with np.load(real_data / "wisdm_watch_accel_6act.npz", allow_pickle=False) as archive:
        magnitude = np.linalg.norm(archive["accel"], axis=2) / recordings.GRAVITY
        activity = archive["activity"]
    x, labels, _ = windows
    for ours, theirs in (("walking", 0), ("running", 1)):
        real = magnitude[activity == theirs].reshape(-1, 100).std(1)
        drawn = np.linalg.norm(x[labels == simulated.classes.index(ours)], axis=2).std(1)
        assert np.median(drawn) == pytest.approx(np.median(real), rel=0.2)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_neither_trivial_nor_impossible(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray], fold: int
) -> None:
    """A linear model on means, deviations and dominant frequencies, tested on 8 people it has not seen, gets 0.75 to
    0.9: there is something to learn, and something left for a network.
    """
    linear = pytest.importorskip("sklearn.linear_model")
    x, labels, subject = windows
    features = np.concatenate(
        [x.mean(1), x.std(1), *(dominant(x[..., axis])[:, None] for axis in range(3))], 1
    )
    tested = subject // 8 == fold
    mean, deviation = features[~tested].mean(0), features[~tested].std(0)
    scaled = (features - mean) / deviation
    model = linear.LogisticRegression(max_iter=2000).fit(scaled[~tested], labels[~tested])
    assert 0.75 < model.score(scaled[tested], labels[tested]) < 0.9
