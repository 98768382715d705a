"""Classifiers of signals and pictures by their names: `build("wrn16-1", channels_in=3, classes=14, dims=1)`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from epochal.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from epochal.systems.nets.signals import Dims

NAMES = (
    "wrn16-1",
    "wrn16-2",
    "wrn16-3",
    "wrn28-1",
    "wrn28-3",
    "wrn40-1",
    "wrn40-2",
    "resnet8",
    "resnet18",
)
"""Usual ones; any wrn<depth>-<width> with depth = 6·n + 4 is a name too."""

ALIASES = {
    "wrn1611": "wrn16-1",
    "wrn2811": "wrn28-1",
    "wrn1631": "wrn16-3",
    "resnet81": "resnet8",
    "resnet181": "resnet18",
}
"""How the log's programs name them: depth, width, and 1 for one dimension."""


def canonical(name: str) -> str:
    """The name that `build` knows a network by; needs no torch.

    Raises:
        UsageError: no network has that name; says which come near.
    """
    known = ALIASES.get(name.lower(), name.lower())
    if known in ("resnet8", "resnet18"):
        return known
    sizes = _wide(known)
    if sizes is None:
        raise _unknown(name)
    depth, width = sizes
    if depth < 10 or depth % 6 != 4 or not 1 <= width <= 64:
        near = 6 * max(round((depth - 4) / 6), 1) + 4
        raise UsageError(
            f"There is no network {name!r}.",
            hint=f"The depth of wrn<depth>-<width> is 10, 16, 22, 28, …, its width 1 to 64. "
            f"Did you mean wrn{near}-{min(max(width, 1), 64)}?",
        )
    return f"wrn{depth}-{width}"


def build(name: str, channels_in: int, classes: int, dims: Dims) -> nn.Module:
    """A fresh network: (B, channels_in, L) or (B, channels_in, H, W) → logits (B, classes); see its class.

    Args:
        name: one of `NAMES` or `ALIASES`, or any other wrn<depth>-<width>.
        channels_in: of the input.
        classes: number of logits.
        dims: 1 for signals, 2 for pictures.

    Raises:
        UsageError: no network has that name.
        ValueError: a number below 1, or neither 1 nor 2 dimensions.
    """
    from epochal.systems.nets.small_resnet import ResNet8, ResNet18
    from epochal.systems.nets.wide_resnet import WideResNet

    known = canonical(name)
    sizes = _wide(known)
    if sizes is not None:
        return WideResNet(*sizes, channels_in, classes, dims)
    return {"resnet8": ResNet8, "resnet18": ResNet18}[known](channels_in, classes, dims)


def _wide(name: str) -> tuple[int, int] | None:
    """Depth and width in the name of a wide residual network."""
    found = re.fullmatch(r"wrn([0-9]{1,4})-([0-9]{1,4})", name)
    return (int(found[1]), int(found[2])) if found else None


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), NAMES, n=2, cutoff=0.6)
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else f"Networks: {', '.join(NAMES)}, wrn<depth>-<width>."
    )
    return UsageError(f"There is no network {name!r}.", hint=hint)
