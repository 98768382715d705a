"""Benchmarks, each a function: speed against programs written without Epochal."""

from epochal.bench._speed import speed
from epochal.bench._yardsticks import SIDES

__all__ = ["SIDES", "speed"]
