"""Named random streams: every use of randomness has its own generator, derived from the run's seed by name.

Two runs with one seed then share their data order even when one of them draws more noise.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, name: str) -> int:
    """The 63-bit seed of stream `name` under `seed`: the head of SHA-256("seed/name")."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_stream(seed: int, name: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for stream `name`, on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, name))


def numpy_stream(seed: int, name: str) -> np.random.Generator:
    """A NumPy generator (PCG64) for stream `name`."""
    import numpy as np

    return np.random.default_rng(derive(seed, name))
