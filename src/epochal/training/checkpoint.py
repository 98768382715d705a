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
            f"no checkpoint at {path}.",
            hint="The first is written after an epoch: wait for it, or `epochal resume` the run.",
        )
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            state = json.loads((file.metadata() or {})["state"])
            if not isinstance(state, dict):
                raise ValueError("its state is no object")
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        reason = "it is another program's" if isinstance(error, KeyError) else error
        other = "best" if path.stem == "last" else "last"
        raise EpochalError(
            f"the checkpoint {path} cannot be read ({reason}).",
            hint=f"Restore it from a copy. To evaluate or generate, the run's other one may do: --checkpoint {other}.",
        ) from error


def misfit(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str | None:
    """How tensors of a file differ from those they are to fill, by name and shape; None when they fit.

    Copying alone would not tell: a smaller tensor is silently repeated into a larger one.
    """
    wrong = [f"{name} is missing" for name in own if name not in found]
    wrong += [f"{name} is not in the network" for name in found if name not in own]
    wrong += [
        f"{name} is {_shape(found[name])}, not {_shape(tensor)}"
        for name, tensor in own.items()
        if name in found and found[name].shape != tensor.shape
    ]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return wrong[0] + more if wrong else None


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
