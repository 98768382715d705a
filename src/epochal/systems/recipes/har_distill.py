"""har-distill: a small network learns from a larger one what somebody does (Hinton, Vinyals and Dean 2015).

The student reads the same five seconds of the raw signal as its teacher. The teacher is trained first, once, and kept;
its answers are computed once. `averaged-kl` has the fault of many programs: a divergence averaged over classes too,
without T². Of the gradient it then has a fourteenth of what it is meant to have, which a probe measures and says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from epochal.systems.recipes import _distillation as distillation
from epochal.systems.recipes import _har_legacy
from epochal.systems.recipes import _wearables as wearables
from epochal.training.task import Recipe, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epochal.training.task import Nets, Task, Trained

NET = wearables.NET


@dataclass(frozen=True)
class Settings(distillation.Settings):
    """Everything that can be set."""

    teacher: distillation.Teacher = field(default_factory=distillation.Teacher)


def roles(settings: Settings) -> list[distillation.Role]:
    """The one teacher."""
    return [distillation.Role("teacher", settings.teacher)]


def nets(settings: Settings) -> dict[str, Any]:
    """The student, for the channels and classes of the data."""
    return nets_of(settings, wearables.read(settings).about)


def nets_of(settings: Settings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The student, for what a run noted of its data."""
    return {NET: wearables.network(settings.net.name, about)}


def needs_to_train(settings: Settings) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """The teacher, unless a checkpoint is named."""
    return distillation.needs(settings, roles(settings))


def build(settings: Settings, nets: Nets, helpers: Mapping[str, Trained] | None = None) -> Task:
    """Reads the windows, asks the teacher, and says how to train the student."""
    return distillation.build(settings, nets, helpers or {}, roles(settings))


RECIPE = Recipe(
    name="har-distill",
    summary="a small network for activity recognition learns from a larger one",
    settings=Settings,
    versions=(
        Version("resnet8", parent="wrn16-1", change="the student is ResNet8", patch={"net.name": "resnet8"}),
        Version(
            "averaged-kl",
            parent="wrn16-1",
            change="a fault: the divergence averaged over classes too, without T²",
            patch={"paper_compat.averaged_kl": True},
        ),
        Version(
            "logged",
            parent="wrn16-1",
            change="Adam for 200 epochs",
            patch={"epochs": 200, "optim.name": "adam"},
        ),
        Version(
            "cifar10",
            parent="wrn16-1",
            change="2-D networks on the pictures of CIFAR-10, cropped and mirrored: WRN-40-2 teaches WRN-16-2",
            patch={
                "data.name": "cifar10",
                "teacher.net": "wrn40-2",
                "net.name": "wrn16-2",
                "augment.crop": 4,
                "augment.flip": True,
            },
        ),
        # The last one is what `epochal run har-distill` trains.
        Version("wrn16-1", change="WRN28-1 teaches WRN16-1: λ = 0.7, T = 4"),
    ),
    nets=nets,
    nets_of=nets_of,
    needs_to_train=needs_to_train,
    build=build,
    evaluate=wearables.evaluate,
    figures=wearables.figures,
    legacy=_har_legacy.read,
    minutes=6.0,
    **wearables.parts(),
)
