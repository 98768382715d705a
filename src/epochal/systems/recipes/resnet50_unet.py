"""resnet50-unet: a U-Net whose way down is ResNet-50, for the 22 classes of PASCAL VOC: 20 kinds, background, border.

The weights begin at random: no pretrained ones are used. Read from top to bottom: settings, versions, network,
training, measuring, drawing.
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

    stages: Annotated[int, Interval(1, 4)] = 2
    """Stages of ResNet-50 on the way down: 2 end with 512 channels at 1/8, 4 with 2,048 at 1/32."""
    width: Annotated[int, Interval(2, 256)] = 64
    """Channels of the stem; 64 is ResNet-50."""


@dataclass(frozen=True)
class Settings(shared.Settings):
    """Everything that can be set."""

    epochs: Annotated[int, Interval(1)] = 30
    """Passes over the training data in total, those before a resume included."""
    crops: Annotated[int, Interval(1)] = 1
    """Random crops of every picture in an epoch."""
    batch_size: Annotated[int, Interval(1)] = 8
    """Pictures a step."""
    data: shared.DataSettings = field(
        default_factory=lambda: shared.DataSettings(
            wanted="voc2012", hold_out=60, crop=None, positions="mirrored"
        )
    )
    loss: shared.LossSettings = field(
        default_factory=lambda: shared.LossSettings(kind="cross-entropy", border="class")
    )
    net: Net = field(default_factory=Net)


VERSIONS = (
    Version("log", change="ResNet-50's stem and first two stages: 256 channels at 1/4, 512 at 1/8"),
    Version(
        "full",
        parent="log",
        change="all four stages: also 1,024 channels at 1/16 and 2,048 at 1/32; random crops of 128x128",
        patch={"net.stages": 4, "data.crop": 128},
    ),
)


def nets(settings: Settings) -> dict[str, Any]:
    """The network."""
    from epochal.systems.nets.resnet_unet import ResNetUNet

    channels, classes = shared.outputs(settings)
    return {"unet": ResNetUNet(channels, classes, settings.net.stages, settings.net.width)}


def build(settings: Settings, nets: Nets) -> Task:
    """Reads the pictures and says how to train."""
    return shared.task("unet", settings)


def evaluate(trained: Trained, split: str) -> dict[str, float]:
    """Overlap of the 21 classes on whole pictures of a split; the border counts for nothing, as in the challenge."""
    return shared.evaluate(trained, "unet", shared.read(trained.settings), split)


def figures(trained: Trained) -> Mapping[str, Figure]:
    """Overlays of test pictures, and which class is taken for which."""
    return shared.figures(trained, "unet", shared.read(trained.settings))


def generate(trained: Trained, request: shared.Request) -> ImageGrid:
    """What the network finds on the user's picture."""
    return shared.segment(trained, "unet", request)


RECIPE = Recipe(
    name="resnet50-unet",
    summary="U-Net over ResNet-50: the 22 classes of VOC photographs, pixel by pixel",
    settings=Settings,
    versions=VERSIONS,
    nets=nets,
    build=build,
    metrics=shared.METRICS,
    evaluate=evaluate,
    generate=generate,
    request=shared.Request,
    figures=figures,
    data="VOC2012; drawn stained cells offline",
    sources=("voc2012",),
    minutes=300.0,
)
