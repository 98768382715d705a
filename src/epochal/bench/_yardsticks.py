"""What a recipe's speed is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIDES = ("plain", "lightning", "epochal")


@dataclass(frozen=True)
class Yardstick:
    """What a recipe is measured against: a version, and the programs in `benchmarks/` that train the same."""

    version: str
    programs: Mapping[str, str]


YARDSTICKS = {
    "cvae-digits": Yardstick("model-2", {"plain": "plain_pytorch_cvae.py", "lightning": "lightning_cvae.py"})
}


def blocks(plan: Mapping[str, Any]) -> list[int]:
    """Steps of the warm-up and of each timed block."""
    return [plan["warm_up"], *[plan["steps"]] * plan["rounds"]]
