"""unet: labels every pixel of a picture: membranes, the things on a photograph, or nuclei.

Ronneberger, Fischer and Brox 2015. Read from top to bottom: settings, versions, network, training, measuring, drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.systems.recipes import _segmentation as shared
from epochal.training.task import ImageGrid, Recipe, Task, Trained, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epochal.training.task import Figure, Nets


@dataclass(frozen=True)
class Net:
    """Size of the network."""

    base: Annotated[int, Interval(1, 256)] = 16
    """Channels of the first convolutions, 16 times as many at the bottom; the paper has 64."""
    root: bool = False
    """Read the square root of brightness, in which the noise of counted light is equally strong everywhere."""


@dataclass(frozen=True)
class Settings(shared.Settings):
    """Everything that can be set."""

    net: Net = field(default_factory=Net)


VERSIONS = (
    Version("membranes", change="slices of 512x512 in crops of 128x128, split in blocks of neighbours"),
    Version(
        "voc",
        parent="membranes",
        change="photographs of 21 classes, scaled to 256x256, in mirrored crops of 128x128",
        patch={
            "data.wanted": "voc2012",
            "data.hold_out": 60,
            "data.positions": "mirrored",
            "crops": 1,
            "epochs": 40,
            "net.base": 32,
        },
    ),
    Version(
        "nuclei",
        parent="membranes",
        change="256x256 images of nuclei in crops of 96x96, a few under stray light, split by image",
        patch={
            "data.wanted": "nuclei",
            "data.hold_out": 34,
            "data.crop": 96,
            "data.haze": 0.4,
            "crops": 4,
            "epochs": 15,
            "net.root": True,
            "average": True,
        },
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    from epochal.systems.nets.unet import UNet

    channels, classes = shared.outputs(settings)
    return {"unet": UNet(channels, classes, settings.net.base, root=settings.net.root)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the pictures and says how to train."""
    return shared.task("unet", settings)


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Overlap, and for membranes regions, on whole pictures of a split."""
    return shared.evaluate(trained, "unet", shared.read(trained.settings), split)


def figures(trained: Trained) -> Mapping[str, Figure]:
    """Overlays of test pictures; of more than two classes also the confusion."""
    return shared.figures(trained, "unet", shared.read(trained.settings))


def generate(trained: Trained, request: shared.Request) -> ImageGrid:
    """What the network finds on the user's picture."""
    return shared.segment(trained, "unet", request)


RECIPE = Recipe(
    name="unet",
    summary="U-Net: labels every pixel of a picture (nuclei, membranes, photographs)",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=shared.METRICS,
    evaluate=evaluate,
    generate=generate,
    request=shared.Request,
    figures=figures,
    data="nuclei, ISBI 2012 membranes or VOC2012; drawn cells offline",
    sources=("nuclei", "membranes", "voc2012"),
    minutes=4.0,
)
