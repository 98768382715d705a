"""What a network costs where it is used: weights to store, multiplications an item, time an item on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

_WARM_UP = 10
"""Rounds that are not timed: the first ones choose algorithms and fill caches."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one item on one core: the median over `rounds` and its quartiles."""

    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int


def parameters(net: nn.Module) -> int:
    """How many weights a network has; shared ones count once, buffers (a norm's running means) do not."""
    return sum(weight.numel() for weight in net.parameters())


def macs(net: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates that one item takes in convolutions (also transposed) and dense layers.

    Each output value of a convolution takes C_in / groups · kernel size of them, those with the padding's zeros
    included, as published counts do; each output value of a dense layer takes C_in. A layer that is used twice counts
    twice. Norms, activations, sums and whatever is no such layer (attention by matrix products) are left out.

    Args:
        net: is run once in eval mode; its modes and norms stay as they were.
        example: input (n, …) on the network's device; the answer is for one of the n items.

    Raises:
        ValueError: no item.
    """
    import torch
    from torch import nn

    if example.ndim < 1 or len(example) == 0:
        raise ValueError(f"example must hold at least one item, but its shape is {tuple(example.shape)}")
    total = 0

    def count(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif module.transposed:
            # Every input value is spread over the kernel.
            total += inputs[0].numel() * (module.out_channels // module.groups) * prod(module.kernel_size)
        else:
            total += output.numel() * (module.in_channels // module.groups) * prod(module.kernel_size)

    kinds = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
    kinds |= nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
    hooks = [part.register_forward_hook(count) for part in net.modules() if isinstance(part, kinds)]
    try:
        with _evaluating(net), torch.no_grad():
            net(example)
    finally:
        for hook in hooks:
            hook.remove()
    return total // len(example)


def latency(net: nn.Module, example: Tensor, rounds: int = 200) -> Latency:
    """How long one item takes on one core, as a device with a small processor would answer window by window.

    Args:
        net: is run in eval mode; its modes, and torch's number of threads, stay as they were.
        example: input (n, …) on the CPU; its first item is used.
        rounds: how often it is timed, after ten rounds that are not.

    Raises:
        ValueError: no item, or fewer than one round.
    """
    import torch

    if example.ndim < 1 or len(example) == 0 or rounds < 1:
        raise ValueError(
            "example of at least one item and rounds >= 1 must hold, but got "
            f"(shape={tuple(example.shape)}, rounds={rounds})"
        )
    threads, item = torch.get_num_threads(), example[:1].contiguous()
    torch.set_num_threads(1)
    try:
        with _evaluating(net), torch.inference_mode():
            times = _timed(lambda: net(item), rounds)
    finally:
        torch.set_num_threads(threads)
    low, median, high = times.quantile(torch.tensor((0.25, 0.5, 0.75), dtype=times.dtype)).tolist()
    return Latency(median, low, high, rounds)


def _timed(call: Callable[[], Any], rounds: int) -> Tensor:
    """Milliseconds of each round, (rounds,)."""
    from time import perf_counter_ns

    import torch

    times = []
    for _ in range(_WARM_UP + rounds):
        begun = perf_counter_ns()
        call()
        times.append((perf_counter_ns() - begun) / 1e6)
    return torch.tensor(times[_WARM_UP:], dtype=torch.float64)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode, after which each part is in the mode it had."""
    modes = {part: part.training for part in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
