"""Drawn shapes are what they claim to be: ten balanced classes told apart by their outline, always the same."""

from pathlib import Path

import numpy as np
import pytest

from epochal.systems import data
from epochal.systems.data import shapes

LABELS = [5, 1, 7, 0, 4, 9, 6, 2, 8, 3]
SUMS = [546762, 226300, 565547, 245411, 347465, 510147, 489630, 619492, 431946, 253152]


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """A sample from a stream of its own."""
    return shapes.draw(1500, [32, 7])


def test_shapes_and_balance(drawn: dict[str, np.ndarray]) -> None:
    """Columns are those of CIFAR-10, classes are equally frequent, and their order is mixed."""
    assert drawn["images"].shape == (1500, 32, 32, 3) and drawn["images"].dtype == np.uint8
    assert drawn["labels"].shape == (1500,) and drawn["labels"].dtype == np.uint8
    assert (np.bincount(drawn["labels"]) == 150).all()
    assert abs(np.mean(drawn["labels"][1:] == drawn["labels"][:-1]) - 0.1) < 0.04


def test_the_same_seed_draws_the_same_shapes(drawn: dict[str, np.ndarray]) -> None:
    """Drawing again gives the same bytes, whatever the threads do; another stream gives other pictures."""
    again = shapes.draw(1500, [32, 7])
    assert all(np.array_equal(drawn[column], again[column]) for column in drawn)
    other = shapes.draw(1500, [32, 8])
    assert not any((drawn["images"][k] == other["images"]).all((1, 2, 3)).any() for k in range(20))


def test_shapes_stay_what_they_were() -> None:
    """Recorded sums of ten pictures: a change of the drawing must raise EDITION, or caches would mix.

    A grey level or two may differ between processors, so sums are compared within one part in a thousand.
    """
    sample = shapes.draw(10, [32, 0])
    assert (shapes.EDITION, shapes.SEED) == (1, 32)
    assert sample["labels"].tolist() == LABELS
    assert sample["images"].sum((1, 2, 3)) == pytest.approx(SUMS, rel=1e-3)


def _inside(name: str, x: float, y: float) -> bool:
    return bool(shapes._OUTLINES[name](np.array([x]), np.array([y]))[0] < 0)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("disc", [(0, 0), (0.7, 0.7)], [(0.75, 0.75), (0, 1.1)]),
        ("ring", [(0.76, 0), (0, -0.9)], [(0, 0), (0.5, 0), (1, 0)]),
        ("crescent", [(-0.9, 0), (0, 0.9)], [(0.4, 0), (0, 0), (1, 0)]),
        ("drop", [(0, -0.9), (0.6, 0.34), (0, 0.9)], [(0.4, -0.6), (0.6, 0.9)]),
        ("heart", [(0, 0), (0.4, -0.8), (0, 0.7)], [(0, -0.9), (0.5, 0.5)]),
        ("triangle", [(0, 0), (0, -0.9), (0.8, 0.7)], [(0.6, -0.3), (0, 0.8)]),
        ("square", [(0.8, 0.8), (-0.8, 0.8)], [(0.9, 0), (0, -0.9)]),
        ("star", [(0, -0.95), (0.3, -0.1), (0, 0.35)], [(0.4, -0.6), (0, 0.5), (0, 1)]),
        ("cross", [(0.3, 0.9), (-0.9, 0.3)], [(0.4, 0.4), (0.9, 0.9)]),
        ("arrow", [(0, -0.9), (0.7, 0), (0.2, 0.9)], [(0.5, 0.5), (0.7, -0.5)]),
    ],
)
def test_every_outline_has_its_form(
    name: str, inside: list[tuple[float, float]], outside: list[tuple[float, float]]
) -> None:
    """Points that make each form what it is lie inside or outside its outline."""
    assert all(_inside(name, *point) for point in inside)
    assert not any(_inside(name, *point) for point in outside)


@pytest.mark.parametrize("name", list(shapes._OUTLINES))
def test_outlines_measure_distances(name: str) -> None:
    """Distances grow at most as fast as the way walked, and the form fills its unit: edges stay one pixel wide."""
    outline = shapes._OUTLINES[name]
    axis = np.linspace(-1.5, 1.5, 301)
    x, y = np.meshgrid(axis, axis)
    distance = outline(x, y)
    step = axis[1] - axis[0]
    assert np.abs(np.diff(distance, axis=0)).max() < 1.05 * step
    assert np.abs(np.diff(distance, axis=1)).max() < 1.05 * step
    inside = distance < 0
    assert 0.6 < np.abs(x[inside]).max() < 1.2 and 0.8 < np.abs(y[inside]).max() < 1.2


def test_colours_only_hint_at_the_class(drawn: dict[str, np.ndarray]) -> None:
    """A linear model does better than guessing, as on photographs, but far worse than an eye."""
    pixels = drawn["images"].reshape(1500, 8, 4, 8, 4, 3).mean((2, 4)).reshape(1500, -1) / 255 - 0.5
    train, test = pixels[:1000], pixels[1000:]
    wanted = np.eye(10)[drawn["labels"][:1000]] - 0.1
    weights = np.linalg.solve(train.T @ train + 30 * np.eye(192), train.T @ wanted)  # ridge regression
    score = np.mean((test @ weights).argmax(1) == drawn["labels"][1000:])
    assert 0.15 < score < 0.5


def test_shapes_stand_in_for_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no CIFAR-10 lies, "auto" draws shapes, says so, and keeps them."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path))
    monkeypatch.setattr(shapes, "ITEMS", (60, 20))
    found = data.load("auto", wanted="cifar10")
    assert (found.name, found.drawn) == ("shapes", True)
    assert found.origin == "drawn by Epochal (edition 1, seed 32)"
    assert found.splits["train"]["images"].shape == (60, 32, 32, 3)
    assert not np.array_equal(found.splits["train"]["images"][:20], found.splits["test"]["images"])
    assert data.load("shapes").sha256 == found.sha256
    assert data.verify("shapes").passed
    assert data.fetch("shapes") == tmp_path / "shapes-1.npz"
