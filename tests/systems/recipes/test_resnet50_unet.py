"""resnet50-unet: its two versions, and 22 classes learnt from a folder in VOC's layout and from drawn cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import epochal
from epochal import settings as settings_room
from epochal.systems import recipes
from epochal.systems.data import cells
from epochal.systems.data import voc as voc2012

RECIPE = recipes.find("resnet50-unet")
SMALL = {"net.width": 4, "epochs": 1, "batch_size": 4, "data.hold_out": 1}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "STAINED_ITEMS", (8, 2))
    for source in (cells, voc2012):
        monkeypatch.setattr(source, "SIDE", 64)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)


def test_the_versions() -> None:
    """22 logits at 256x256; the log's network ends at 1/8, the full one adds two stages and is trained on crops."""
    log, full = (recipes.settings_of(RECIPE, name) for name in ("log", "full"))
    assert settings_room.diff(log, full) == {"net.stages": (2, 4), "data.crop": (None, 128)}
    for settings, deepest in ((log, 512), (full, 2048)):
        net = RECIPE.nets(settings)["unet"].eval()
        assert net.head.out_channels == 22
        assert net.stages[-1][-1].conv3.out_channels == deepest
    with torch.no_grad():
        small = RECIPE.nets(settings_room.apply(full, {"net.width": 4}))["unet"].eval()
        assert small(torch.zeros(1, 3, 256, 256)).shape == (1, 22, 256, 256)


def voc(folder: Path) -> None:
    """VOC2012's layout with six photographs: a coloured square, whose colour tells its class, in a void rim."""
    root = folder / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"2007_{number:06d}" for number in range(6)]
    for number, name in enumerate(names):
        image = rng.integers(90, 120, (300, 400, 3)).astype(np.uint8)
        mask = np.zeros((300, 400), np.uint8)
        kind = 1 + number % 2
        mask[75:225, 95:305], image[80:220, 100:300] = 255, (220, 30, 30) if kind == 1 else (30, 30, 220)
        mask[80:220, 100:300] = kind
        Image.fromarray(image).save(root / "JPEGImages" / f"{name}.jpg")
        picture = Image.fromarray(mask, "P")
        picture.putpalette([value % 256 for value in range(768)])
        picture.save(root / "SegmentationClass" / f"{name}.png")
    for name, items in (("train", names[:4]), ("val", names[4:])):
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(items))


def test_it_learns_from_vocs_layout(tmp_path: Path) -> None:
    """A folder in the challenge's layout is found by `auto`; thirty steps find the test pictures' squares."""
    voc(tmp_path)
    patch = {
        **SMALL,
        "data.dir": str(tmp_path),
        "net.width": 16,
        "data.hold_out": 0,
        "crops": 30,
        "optim.lr": 0.05,
    }
    (run,) = epochal.run(
        "resnet50-unet", "log", patch=patch, precision="bfloat16", threads=1, lab=tmp_path / "lab", show=False
    )
    assert run.meta["data"]["name"] == "voc2012" and run.meta["data"]["drawn"] is False
    assert set(run.epoch_values()) == {"loss", "cross_entropy"}
    measured = epochal.evaluate(run.id, lab=tmp_path / "lab")
    assert measured["mean_iou"] > 0.9
    assert {"iou_background", "iou_aeroplane", "iou_bicycle"} <= set(measured)


@pytest.mark.parametrize("version", ["log", "full"])
def test_it_trains_on_drawn_cells(tmp_path: Path, version: str) -> None:
    """Offline: twenty drawn kinds in VOC's form, overlays and the confusion drawn."""
    (run,) = epochal.run(
        "resnet50-unet",
        version,
        patch={**SMALL, "data.crop": None},  # the pictures of tests are small
        precision="bfloat16",
        threads=1,
        lab=tmp_path / "lab",
        show=False,
    )
    assert run.status == "finished" and run.meta["data"]["name"] == "stained-cells"
    assert {"overlays.png", "confusion.png"} <= {file.name for file in run.figures_dir.iterdir()}
