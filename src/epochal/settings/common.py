"""Settings that every recipe has; a recipe subclasses `RecipeSettings` and adds its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from epochal.settings.fields import Interval

MOST_EPOCHS = 1_000_000_000


@dataclass(frozen=True)
class DataSettings:
    """Which data, from where, how much."""

    source: str = "auto"
    """Name of the data source; `auto` takes the real data where they are found, else a drawn stand-in."""
    dir: str | None = None
    """Folder that holds the data files (else $EPOCHAL_DATA, else the cache)."""
    limit: Annotated[int, Interval(1)] | None = None
    """Use at most this many training items."""


@dataclass(frozen=True)
class HeldOutDataSettings(DataSettings):
    """Which data, from where, how much, and how many items of them are held out for validation."""

    hold_out: Annotated[int, Interval(0)] = 0
    """How many of the training items, the last in stored order, are not trained on but are the validation split."""


@dataclass(frozen=True)
class StopSettings:
    """When to stop before all epochs are done."""

    patience: Annotated[int, Interval(0)] = 0
    """Stop after this many epochs without improvement of the validation metric (0: never)."""
    loss: Annotated[float, Interval(0, open_low=True)] | None = None
    """Stop at the first step whose training loss is below this."""


@dataclass(frozen=True)
class RecipeSettings:
    """What every recipe can be told."""

    epochs: Annotated[int, Interval(1)] = 1
    """Passes over the training data in total, those before a resume included."""
    steps: Annotated[int, Interval(1)] | None = None
    """Stop after this many optimiser steps in total."""
    batch_size: Annotated[int, Interval(1)] = 32
    """Items a step."""
    clip_grad_norm: Annotated[float, Interval(0, open_low=True)] | None = None
    """Scale the gradient down to this norm when it is longer."""
    data: DataSettings = field(default_factory=DataSettings)
    stop: StopSettings = field(default_factory=StopSettings)

    def __post_init__(self) -> None:
        # Recipes write `epochs` anew with a default of their own: a bound in its annotation would be lost.
        if self.epochs > MOST_EPOCHS:
            typed = f"epochs = {self.epochs:,}" if self.epochs < MOST_EPOCHS**3 else "That number of epochs"
            raise ValueError(f"{typed} is not allowed: {MOST_EPOCHS:,} are the most.")
