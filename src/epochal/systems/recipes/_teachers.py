"""What teachers answer, computed once: a frozen network in eval mode says the same of the same example at every step.

Logits are kept for each training example. What the teacher finds alike (`losses.distillation.similarity`) is a map
over each batch, of whatever examples meet there: of the whole training set all inner products are kept, N x N for each
of its three groups, and a batch takes its rows and columns. Where that is too much memory, the groups' outputs
themselves are kept. Both live in the cache under the hash of the teacher's weights and the examples.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.errors import EpochalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from epochal.training.task import Array

GROUPS = ("group1", "group2", "group3")
EDITION = 1
"""Raised with every change of what is computed: what was kept is then computed anew."""
MOST_BYTES = 3 * 2**30
"""Of one teacher's maps in memory: beyond it teachers answer anew at every step."""
CHUNK = 250
BLOCK = 512
"""Rows of the map that are computed at once."""


@dataclass(frozen=True)
class Answers:
    """What a teacher says of N training examples.

    Attributes:
        logits: (N, classes) float32.
        alike: by group either all inner products, (N, N), each row divided by its largest magnitude, or the outputs
            themselves, (N, width); float16. Empty where nobody asked for them.
        products: whether they are inner products.
    """

    logits: Array
    alike: Mapping[str, Array]
    products: bool = True


def fill(net: Any, checkpoint: str) -> None:
    """Fills a network with the weights of a run, or of a .safetensors file (`epochal import weights` makes one).

    A file without a scale of the input (an old program's) leaves the network's as it is.

    Raises:
        UsageError: there is no such file.
        EpochalError: it cannot be read, or holds another network.
    """
    import safetensors.torch

    path = weights_file(checkpoint)
    try:
        tensors = safetensors.torch.load_file(path)
    except Exception as error:  # safetensors has an error of its own for each fault
        raise EpochalError(
            f"{path} cannot be read as weights: {error}.",
            hint="`epochal import weights FILE` converts a checkpoint of PyTorch.",
        ) from error
    prefix = "weights/network."
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)} or dict(tensors)
    own = net.state_dict()
    if others := [name for name in found if name not in own]:
        raise EpochalError(
            f"The weights in {path} are another network's: they have {others[0]} and {len(others) - 1} more that this "
            "one has not.",
            hint="Name the network that they are of: --teacher.net, --net.name.",
        )
    scale = {name: value for name, value in own.items() if name.startswith("scaled.")}
    found = {**scale, **found}
    for name, value in own.items():
        if name not in found or found[name].shape != value.shape:
            has = f"has shape {tuple(found[name].shape)}" if name in found else "is missing"
            raise EpochalError(
                f"The weights in {path} are another network's: {name} {has}, {tuple(value.shape)} is needed.",
                hint="Name the network that they are of: --teacher.net, --net.name.",
            )
    net.load_state_dict({name: found[name] for name in own})


