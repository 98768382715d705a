"""unet: its versions, trained end to end on drawn cells and tissue, and what it must reach on real nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import epochal
from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.journal import Run
from epochal.systems import recipes
from epochal.systems.data import cells
from epochal.training import checkpoint

RECIPE = recipes.find("unet")
SMALL = {"net.base": 2, "epochs": 1, "crops": 1, "batch_size": 4, "data.crop": 32, "data.hold_out": 2}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A few small drawn items of each kind in a cache of their own."""
    home = tmp_path_factory.mktemp("unet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CELLS_ITEMS", "TISSUE_ITEMS", "STAINED_ITEMS"):
            patch.setattr(cells, name, (8, 2))
        patch.setattr(cells, "SIDE", 64)
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.delenv("EPOCHAL_DATA", raising=False)
        yield home


def train(home: Path, version: str, **patch: Any) -> Run:
    """A small run of a version, as the verb `run` trains it."""
    changes = {**SMALL, **{key.replace("__", "."): value for key, value in patch.items()}}
    (run,) = epochal.run(
        "unet", version, patch=changes, precision="bfloat16", threads=1, lab=home / "lab", show=False
    )
    return run


@pytest.fixture(scope="module")
def runs(drawn: Path) -> dict[str, Run]:
    """One small run of each version on what stands in for its data."""
    return {version.name: train(drawn, version.name) for version in RECIPE.versions}


def test_the_versions() -> None:
    """Each wants its own data; nuclei, in crops of 96x96, is what `epochal run unet` trains."""
    in_force = {v.name: settings_room.flatten(recipes.settings_of(RECIPE, v.name)) for v in RECIPE.versions}
    assert list(in_force) == ["membranes", "voc", "nuclei"]
    assert [s["data.wanted"] for s in in_force.values()] == ["membranes", "voc2012", "nuclei"]
    assert [s["data.crop"] for s in in_force.values()] == [128, 128, 96]
    assert all(s["data.source"] == "auto" and s["data.hold_out"] > 0 for s in in_force.values())


def test_every_version_trains_on_its_stand_in(runs: dict[str, Run]) -> None:
    """Finished, honest about drawn data, validated on whole pictures, figures drawn."""
    for version, (source, channels, classes) in {
        "membranes": ("tissue", 1, 2),
        "voc": ("stained-cells", 3, 21),
        "nuclei": ("cells", 1, 2),
    }.items():
        run = runs[version]
        assert run.status == "finished" and run.meta["data"]["name"] == source
        assert run.meta["data"]["drawn"] is True
        assert set(run.epoch_values()) == {"loss", "cross_entropy", "dice_loss"}
        assert set(run.epoch_values("validation")) == {"loss", "iou"}
        drawn = {file.name for file in run.figures_dir.iterdir()}
        assert {"overlays.png", "loss.png"} <= drawn and ("confusion.png" in drawn) == (version == "voc")
        net = epochal.load(run.id, lab=run.path.parent).unet
        assert net(torch.zeros(1, channels, 20, 33)).shape == (1, classes, 20, 33)


def test_an_epoch_has_so_many_crops_of_every_picture(drawn: Path) -> None:
    """Six pictures, three crops of each, four crops a step: twice three steps."""
    run = train(drawn, "nuclei", crops=3)
    assert run.meta["steps_done"] == 6


def test_the_best_epoch_by_iou_is_kept(drawn: Path) -> None:
    """The best checkpoint is of the epoch with the highest IoU on the held-out pictures."""
    run = train(drawn, "nuclei", epochs=3)
    scores = dict(run.epoch_values("validation")["iou"])
    _, state = checkpoint.read(run.checkpoints_dir / "best.safetensors")
    assert scores[state["epoch"]] == max(scores.values())


def test_evaluation_fits_the_data(runs: dict[str, Run]) -> None:
    """Regions are measured for membranes alone; classes are named; few images have a wide interval."""
    measured = {v: epochal.evaluate(run.id, lab=run.path.parent) for v, run in runs.items()}
    assert all(0 <= m["iou_low"] <= m["iou"] <= m["iou_high"] <= 1 for m in measured.values())
    assert {"rand", "rand_split", "rand_merge", "rand_unthinned", "iou_membrane"} <= set(
        measured["membranes"]
    )
    assert "rand" not in measured["nuclei"] and "iou_nucleus" in measured["nuclei"]
    assert any(name.startswith("iou_blue") for name in measured["voc"])
    known = {metric.name for metric in RECIPE.metrics}
    assert {"iou", "iou_image", "dice", "mean_iou", "pixel_accuracy", "pixel_error"} <= known & set(
        measured["nuclei"]
    )


def test_generate_draws_on_the_users_picture(runs: dict[str, Run], tmp_path: Path) -> None:
    """`epochal generate RUN --image FILE.png` writes the picture beside what was found on it."""
    grey = np.random.default_rng(0).integers(0, 90, (61, 75)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "mine.png")
    run = runs["nuclei"]
    out = epochal.generate(
        run.id, out=tmp_path / "overlay.png", lab=run.path.parent, image=str(tmp_path / "mine.png")
    )
    assert Image.open(out).size[0] > 2 * 75


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"data.source": "glyphs"}, "holds 28x28 grey images with labels; grey pictures with masks"),
        ({"data.source": "stained-cells"}, "grey pictures with masks of two classes are needed"),
        ({"data.crop": 400}, "data.crop is 400, but the pictures of cells are 64 pixels across"),
        ({"data.hold_out": 8}, "none would be left"),
    ],
)
def test_settings_that_do_not_fit(drawn: Path, patch: dict[str, Any], message: str) -> None:
    """Data of another kind, crops larger than the pictures, nothing left to train on: wrong usage, and why."""
    with pytest.raises(UsageError, match=message):
        epochal.run("unet", "nuclei", patch={**SMALL, **patch}, lab=drawn / "lab", show=False)


def test_nothing_held_out(drawn: Path) -> None:
    """Without held-out pictures it trains all the same; nothing is validated and the last weights are the best."""
    run = train(drawn, "nuclei", data__hold_out=0)
    assert run.status == "finished" and not run.epoch_values("validation")
