"""Reads checkpoints that other programs wrote with torch.save: tensors and plain values, never their code."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

_HOMES = ("state_dict", "model_state_dict", "model", "net")
_BEGINNINGS = (b"PK\x03\x04", b"\x80")  # a zip archive (torch >= 1.6), a pickle (older)
_LONGEST_VALUE = 200
_REMEDY = (
    "Nothing in it was run. If you trust it, load it with its own program, save only the weights, "
    "torch.save(model.state_dict(), FILE), and import that."
)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights of a checkpoint by name (floating ones as float32), and in words the values beside them.

    They are the file itself, or what it holds as "state_dict", "model_state_dict", "model" or "net"; "module.", which
    `DataParallel` puts before all names, is taken off. Nothing in the file is executed (`weights_only=True`).

    Raises:
        UsageError: there is no such file.
        EpochalError: it is damaged, no checkpoint, holds code, or something that is no tensor among the weights.
    """
    found = _loaded(path)
    if not isinstance(found, Mapping):
        raise _unfit(path, f"it holds {_kind(found)}, not weights by name")
    home = next((key for key in _HOMES if isinstance(found.get(key), Mapping)), None)
    weights = found if home is None else found[home]
    if home is None and not any(_is_tensor(value) for value in weights.values()):
        keys = ", ".join(map(str, list(weights)[:8])) or "nothing"
        raise _unfit(path, f"no weights are in it, but {keys}")
    beside = {} if home is None else {key: value for key, value in found.items() if key != home}
    taken = {name: _taken(path, home, name, value) for name, value in weights.items()}
    if not taken:
        raise _unfit(path, f"its {home} is empty")
    if all(name.startswith("module.") for name in taken):
        taken = {name.removeprefix("module."): tensor for name, tensor in taken.items()}
    return taken, _words(beside)


def _loaded(path: Path) -> Any:
    """What torch.save wrote, as far as it is tensors, plain values, and NumPy's single numbers."""
    import torch

    if not path.exists():
        raise UsageError(f"There is no {path} to read.")
    if not path.is_file():
        raise UsageError(
            f"{path} is {'a folder' if path.is_dir() else 'no plain file'}.", hint="Name one file."
        )
    try:
        with path.open("rb") as file:
            begins = file.read(8)
        if not begins.startswith(_BEGINNINGS):
            said = f"it begins with {begins!r}" if begins else "it is empty"
            raise _unfit(path, said)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numbers()):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except EpochalError:
        raise
    except Exception as error:  # torch lets a damaged file fail in any way
        raise _unreadable(path, error) from None


def _numbers() -> list[Any]:
    """What pickles of NumPy's numbers are made of: old programs kept an accuracy or a best loss so.

    A data type that could hold objects is not among them.
    """
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # NumPy 1 and 2
    kinds = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _unreadable(path: Path, error: Exception) -> EpochalError:
    named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"but got <class '([\w.]+)'>", str(error))
    if named is not None:
        return EpochalError(f"{path} holds more than weights: reading it would use {named[1]}.", hint=_REMEDY)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return EpochalError(f"cannot read {path}: {error.strerror}.")
    return EpochalError(
        f"{path} cannot be read: it is damaged, cut short, or no checkpoint that torch.save wrote.",
        hint="Copy or download it again and compare the sizes.",
    )


def _taken(path: Path, home: str | None, name: Any, value: Any) -> Tensor:
    """A tensor as it is kept: dense, on its own memory, float32 where it is floating."""
    import torch

    where = "" if home is None else f" in its {home}"
    if not isinstance(name, str):
        raise _unfit(path, f"{name!r}{where} is no name of a weight")
    if not _is_tensor(value):
        raise _unfit(path, f"{name}{where} is {_kind(value)}, and only tensors are weights")
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
    if not plain or value.device.type != "cpu":
        raise _unfit(path, f"{name} is no dense tensor of real numbers ({value.dtype}, {value.layout})")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise _unfit(path, f"{name}, {shape_text(value)}, is larger than what the file holds of it")
    kept = value.detach().to(torch.float32) if value.is_floating_point() else value.detach()
    if not bool(kept.isfinite().all()):
        raise _unfit(path, f"{name} holds numbers that are not finite")
    return kept.clone(memory_format=torch.contiguous_format)  # type: ignore[no-any-return]


def shape_text(tensor: Tensor) -> str:
    """A tensor's shape in words: `16x3x3`."""
    return "x".join(map(str, tensor.shape)) or "a single number"


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _words(beside: Mapping[Any, Any]) -> dict[str, str]:
    """Epoch, accuracy and the like: single numbers and short texts."""
    import numpy as np

    told = {}
    for key, value in beside.items():
        if _is_tensor(value) and value.numel() == 1 and value.device.type == "cpu":
            value = value.item()
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float):
            value = f"{value:.6g}"
        if isinstance(value, (str, int)) and len(str(value)) <= _LONGEST_VALUE:
            told[str(key)] = str(value)
    return told


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _unfit(path: Path, why: str) -> EpochalError:
    return EpochalError(
        f"{path} cannot be imported: {why}.",
        hint="A file is expected that torch.save wrote, with a state dict in it.",
    )
