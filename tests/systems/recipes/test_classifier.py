"""The pieces that recipes of image classifiers share, on a linear classifier of random pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from epochal.errors import UsageError
from epochal.systems.data import Dataset
from epochal.systems.recipes import _classifier as classifier
from epochal.training.task import Batch, Trained

MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def pictures(n: int, *, colours: bool, seed: int = 0) -> dict[str, Any]:
    """Random pictures of 8x8 with labels 0, 1, 2 that their brightness tells."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).astype(np.uint8)
    shape = (n, 8, 8, 3) if colours else (n, 8, 8)
    noise = rng.integers(0, 120, shape)
    return {
        "images": (noise + 60 * labels.reshape(-1, *[1] * (len(shape) - 1))).astype(np.uint8),
        "labels": labels,
    }


def dataset(*, colours: bool = True) -> Dataset:
    """Splits of 40 training, 30 held-out and 700 test pictures."""
    splits = {
        name: pictures(n, colours=colours, seed=n)
        for name, n in (("train", 40), ("validation", 30), ("test", 700))
    }
    return Dataset("pictures", "drawn", True, "0" * 64, ("dark", "grey", "bright"), splits)


class Net(nn.Module):
    """Convolution, mean over pixels, logits; not trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, 12, 3)
        self.dense = nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        """(B, C, 8, 8) → (B, 3)."""
        return self.dense(self.conv(x).relu().mean((2, 3)))


def test_images_are_scaled_by_channel() -> None:
    """x = (image / 255 - mean) / deviation, channel by channel, axes (B, C, H, W), labels int64."""
    batch = {name: torch.from_numpy(column) for name, column in pictures(5, colours=True).items()}
    prepared = classifier.scale(MEAN, DEVIATION)(Batch(batch))
    for channel in range(3):
        plain = (batch["images"][..., channel].double() / 255 - MEAN[channel]) / DEVIATION[channel]
        torch.testing.assert_close(prepared["x"][:, channel].double(), plain, rtol=1e-5, atol=1e-6)
    assert prepared["labels"].dtype == torch.int64


def test_grey_images_get_a_channel() -> None:
    """(n, H, W) becomes (n, 1, H, W); mean 0 and deviation 1 leave pixels in [0, 1]."""
    images = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    prepared = classifier.scale((0.0,), (1.0,))(Batch(images=images, labels=torch.tensor([1])))
    assert prepared["x"].tolist() == [[[[0.0, 1.0]]]]


def test_loss_is_a_mean_over_images_with_its_accuracy() -> None:
    """Cross-entropy as torch has it, on what `augment` returns, with randomness of the given generator alone."""
    net = Net(3)
    batch = Batch(x=torch.randn(6, 3, 8, 8), labels=torch.tensor([0, 1, 2, 0, 1, 2]))

    def noisy(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return x + torch.randn(x.shape, generator=rng)

    rng = torch.Generator().manual_seed(3)
    value, parts = classifier.loss("net", smoothing=0.1, augment=noisy)({"net": net}, batch, rng)
    seen = net(noisy(batch["x"], torch.Generator().manual_seed(3)))
    expected = nn.functional.cross_entropy(seen, batch["labels"], label_smoothing=0.1)
    torch.testing.assert_close(value, expected)
    assert float(parts["accuracy"]) == pytest.approx(
        float((seen.argmax(1) == batch["labels"]).float().mean())
    )


def test_validation_equals_one_pass_over_everything() -> None:
    """Accuracy and cross-entropy over batches of `CHUNK` are those of one forward pass of all images."""
    net, columns = Net(3), dataset().splits["test"]
    prepare = classifier.scale(MEAN, DEVIATION)
    check = classifier.validate("net", columns, prepare)
    assert check is not None and len(columns["labels"]) > classifier.CHUNK
    found = check({"net": net}, torch.Generator())
    batch = prepare(Batch({name: torch.from_numpy(column) for name, column in columns.items()}))
    scores = net(batch["x"])
    assert found["accuracy"] == pytest.approx(float((scores.argmax(1) == batch["labels"]).float().mean()))
    expected = nn.functional.cross_entropy(scores, batch["labels"]).item()
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert classifier.validate("net", None, prepare) is None


def test_evaluate_measures_every_split_and_explains_a_missing_one() -> None:
    """Each metric is there with the interval of the accuracy; a run without held-out images has no such split."""
    net, found = Net(3), dataset()
    prepare = classifier.scale(MEAN, DEVIATION)
    trained = Trained(settings=None, nets={"net": net})
    names = {metric.name for metric in classifier.METRICS} | {"accuracy_low", "accuracy_high", "images"}
    for split in ("train", "validation", "test"):
        values = classifier.evaluate(trained, "net", found, split, prepare)
        assert set(values) == names
        assert values["accuracy_low"] <= values["accuracy"] <= values["accuracy_high"]
        assert values["images"] == len(found.splits[split]["labels"])
    splits = {name: columns for name, columns in found.splits.items() if name != "validation"}
    without = Dataset("pictures", "drawn", True, "", found.classes, splits)
    with pytest.raises(UsageError, match="held no training images out"):
        classifier.evaluate(trained, "net", without, "validation", prepare)


@pytest.mark.parametrize("colours", [False, True])
def test_figures_show_what_they_say(colours: bool) -> None:
    """Rows of the confusion add up to 100 %, blank where nothing is read so; filters are grey at 0; a mistake is shown
    where it happened."""
    net, found = Net(3 if colours else 1), dataset(colours=colours)
    prepare = classifier.scale(MEAN, DEVIATION) if colours else classifier.scale((0.0,), (1.0,))
    drawn: Any = classifier.figures(Trained(settings=None, nets={"net": net}), "net", found, prepare)
    assert set(drawn) == {"confusion", "reliability", "first_layer", "answers"}
    np.testing.assert_allclose(np.nansum(drawn["confusion"].values, axis=1), 100)
    assert not (drawn["confusion"].values == 0).any() and drawn["confusion"].scale == (0, 100)
    shape = (2, 8, 3, 3, 3) if colours else (2, 8, 3, 3)
    assert drawn["first_layer"].images.shape == shape and drawn["first_layer"].images.dtype == np.uint8
    kernel = net.conv.weight[0, 0].detach().numpy()
    first = drawn["first_layer"].images[0, 0]
    seen = first[..., 0] if colours else first
    assert np.array_equal(seen > 127, kernel > 0)  # white is positive, black negative

    answers = drawn["answers"].images
    columns = found.splits["test"]
    scores = (
        net(prepare(Batch({k: torch.from_numpy(v) for k, v in columns.items()}))["x"]).softmax(1).detach()
    )
    for label in range(3):
        for answer in range(3):
            there = np.flatnonzero((columns["labels"] == label) & (scores.argmax(1).numpy() == answer))
            if len(there):
                surest = there[scores[there, answer].argmax()]
                np.testing.assert_array_equal(answers[label, answer], columns["images"][surest])
            else:
                assert (answers[label, answer] == 255).all()


def test_total_steps_counts_the_smaller_last_batch() -> None:
    """Three epochs of 10 images in batches of 4 are 9 steps, unless fewer were asked for."""

    @dataclass
    class Asked:
        epochs: int = 3
        batch_size: int = 4
        steps: int | None = None

    assert classifier.total_steps(Asked(), 10) == 9
    assert classifier.total_steps(Asked(steps=5), 10) == 5
    assert classifier.total_steps(Asked(steps=50), 10) == 9
