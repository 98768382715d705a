"""The speed benchmark of dcgan-cifar10: both sides take the same steps."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from epochal.systems import recipes
from epochal.systems.data.dataset import Dataset
from epochal.systems.recipes import dcgan_cifar10
from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Batch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def copy_weights(mine: Any, plain: Any) -> None:
    """Puts the recipe's weights into the plain program's networks, whose maps are flattened channel by channel."""
    generator, discriminator = mine["generator"], mine["discriminator"]
    shape = (8, 8, 256)
    plain.generator.dense.weight.copy_(
        generator.dense.weight.unflatten(0, shape).permute(2, 0, 1, 3).flatten(0, 2)
    )
    for layer, name in zip(generator.layers, ("up1", "up2", "up3"), strict=True):
        getattr(plain.generator, name).load_state_dict(layer.state_dict())
    for name in ("conv1", "conv2"):
        getattr(plain.discriminator, name).load_state_dict(getattr(discriminator, name).state_dict())
    maps = discriminator.dense.weight.unflatten(1, (8, 8, 128)).permute(0, 3, 1, 2)
    plain.discriminator.dense.weight.copy_(maps.flatten(1))


def test_the_plain_program_takes_the_recipes_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal weights, images and noise and no dropout, both have the same losses step by step, from Adams alike."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    plain = importlib.import_module("plain_pytorch_dcgan")
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    monkeypatch.setattr(plain, "load", lambda source, limit: (images, "noise"))
    monkeypatch.setattr(torch, "randperm", torch.arange)
    side = plain.Side("auto", None, 0)
    side.discriminator.dropout.p = 0.0
    settings = recipes.settings_of(dcgan_cifar10.RECIPE, "exp-1")
    assert settings.batch_size == plain.BATCH
    splits = {"train": {"images": images.permute(0, 2, 3, 1).numpy()}}
    found = Dataset("noise", "drawn here", True, "", (), splits)
    monkeypatch.setattr(dcgan_cifar10, "photographs", lambda settings: found)
    torch.manual_seed(0)
    nets = dcgan_cifar10.nets(settings)
    for dropout in (nets["discriminator"].dropout1, nets["discriminator"].dropout2):
        dropout.p = 0.0
    learner = TorchLearner(dcgan_cifar10.build(settings, nets), nets, 0, torch.device("cpu"), Choices())
    with torch.no_grad():
        copy_weights(nets, side)
    rng = torch.Generator()
    rng.set_state(learner.noise.get_state())
    draw = torch.randn
    monkeypatch.setattr(plain.torch, "randn", lambda *shape: draw(*shape, generator=rng))
    theirs = [side.run(1)[1] for _ in range(3)]
    monkeypatch.undo()
    mine = []
    for _ in range(3):
        learner.step(dcgan_cifar10.prepare(Batch(images=images.permute(0, 2, 3, 1))))
        mine.append(learner.latest()["loss"])
    assert theirs == pytest.approx(mine, rel=1e-4)
    for adam in (side.adam_g, side.adam_d):
        assert [adam.defaults[key] for key in ("lr", "eps", "betas")] == [1e-4, 1e-7, (0.9, 0.999)]
