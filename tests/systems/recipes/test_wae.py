"""wae: what is watched on held-out images while it trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from epochal.settings import apply
from epochal.systems import recipes
from epochal.systems.data import glyphs
from epochal.systems.recipes import wae


@pytest.mark.parametrize(("version", "watched"), [("mlp", {"loss"}), ("gan", set())])
def test_watched_values_are_what_training_calls_by_the_same_name(
    version: str, watched: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the kernel the held-out images have the loss that is trained. Beside an adversary they have none: figures
    and the log would show another quantity as "validation loss" next to the sum of both phases' losses."""
    monkeypatch.setattr(glyphs, "ITEMS", (60, 20))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path))
    little = {"data.source": "glyphs", "data.hold_out": 20, "net.hidden": 8, "net.latent": 2}
    settings = apply(recipes.settings_of(wae.RECIPE, version), little)
    nets = wae.nets(settings)
    task = wae.build(settings, nets)
    assert task.validate is not None
    with torch.no_grad():
        found = {name: float(value) for name, value in task.validate(nets, torch.Generator()).items()}
    assert set(found) == {"reconstruction", "mmd"} | watched
    if watched:
        assert found["loss"] == pytest.approx(found["reconstruction"] + settings.loss.weight * found["mmd"])
