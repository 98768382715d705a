"""Quality of images by one call: on real digits, in every form that images come in."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from epochal.evidence.metrics.extractor import Extractor
from epochal.evidence.metrics.image_quality import profile, quality
from epochal.evidence.metrics.kernel_distance import kernel_distance
from epochal.evidence.metrics.manifolds import manifolds
from epochal.evidence.metrics.neighbours import nearest
from epochal.evidence.metrics.sliced_wasserstein import sliced_wasserstein
from epochal.systems.nets.feature_classifier import FeatureClassifier

# Real pictures of 16x16 pixels, every pixel of scikit-learn's digits twice.
PICTURES = (load_digits().images / 16 * 255).round().astype(np.uint8).repeat(2, 1).repeat(2, 2)
NUMBERS = ("fd", "kid", "kid_se", "precision", "recall", "density", "coverage", "swd")


@pytest.fixture(scope="module")
def eye() -> Extractor:
    """A small network with random weights: distances in its features are distances all the same."""
    torch.manual_seed(0)
    return Extractor.of(FeatureClassifier(width=4), "random")


def numbers(found: Any) -> list[float]:
    """All eight."""
    return [getattr(found, name) for name in NUMBERS]


def test_names_and_texts(eye: Extractor) -> None:
    """The names that recipes report, with the floor and the texts they depend on; without other images no floor."""
    found = quality(PICTURES[:600], PICTURES[600:1000], eye, other_real=PICTURES[1000:]).metrics()
    floors = {f"{name}_floor" for name in NUMBERS if name != "kid_se"}
    assert set(found) == {*NUMBERS, *floors, "extractor", "measured_on"}
    assert found["extractor"] == eye.identity
    assert found["measured_on"] == "600 real and 400 generated images; floor: 400 other real images"
    assert floors.isdisjoint(quality(PICTURES[:600], PICTURES[600:1000], eye).metrics())
    few = quality(PICTURES[:600], PICTURES[600:1000], eye, other_real=PICTURES[1000:1100])
    assert "floor: 100 other real images, which are fewer: it is higher than of as many" in few.measured_on


def test_the_floor_is_what_real_images_score(eye: Extractor) -> None:
    """As if the other real images were generated, of as many as there are samples."""
    floor = quality(PICTURES[:600], PICTURES[600:700], eye, other_real=PICTURES[1000:]).floor
    assert floor == quality(PICTURES[:600], PICTURES[1000:1100], eye)


def test_tells_good_samples_from_bad(eye: Extractor) -> None:
    """Other real digits score near the floor, noisy ones are far off on every measure that can tell."""
    rng = np.random.default_rng(0)
    noisy = (PICTURES[600:1200] / 255 + rng.normal(0, 0.3, (600, 16, 16))).clip(0, 1)[:, None]
    bad = quality(PICTURES[:600], noisy, eye, other_real=PICTURES[1197:])
    assert bad.floor is not None
    assert bad.fd > 20 * bad.floor.fd and bad.kid > 5 * bad.kid_se and bad.swd > 2 * bad.floor.swd
    assert bad.precision < 0.7 * bad.floor.precision
    assert abs(bad.floor.kid) < 4 * bad.floor.kid_se


def test_every_form_of_images_is_the_same(eye: Extractor) -> None:
    """uint8 or float, channels first, last or none, NumPy or torch, one array or batches of any size."""
    real, some = profile(PICTURES[:500], eye), PICTURES[500:900]
    floats = torch.from_numpy(some[:, None]).float() / 255
    forms: list[Any] = [
        some[..., None],
        torch.from_numpy(some)[:, None],
        floats,
        floats.double().numpy(),
        [some[:100], some[100:400]],
        (part for part in floats.split(37)),
    ]
    expected = quality(real, some, eye)
    for form in forms:
        # Only how a sum is split differs, and how many images the network sees together.
        assert numbers(quality(real, form, eye)) == pytest.approx(numbers(expected), rel=1e-3, abs=1e-6)


def test_few_images_are_said_to_be_too_few(eye: Extractor) -> None:
    """Where there are no more images than features the text says what that does to FD."""
    assert "too few for FD over 16 features" in quality(PICTURES[:16], PICTURES[16:40], eye).measured_on
    assert "too few" not in quality(PICTURES[:17], PICTURES[17:40], eye).measured_on


def test_refuses_what_does_not_compare(eye: Extractor) -> None:
    """Other extractors, other sizes, almost no images."""
    known = profile(PICTURES[:50], eye)
    with pytest.raises(ValueError, match=r"features of random .* do not compare with those of other"):
        quality(known, PICTURES[:50], replace(eye, name="other"))
    with pytest.raises(ValueError, match=r"real images are \(16, 16, 1\), but generated ones \(8, 8, 1\)"):
        quality(known, PICTURES[:50, :8, :8], eye)
    with pytest.raises(ValueError, match="at least 4 images are needed to measure quality, but got 3"):
        profile(PICTURES[:3], eye)


def test_memory_does_not_grow_with_pairs() -> None:
    """Of 6,000 against 6,000 features a whole matrix would take 288 MB: none of the measures holds half of one."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 6000, 16)).astype(np.float32)
    for measure in (kernel_distance, manifolds, sliced_wasserstein, nearest):
        tracemalloc.start()
        measure(x, y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 120e6, measure.__name__
