"""Checkpoints: one safetensors file, tensors with the JSON state in its header. One rename: never half."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from epochal.errors import EpochalError
from epochal.journal import atomic


def write(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Writes a checkpoint atomically.

    Args:
        path: the file; replaced as a whole.
        tensors: stored contiguous; a reader copies them into tensors of its own layout.
        state: any JSON value; floats survive exactly (JSON's shortest round-trip form).
    """
    plain: dict[str, torch.Tensor] = {}
    written: set[int] = set()
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu().contiguous()
        # Tied weights are stored under each of their names: safetensors refuses tensors that share memory.
        plain[name] = stored.clone() if stored.data_ptr() in written else stored
        written.add(stored.data_ptr())
    atomic.write_bytes(path, save(plain, metadata={"state": json.dumps(state)}))


def read(path: Path, device: str | torch.device = "cpu") -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads what `write` wrote. Nothing in the file is executed.

    Raises:
        EpochalError: the file is missing, truncated or no checkpoint of Epochal's.
    """
    if not path.exists():
        raise EpochalError(
            f"no checkpoint at {path}.", hint="The run was stopped before its first checkpoint: run it again."
        )
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            state = json.loads((file.metadata() or {})["state"])
            if not isinstance(state, dict):
                raise ValueError("its state is no object")
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise EpochalError(
            f"the checkpoint {path} cannot be read ({error}).",
            hint="Restore it from a copy, or use the other checkpoint of the run (best or last).",
        ) from error
