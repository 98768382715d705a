"""har-distill-two-teachers: a small network learns from two: one sees the signal, one its topology.

Teacher A reads persistence images of the channels (2-D), teacher B the raw signal (1-D); the student reads the raw
signal only, so that a watch needs no topology. To the soft answers comes what both find alike (Tung and Mori 2019).
After Jeon et al., "Topological Knowledge Distillation for Wearable Sensor Data", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from epochal.settings import Interval
from epochal.systems.recipes import _distillation as distillation
from epochal.systems.recipes import _har_legacy
from epochal.systems.recipes import _wearables as wearables
from epochal.training.task import Recipe, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epochal.training.task import Nets, Task, Trained

NET = wearables.NET


@dataclass(frozen=True)
class Loss(distillation.Loss):
    """What the student learns: labels, both teachers' soft answers, and what both find alike."""

    lam: Annotated[float, Interval(0, 1)] = 0.99
    """λ: share of the teachers' answers; 1 - λ is the labels'."""
    a: Annotated[float, Interval(0, 1)] = 0.7
    """Share of teacher A, of answers and of maps; 1 - a is teacher B's."""
    sp_weight: Annotated[float, Interval(0)] = 700.0
    """γ: weight of the similarity-preserving term; 0 leaves it out."""


@dataclass(frozen=True)
class TopologyTeacher(distillation.Teacher):
    """Teacher A: a 2-D network that reads persistence images."""

    net: str = "wrn16-1"
    """Its name: wrn16-1, wrn28-1, wrn40-2, resnet8, resnet18, …"""


@dataclass(frozen=True)
class Settings(distillation.Settings):
    """Everything that can be set."""

    loss: Loss = field(default_factory=Loss)
    teacher: TopologyTeacher = field(default_factory=TopologyTeacher)
    teacher2: distillation.Teacher = field(default_factory=distillation.Teacher)


def roles(settings: Settings) -> list[distillation.Role]:
    """Teacher A on persistence images, teacher B on the signal."""
    share = settings.loss.a
    return [
        distillation.Role("a", settings.teacher, share, "persistence"),
        distillation.Role("b", settings.teacher2, 1 - share, "signal"),
    ]


def nets(settings: Settings) -> dict[str, Any]:
    """The student, for the channels and classes of the data."""
    return nets_of(settings, wearables.read(settings).about)


def nets_of(settings: Settings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The student, for what a run noted of its data."""
    return {NET: wearables.network(settings.net.name, about)}


def needs_to_train(settings: Settings) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """The teachers for whom no checkpoint is named."""
    return distillation.needs(settings, roles(settings))


def build(settings: Settings, nets: Nets, helpers: Mapping[str, Trained] | None = None) -> Task:
    """Reads the windows, asks both teachers, and says how to train the student."""
    return distillation.build(settings, nets, helpers or {}, roles(settings))


RECIPE = Recipe(
    name="har-distill-two-teachers",
    summary="a small network learns from the signal's teacher and from its topology's",
    settings=Settings,
    versions=(
        Version("no-sp", parent="wrn16-1", change="soft answers only", patch={"loss.sp_weight": 0.0}),
        Version(
            "logged",
            parent="wrn16-1",
            change="Adam for 200 epochs",
            patch={"epochs": 200, "optim.name": "adam"},
        ),
        # The last one is what `epochal run har-distill-two-teachers` trains.
        Version(
            "wrn16-1", change="WRN16-1 learns from WRN16-1 (2-D) and WRN28-1 (1-D): λ = 0.99, T = 4, γ = 700"
        ),
    ),
    nets=nets,
    nets_of=nets_of,
    needs_to_train=needs_to_train,
    build=build,
    evaluate=wearables.evaluate,
    figures=wearables.figures,
    legacy=_har_legacy.read,
    minutes=40.0,
    **wearables.parts(),
)
