"""The verb that takes over what other programs trained: import_weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from epochal.api._calls import verb
from epochal.errors import EpochalError, UsageError
from epochal.journal import atomic

if TYPE_CHECKING:
    from torch import Tensor, nn

    Weights = Mapping[str, Tensor]

_SUFFIX = ".safetensors"
_THEIRS = (".tar", ".pth", ".pt", ".ckpt", ".bin", ".pkl")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "scaled.shift", "scaled.width")
_COUNTER = "num_batches_tracked"  # that norms do not use; checkpoints of before torch 0.4.1 lack it
_OURS = "scaled."  # the input's scaling, which other programs did outside their networks


@dataclass(frozen=True)
class Imported:
    """What `import_weights` wrote.

    Attributes:
        path: the file of safetensors.
        shapes: of the tensors in it, by name.
        parameters: how many numbers are weights; norms' running means and variances are not counted.
        told: what stood beside the weights (epoch, accuracy), in words.
        net: the network they were fitted to; empty without one.
        matched: how: by "names", or by "order" and shapes; empty without a network.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    parameters: int
    told: Mapping[str, str]
    net: str = ""
    matched: Literal["", "names", "order"] = ""


@verb
def import_weights(
    path: str | Path,
    *,
    out: str | Path | None = None,
    net: str | None = None,
    channels: int | None = None,
    classes: int | None = None,
    dims: int = 1,
    overwrite: bool = False,
) -> Imported:
    """Converts a checkpoint of another program (`.pth.tar`, `.pt`) to safetensors in float32; runs none of its code.

    With a network's name the weights are fitted to that network and written under its names: by names where these are
    the same, else by order and shapes. Its input then is not scaled (the other program saw to that).

    Args:
        path: what torch.save wrote: a state dict, or a dict that holds it as "state_dict", "model_state_dict",
            "model" or "net".
        out: file to write; default: the file's name with `.safetensors`, in the present folder.
        net: "wrn28-1" or another name of `systems/nets/classifiers`.
        channels: of that network's input.
        classes: its number of logits.
        dims: 1 for signals, 2 for pictures.
        overwrite: write over `out` where it exists.

    Raises:
        UsageError: there is no such file or network, `out` is there already, or a size is missing.
        EpochalError: the file is damaged, no checkpoint, holds code, or does not fit the network: says where first.
    """
    from safetensors.torch import save

    from epochal.api import _foreign

    source = Path(path).expanduser()
    own = _network(net, channels, classes, dims)
    target = _target(source, out, overwrite)
    weights, told = _foreign.read(source)
    about = {**told, "imported_from": source.name}
    matched: Literal["", "names", "order"] = ""
    if net is not None and own is not None:
        weights, matched = _fitted(own, weights, net, source)
        about |= {"net": net, "channels": str(channels), "classes": str(classes), "dims": str(dims)}
    atomic.write_bytes(target, save(weights, metadata=about))
    return Imported(
        target,
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
        sum(tensor.numel() for name, tensor in weights.items() if not name.endswith(_STATISTICS)),
        told,
        net or "",
        matched,
    )


def _network(net: str | None, channels: int | None, classes: int | None, dims: int) -> nn.Module | None:
    from epochal.systems.nets.classifiers import build, canonical

    if net is None:
        if channels is not None or classes is not None:
            raise UsageError("channels and classes are a network's: which one?", hint="Add --net wrn28-1")
        return None
    canonical(net)
    if channels is None or classes is None:
        raise UsageError(
            f"{net} needs the numbers of its input's channels and of its classes.",
            hint="Add --channels 3 --classes 14",
        )
    try:
        return build(net, channels, classes, dims)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(f"There is no such {net}: {error}.") from None


def _target(source: Path, out: str | Path | None, overwrite: bool) -> Path:
    if out is None:
        name = Path(source.name)
        while name.suffix in _THEIRS and name.stem:
            name = Path(name.stem)
        target = Path(f"{name}{_SUFFIX}")
    else:
        target = Path(out).expanduser()
    if target.suffix != _SUFFIX:
        raise UsageError(f"{target} is no name for the weights.", hint=f"It ends with {_SUFFIX}")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists.", hint="Name another file (-o), or write over it: --overwrite")
    return target


def _fitted(
    net: nn.Module, found: Weights, name: str, source: Path
) -> tuple[dict[str, Tensor], Literal["names", "order"]]:
    """The weights under the network's names, and how they were matched."""
    own = dict(net.state_dict())
    theirs = [key for key in found if not key.endswith(_COUNTER)]
    scaled = any(key.startswith(_OURS) for key in theirs)
    ours = [key for key in own if not key.endswith(_COUNTER) and (scaled or not key.startswith(_OURS))]
    by_names = set(ours) == set(theirs)
    pairs = [(key, key) for key in ours] if by_names else list(zip(ours, theirs, strict=False))
    for mine, other in pairs:
        _insist_alike(own[mine], found[other], f"{mine} of {name}", f"{other} of {source}")
        # Running means and scales have one shape: only their names can tell that an order is another one.
        if mine.rpartition(".")[2] != other.rpartition(".")[2]:
            raise _misfit(
                f"{source} is ordered otherwise than {name}: its {other} stands where {mine} should"
            )
    if len(ours) != len(theirs):
        more = theirs[len(ours) :] or ours[len(theirs) :]
        raise _misfit(
            f"{source} holds {len(theirs)} tensors, {name} has {len(ours)}: the first without a partner is {more[0]}"
        )
    return {**own, **{mine: found[other] for mine, other in pairs}}, "names" if by_names else "order"


def _insist_alike(mine: Tensor, other: Tensor, own_name: str, their_name: str) -> None:
    from epochal.api._foreign import shape_text

    if mine.shape != other.shape:
        raise _misfit(f"{own_name} is {shape_text(mine)}, but {their_name} is {shape_text(other)}")


def _misfit(what: str) -> EpochalError:
    return EpochalError(
        f"The weights do not fit: {what}.",
        hint="Is it this network, with these channels, classes and dimensions? Without --net all shapes are shown.",
    )
