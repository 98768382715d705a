"""The speed benchmark of cvae-faces: both sides train the same network on the same loss."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from epochal.bench._yardsticks import YARDSTICKS
from epochal.systems import recipes
from epochal.systems.recipes import cvae_faces

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CONDITIONS = 5


def copy_weights(mine: Any, plain: Any) -> None:
    """Puts the recipe's weights into the plain program's networks, whose maps are flattened channel by channel."""
    for ours, theirs in (
        *(
            (mine["encoder"].get_submodule(f"conv{i}"), getattr(plain.encoder, f"conv{i}"))
            for i in (1, 2, 3, 4)
        ),
        *(
            (mine["encoder"].get_submodule(head), getattr(plain.encoder, head))
            for head in ("mean", "log_variance")
        ),
        *(
            (mine["decoder"].get_submodule(up), getattr(plain.decoder, up))
            for up in ("up1", "up2", "up3", "out")
        ),
        (mine["decoder"].dense1, plain.decoder.dense1),
    ):
        theirs.load_state_dict(ours.state_dict())
    encoder, decoder = mine["encoder"], mine["decoder"]
    for ours, theirs, shape in (
        (encoder.dense, plain.encoder.dense, (15, 15, 96)),
        (encoder.side_image, plain.encoder.side1, (120, 120, 3)),
        (encoder.side60, plain.encoder.side2, (60, 60, 32)),
        (encoder.side30, plain.encoder.side3, (30, 30, 48)),
    ):
        maps, condition = ours.weight[:, :-CONDITIONS], ours.weight[:, -CONDITIONS:]
        planes = maps.unflatten(1, shape).permute(0, 3, 1, 2).flatten(1)
        theirs.weight.copy_(torch.cat([planes, condition], 1))
        theirs.bias.copy_(ours.bias)
    for ours, theirs, shape in (
        (decoder.dense2, plain.decoder.dense2, (15, 15, 120)),
        (decoder.sides[0], plain.decoder.side15, (15, 15, 120)),
        (decoder.sides[1], plain.decoder.side30, (30, 30, 80)),
        (decoder.sides[2], plain.decoder.side60, (60, 60, 60)),
        (decoder.sides[3], plain.decoder.side120, (120, 120, 40)),
    ):
        planes = ours.weight.unflatten(0, shape).permute(2, 0, 1, 3).flatten(0, 2)
        theirs.weight.copy_(planes)
        theirs.bias.copy_(ours.bias.unflatten(0, shape).permute(2, 0, 1).flatten())


@pytest.mark.filterwarnings("ignore:Using padding=.same.")  # PyTorch remarks on its speed once a process
@pytest.mark.parametrize("version", ["sum-mse", "model-3"])
def test_the_plain_program_computes_the_recipes_loss(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """With equal weights, images and noise both give one loss, penalty included; optimiser and batch are alike."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    plain = importlib.import_module("plain_pytorch_cvae_faces")
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 120, 120), dtype=torch.uint8)
    c = torch.rand(2, CONDITIONS)
    monkeypatch.setattr(plain, "load", lambda source, limit: (images, c, "noise"))
    side = plain.Side("auto", None, 0, **YARDSTICKS["cvae-faces"].versions[version])
    settings = recipes.settings_of(cvae_faces.RECIPE, version)
    nets = cvae_faces.RECIPE.nets(settings)
    with torch.no_grad():
        copy_weights(nets, side)
        for net in (*nets.values(), side.encoder, side.decoder):
            net.eval()
        monkeypatch.setattr(torch, "randn_like", noise)
        theirs = side.loss(images.float() / 255, c)
        mean, log_variance = nets["encoder"](images.float() / 255, c)
        y = nets["decoder"](mean + (log_variance / 2).exp() * noise(mean), c)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        kernels = [p for net in ("encoder", "decoder") for p in nets[net].parameters() if p.dim() == 4]
        penalty = settings.loss.l2 * sum(float(p.square().sum()) for p in kernels)
        mine = settings.loss.weight * (images / 255 - y).square().mean() + kl + penalty
    assert float(theirs) == pytest.approx(float(mine), rel=1e-5)
    adam = side.adam.defaults
    assert (adam["lr"], adam["eps"], plain.BATCH) == (
        settings.optim.lr,
        settings.optim.eps,
        settings.batch_size,
    )
    assert plain.VERSIONS[version] == tuple(YARDSTICKS["cvae-faces"].versions[version].values())


def noise(like: Tensor) -> Tensor:
    """The same numbers for both sides."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))
