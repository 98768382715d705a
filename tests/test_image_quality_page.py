"""The page that shows how measures of image quality respond: its damages are what it says, and it notes what fails."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from epochal.evidence.metrics.extractor import Extractor
from epochal.evidence.metrics.image_quality import profile
from epochal.systems.nets.feature_classifier import FeatureClassifier

N = 100


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks/image_quality_page.py as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import image_quality_page

    yield image_quality_page
    del sys.modules["image_quality_page"]


@pytest.fixture
def bench(program: Any) -> Any:
    """Real digits seen by a small network with random weights."""
    images, labels = load_digits().images, load_digits().target
    images = (images / 16 * 255).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    torch.manual_seed(0)
    eye = Extractor.of(FeatureClassifier(width=2), "random")
    found = SimpleNamespace(splits={"train": {"images": images, "labels": labels}})
    order = np.random.default_rng(0).permutation(len(images))
    real = images[order[:N]]
    return program.Bench("mnist", eye, None, None, found, profile(real, eye), real, order[N:], N)


def test_damages_are_what_the_page_says(program: Any, bench: Any) -> None:
    """Classes, repetitions and copies counted; noise and blur measured; undamaged images are none of the real ones."""
    labels = bench.found.splits["train"]["labels"]
    images = bench.found.splits["train"]["images"]
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    real = {image.tobytes() for image in bench.real_images}

    def distinct(pictures: Any) -> set[bytes]:
        return {picture.tobytes() for picture in pictures}

    few = program.of_classes(bench, 3.0)
    assert len(few) == N and {label_of[picture] for picture in distinct(few)} == {0, 1, 2}
    assert not real & distinct(few) and not real & distinct(bench.others)
    assert len(distinct(program.repeated(bench, 0.05))) == 5
    assert sum(picture.tobytes() in real for picture in program.copied(bench, 0.25)) == 25
    middle = (bench.others > 60) & (bench.others < 200)  # where nothing is clipped
    grain = program.noisy(bench, 0.1).astype(float) - bench.others
    assert grain[middle].std() == pytest.approx(25.5, rel=0.1)
    assert program.blurred(bench, 2.0).std() < 0.8 * bench.others.std()


def test_the_page_shows_every_experiment_and_what_failed(program: Any, bench: Any, tmp_path: Path) -> None:
    """Tables of undamaged and damaged images, pictures, and a miss by name: a blind network sees no missing class."""
    page = program.Page("quality", "command")
    program.floors(page, [bench], tmp_path)
    for experiment in program.EXPERIMENTS:
        experiment.run(page, [bench], tmp_path)
    text = "\n".join(page.lines)
    for words in ("100 and 100", "noise 0.4", "blur 2", "3 classes", "1% distinct", "100% copied"):
        assert f"| {words} |" in text
    pictures = {path.name for path in tmp_path.iterdir()}
    assert pictures == {
        f"image-quality-{stem}.png" for stem in ("floor", *(e.stem for e in program.EXPERIMENTS))
    }
    assert all(f"({name})" in text for name in pictures)
    assert "\n\n\n" not in text
    assert page.misses and all(f"- {miss.replace(': ', ', ', 1)}: no" in text for miss in page.misses)
