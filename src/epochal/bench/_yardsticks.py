"""What a recipe's speed is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIDES = ("plain", "lightning", "epochal")


@dataclass(frozen=True)
class Yardstick:
    """What a recipe is measured against.

    Attributes:
        versions: those that can be measured, the default first, each with what the programs' class `Side` must be
            told to train the same.
        programs: files in `benchmarks/`, by side.
        steps: steps in a timed block, where nothing else is asked for.
        rounds: likewise.
        warm_up: likewise.
    """

    versions: Mapping[str, Mapping[str, Any]]
    programs: Mapping[str, str]
    steps: int = 100
    rounds: int = 7
    warm_up: int = 30

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that there are programs for, and Epochal's own."""
        return tuple(side for side in SIDES if side in self.programs or side == "epochal")


_FACES = {"latent": 48, "weight": 500.0, "bounded": True}
_CIFAR10 = {"plain": "plain_pytorch_cifar.py"}
YARDSTICKS = {
    "cvae-digits": Yardstick(
        {"model-2": {}}, {"plain": "plain_pytorch_cvae.py", "lightning": "lightning_cvae.py"}
    ),
    # Steps of a third of a second to several seconds.
    "cvae-faces": Yardstick(
        {
            "sum-mse": _FACES | {"weight": 43_200.0, "bounded": False},
            "model-2": _FACES,
            "model-3": _FACES | {"latent": 110},
        },
        {"plain": "plain_pytorch_cvae_faces.py"},
        steps=4,
        rounds=5,
        warm_up=10,
    ),
    "dcgan-cifar10": Yardstick(
        {"exp-1": {}}, {"plain": "plain_pytorch_dcgan.py"}, steps=4, rounds=5, warm_up=10
    ),
    "vgg16-cifar10": Yardstick(
        {"log": {"network": "vgg16"}, "bn": {"network": "vgg16-bn"}}, _CIFAR10, steps=4, rounds=5, warm_up=10
    ),
    "resnet50-cifar10": Yardstick(
        {"log": {"network": "resnet50-log"}, "standard": {"network": "resnet50"}},
        _CIFAR10,
        steps=4,
        rounds=5,
        warm_up=10,
    ),
}


def blocks(plan: Mapping[str, Any]) -> list[int]:
    """Steps of the warm-up and of each timed block."""
    return [plan["warm_up"], *[plan["steps"]] * plan["rounds"]]
