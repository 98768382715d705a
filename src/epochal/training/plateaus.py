"""What a phase with a `Plateau` remembers of the validation: the best value, the wait since, the factor so far."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from epochal.errors import EpochalError
from epochal.training.task import Plateau


class PlateauWatch:
    """A plateau at work. `factor` multiplies the learning rate."""

    def __init__(self, phase: str, plateau: Plateau) -> None:
        self.phase, self.plateau = phase, plateau
        self.best: float | None = None
        self.waited = 0
        self.factor = 1.0

    def see(self, values: Mapping[str, float]) -> str | None:
        """Looks at an epoch's validation; says so when the learning rate falls.

        Raises:
            EpochalError: the value that is watched is not among them.
        """
        plateau = self.plateau
        if plateau.of not in values:
            raise EpochalError(
                f"The phase {self.phase} watches the validation value {plateau.of!r}, which there is not.",
                hint=f"The recipe's `validate` gives {', '.join(values)}.",
            )
        value = values[plateau.of]
        if isfinite(value) and (self.best is None or value < self.best):
            self.best, self.waited = value, 0
            return None
        self.waited += 1
        lower = max(self.factor * plateau.factor, plateau.least)
        if self.waited < plateau.patience or lower >= self.factor:
            return None
        self.waited, self.factor = 0, lower
        of = plateau.of.removeprefix(f"{self.phase}/")
        return f"{self.phase}: {of} no longer falls, learning rate times {lower:g} from now on"

    def state(self) -> Tensor:
        """Everything to go on from, exactly: (best, waited, factor); no best is none yet."""
        best = [] if self.best is None else [self.best]
        return torch.tensor([self.factor, self.waited, *best], dtype=torch.float64)

    def load(self, state: Tensor) -> None:
        """Puts back what `state` gave."""
        self.factor, waited, *best = state.tolist()
        self.waited, self.best = int(waited), best[0] if best else None
