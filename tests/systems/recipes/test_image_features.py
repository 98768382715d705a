"""image-features learns to read images, and what recipes share to measure their samples works on top of it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import epochal
from epochal import settings
from epochal.errors import UsageError
from epochal.evidence.metrics.image_quality import quality
from epochal.settings.common import DataSettings
from epochal.systems import data
from epochal.systems.recipes import _image_quality as shared
from epochal.systems.recipes import image_features
from epochal.training.task import Trained


@pytest.fixture(scope="module")
def mnist(real_data: Path) -> data.Dataset:
    """MNIST, read once."""
    return data.load("mnist")


@pytest.fixture(scope="module")
def helper(mnist: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An extractor trained for seconds on 3,000 real digits, as `evaluate` hands it over."""
    lab = tmp_path_factory.mktemp("lab")
    little = {"net.width": 8, "data.source": "mnist", "data.limit": 3000, "batch_size": 50, "epochs": 2}
    (run,) = epochal.run("image-features", patch=little, lab=lab, precision="float32", show=False)
    found = epochal.load(run.id, lab=lab)
    return Trained(found.settings, {"classifier": found.classifier})


@pytest.fixture(scope="module")
def trained(helper: Trained) -> Trained:
    """A run of some generative recipe with that helper."""
    return Trained(None, {}, helpers={"extractor": helper})


def test_learns_digits(helper: Trained) -> None:
    """Two epochs of 3,000 digits with eight channels read nine of ten test digits: its features are about digits."""
    assert image_features.evaluate(helper, "test")["accuracy"] > 0.9


def test_measures_all_that_is_promised(trained: Trained, mnist: data.Dataset) -> None:
    """Names of the brief and texts; test digits under heavy noise are far above the floor, which is low."""
    rng = np.random.default_rng(0)
    clean = mnist.splits["test"]["images"][1000:2000] / 255
    noisy = (clean + rng.normal(0, 0.4, clean.shape)).clip(0, 1)[:, None]
    real, others, what = shared.real_images(mnist, "test", 1000)
    found = quality(real, np.split(noisy, 4), shared.extractor(trained), other_real=others).metrics()
    names = {metric.name for metric in shared.METRICS} - {"fid"}  # which takes weights of the user's
    floors = {f"{name}_floor" for name in names}
    assert names | floors | {"kid_se", "extractor", "measured_on"} == set(found)
    assert str(found["extractor"]).startswith("image-features/mnist ")
    assert found["measured_on"] == "1,000 real and 1,000 generated images; floor: 1,000 other real images"
    assert what == "real: test images; floor: training images"
    assert float(found["fd"]) > 10 * float(found["fd_floor"])
    assert float(found["precision"]) < 0.5


def test_missing_classes_are_seen_by_recall(trained: Trained, mnist: data.Dataset) -> None:
    """Real digits without 5 to 9 are as precise as all of them, and cover less."""
    test, labels = (mnist.splits["test"][name] for name in ("images", "labels"))
    eye = shared.extractor(trained)
    some = np.flatnonzero(labels[1000:] < 5)[:1000] + 1000
    found = quality(test[:1000], test[some], eye, other_real=test[4000:])
    assert found.floor is not None
    assert found.precision > found.floor.precision - 0.05
    assert found.recall < found.floor.recall - 0.1 and found.coverage < found.floor.coverage - 0.2


def test_copies_are_shown_beside_their_originals(trained: Trained, mnist: data.Dataset) -> None:
    """A training image among the samples has a nearest neighbour at distance 0, the same picture; a new one has not."""
    few = replace(mnist, splits={"train": {"images": mnist.splits["train"]["images"][:500]}})
    samples = np.stack([few.splits["train"]["images"][7], mnist.splits["test"]["images"][0]])
    grid = shared.copies(trained, few, samples, k=3)
    assert grid.images.shape == (2, 4, 28, 28)
    np.testing.assert_array_equal(grid.images[0, 0], grid.images[0, 1])
    assert grid.rows[0] == "0" and float(grid.rows[1]) > 0


def found_with(train: int, test: int) -> Any:
    """A data set whose images are their own numbers, test images from 1,000 on."""
    return SimpleNamespace(
        splits={"train": {"images": np.arange(train)}, "test": {"images": 1000 + np.arange(test)}}
    )


def test_real_images_are_of_the_split_and_the_floor_of_others() -> None:
    """Never one image on both sides; enough test images are used, too few give way to training images."""
    real, others, what = shared.real_images(found_with(100, 50), "test", 40)
    assert real.tolist() == [*range(1000, 1040)] and len({*others}) == 40 and others.max() < 100
    assert what == "real: test images; floor: training images"
    assert others.tolist() != sorted(others)  # its first ones, which the floor takes, stand for all
    real, others, what = shared.real_images(found_with(100, 30), "test", 40)
    assert len({*real, *others}) == 80 and max(*real, *others) < 100
    assert what == "real: 40 training images; floor: 40 other ones"
    # Nor are there enough training images: then the test images there are.
    real, others, _ = shared.real_images(found_with(60, 30), "test", 40)
    assert (len(real), len(others)) == (30, 40)


def test_too_few_training_images_are_said_to_be() -> None:
    """Eight make two sets of four, the least that a kernel distance takes; fewer are refused in words."""
    assert len(shared.real_images(found_with(8, 30), "train", 40)[1]) == 4
    with pytest.raises(UsageError, match="7 training images are too few") as error:
        shared.real_images(found_with(7, 30), "test", 40)
    assert "--data.limit" in (error.value.hint or "")
    with pytest.raises(UsageError, match="3 test images are too few"):
        shared.real_images(found_with(60, 3), "test", 40)


def test_needs_name_the_source_that_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ "auto" becomes the source itself: a helper for photographs must not be trained on digits."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path))
    ((role, (name, patch)),) = shared.needs(DataSettings(), "cifar10").items()
    assert (role, name, patch["data.source"], patch["epochs"]) == (
        "extractor",
        "image-features",
        "shapes",
        10,
    )
    assert shared.needs(DataSettings(source="mnist"))["extractor"][1]["epochs"] == 3


def test_sources_without_classes_are_refused() -> None:
    """Faces have conditions, and no classes: the message names what fits."""
    with pytest.raises(UsageError, match="'drawn-faces-64' has no classes of images") as error:
        image_features.nets(settings.apply(image_features.Settings(), {"data.source": "drawn-faces-64"}))
    assert "mnist" in (error.value.hint or "") and "shapes" in (error.value.hint or "")
