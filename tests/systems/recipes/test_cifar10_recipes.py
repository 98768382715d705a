"""The CIFAR-10 recipes: what their settings mean for the optimiser, the schedule, and the images."""

from __future__ import annotations

import pytest
import torch

from epochal.systems import recipes
from epochal.systems.recipes import _cifar10 as cifar10

NAMES = ("vgg16-cifar10", "resnet50-cifar10", "resnet18-cifar10")


@pytest.mark.parametrize("name", NAMES)
def test_the_full_version_ends_its_schedule_with_its_training(name: str) -> None:
    """The schedule runs over all steps of all epochs: at the last one the rate is nearly 0, halfway it is not."""
    settings = recipes.settings_of(recipes.find(name), "full")
    optimiser = cifar10.optimiser(settings, 50_000)
    assert optimiser.schedule is not None
    steps = settings.epochs * -(-50_000 // settings.batch_size)
    assert optimiser.schedule(steps - 1, settings.epochs) < 1e-4
    assert optimiser.schedule(steps // 2, settings.epochs // 2) > 0.4


def test_weight_decay_leaves_norms_and_biases_alone() -> None:
    """Decay acts on kernels and matrices only (He et al. 2019): pulling a norm's scale to zero regularises nothing."""
    from epochal.systems.nets.resnet import ResNet18

    decay_on = cifar10.optimiser(cifar10.Settings(), 100).decay_on
    assert decay_on is not None
    decayed = {name for name, p in ResNet18(width=4).named_parameters() if decay_on(name, tuple(p.shape))}
    assert "stem.0.weight" in decayed and "head.weight" in decayed
    assert not any("norm" in name or name.endswith("bias") for name in decayed)


def test_the_logged_versions_train_as_logged() -> None:
    """One epoch, batch 100, Adam at a constant 0.001, images as they are: what the log names and nothing else."""
    for name in ("vgg16-cifar10", "resnet50-cifar10"):
        settings = recipes.settings_of(recipes.find(name), "log")
        optimiser = cifar10.optimiser(settings, 50_000)
        assert (settings.epochs, settings.batch_size) == (1, 100)
        assert (optimiser.name, optimiser.lr, optimiser.schedule) == ("adam", 1e-3, None)
        assert cifar10.augmentation(settings.augment) is None


def test_augmentation_changes_images_and_draws_from_the_generator_alone() -> None:
    """The same generator gives the same pictures, another one others; shape and type stay."""
    change = cifar10.augmentation(cifar10.Augment(crop=4, flip=True, cutout=8))
    assert change is not None
    x = torch.randn(8, 3, 32, 32)
    first, again, other = (change(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == x.shape and first.dtype == x.dtype
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, x)
