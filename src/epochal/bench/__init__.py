"""Benchmarks, each a function: speed against programs written without Epochal, and device against device."""

from epochal.bench._devices import COLUMNS, devices, markdown, tables
from epochal.bench._speed import speed
from epochal.bench._yardsticks import SIDES

__all__ = ["COLUMNS", "SIDES", "devices", "markdown", "speed", "tables"]