def noted(checkpoint: str) -> dict[str, Any]:
    """What the run in a folder noted of its data; of a file, or a folder that is no run's, nothing."""
    import json

    try:
        about = json.loads((Path(checkpoint).expanduser() / "run.json").read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return about if isinstance(about, dict) else {}


def weights_file(checkpoint: str) -> Path:
    """The file of weights that a run's folder holds (the best epoch's, else the last's), or the file itself.

    Raises:
        UsageError: there is none.
    """
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        best, last = (path / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
        path = best if best.is_file() else last
    if not path.is_file():
        raise UsageError(
            f"There is no checkpoint {path}.", hint="Name a run's folder or a .safetensors file."
        )
    return path


def digest(net: Any) -> str:
    """SHA-256 of a network's weights and buffers, by name."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        hashed.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def answers(net: Any, x: Array, *, alike: bool, device: str) -> Answers | None:
    """What a teacher says of all training examples, from the cache where it lies there.

    Args:
        net: the teacher, in eval mode.
        x: examples as stored (N, …).
        alike: whether its maps are wanted too.
        device: where the teacher is.

    Returns:
        None where the maps are too large to be kept.
    """
    from epochal.folders import cache_folder
    from epochal.systems.data.digests import column_digest
    from epochal.systems.data.kept import kept_or_made

    products = _products(net, x, device) if alike else True
    if products is None:
        return None
    kind = device.partition(":")[0]  # a GPU rounds otherwise
    key = f"{EDITION} {digest(net)} {column_digest(x)} {x.shape} {x.dtype} {alike} {products} {kind}"
    path = cache_folder() / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)

    def make() -> tuple[dict[str, dict[str, Array]], str]:
        from epochal.systems.data.digests import splits_digest

        made = {"train": ask(net, x, alike=alike, products=products, device=device)}
        return made, splits_digest(made)

    columns = kept_or_made(path, make, "What a teacher answers")[0]["train"]
    return Answers(columns["logits"], {name: columns[name] for name in GROUPS if name in columns}, products)


def _products(net: Any, x: Array, device: str) -> bool | None:
    """Whether maps are kept as inner products (True), as the groups' outputs (False), or not at all (None).

    Either way one group's outputs are in memory at a time; beyond `MOST_BYTES`, or float16, none are kept.
    """
    groups = outputs(net, x[:1], device)[1].values()
    widths = [group[0].numel() for group in groups]
    if 2 * max(widths) * len(x) > MOST_BYTES:
        return None
    if 2 * len(GROUPS) * len(x) ** 2 <= MOST_BYTES:
        return True
    return False if 2 * sum(widths) * len(x) <= MOST_BYTES else None


def ask(net: Any, x: Array, *, alike: bool, products: bool, device: str) -> dict[str, Array]:
    """Asks a teacher about all examples: its logits and, by group, what `Answers.alike` holds.

    Once for each group, so that of the widest ones only one is in memory.
    """
    import numpy as np

    found: dict[str, Array] = {}
    for name in GROUPS if alike else ("",):
        logits, features = [], None
        for start in range(0, len(x), CHUNK):
            said, groups = outputs(net, x[start : start + CHUNK], device)
            logits.append(said.float().cpu().numpy())
            if name:
                part = groups[name].flatten(1).half().cpu().numpy()
                if features is None:
                    features = np.empty((len(x), part.shape[1]), np.float16)
                features[start : start + CHUNK] = part
        found.setdefault("logits", np.concatenate(logits))
        if features is not None:
            if not np.isfinite(features).all():
                raise EpochalError(
                    "What a teacher finds alike is beyond what can be kept (float16).",
                    hint="Is its input what it was trained on? --paper-compat.rerun-teachers lets it answer anew at "
                    "every step.",
                )
            found[name] = inner_products(features, device) if products else features
    return found


def outputs(net: Any, x: Array, device: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits (B, classes) and the outputs of the three groups (B, …), in eval mode."""
    import torch

    from epochal.systems.recipes._wearables import prepare
    from epochal.training.task import Batch

    with torch.no_grad():
        logits, groups = net(prepare(Batch(x=torch.tensor(x).to(device)))["x"], maps=True)
    return logits, {name: groups[name] for name in GROUPS}


def inner_products(features: Array, device: str = "cpu") -> Array:
    """F·Fᵀ of features (N, D), each row divided by its largest magnitude: (N, N) float16.

    The division keeps every row within float16's range; a map's rows are divided by their length anyway.
    """
    import numpy as np
    import torch

    wide = torch.from_numpy(features).to(device)
    found = np.empty((len(features), len(features)), np.float16)
    for start in range(0, len(features), BLOCK):
        rows = wide[start : start + BLOCK].float()
        block = torch.cat([rows @ wide[i : i + BLOCK].float().t() for i in range(0, len(wide), BLOCK)], 1)
        largest = block.abs().amax(1, keepdim=True).clamp_min(1e-30)
        found[start : start + BLOCK] = (block / largest).half().cpu().numpy()
    return found


def maps(kept: Mapping[str, torch.Tensor], products: bool, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """The teacher's maps over a batch: `losses.distillation.similarity` of its groups' outputs, (B, B) float32.

    Args:
        kept: `Answers.alike` as tensors.
        products: `Answers.products`.
        rows: (B,) int64, which training examples make the batch.
    """
    import torch.nn.functional as F

    from epochal.systems.losses import distillation

    if products:
        return {
            name: F.normalize(whole[rows[:, None], rows[None]].float(), p=2, dim=1)
            for name, whole in kept.items()
        }
    return {name: distillation.similarity(outputs[rows].float()) for name, outputs in kept.items()}
