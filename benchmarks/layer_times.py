"""Times a training step with each candidate of the trial (precision, layout, layers), and a bias gradient alone.

    EPOCHAL_DATA=… python benchmarks/layer_times.py --threads 1            # writes benchmarks/results/layer-times.md

What docs/decisions/0011 rests on. Candidates of a version take turns in one process, so that another program's load
hits all alike; the quickest of the steps is kept, since load only ever slows one down.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from epochal import settings as settings_room
from epochal.journal.environment import describe
from epochal.systems import recipes
from epochal.training import devices, precision
from epochal.training.feed import TensorFeed
from epochal.training.learner import TorchLearner

CPU = torch.device("cpu")
VERSIONS = (("cvae-faces", "sum-mse", "drawn-faces"), ("dcgan-cifar10", "exp-1", "cifar10"))
WIDEST = nn.ConvTranspose2d(60, 40, 4, stride=2, padding=1)
"""The widest transposed convolution of cvae-faces; its input is (32, 60, 60, 60)."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each candidate")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "layer-times.md"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    devices.keep_memory()
    lines = ["# Seconds of a training step by arithmetic, layout and layers", ""]
    lines += ["Written by `python benchmarks/layer_times.py`.", ""]
    lines += [f"Quickest of {options.steps} steps, {options.threads} thread(s), seed 0. {machine()}", ""]
    lines += ["| recipe | candidate | s a step |", "| --- | --- | --- |"]
    for recipe, version, source in VERSIONS:
        for name, seconds in steps(recipe, version, source, options.threads, options.steps):
            lines.append(f"| {recipe} {version} | {name} | {seconds:.2f} |")
            print(lines[-1], flush=True)
    both, apart = bias_gradient(options.steps)
    lines += [
        "",
        "Backward of a transposed convolution in bfloat16 (60 to 40 channels, 60x60 to 120x120, batch 32): "
        f"{both:.0f} ms with the library's bias gradient, {apart:.0f} ms without it and with a sum of its own.",
    ]
    print(lines[-1])
    Path(options.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


def steps(recipe: str, version: str, source: str, threads: int, count: int) -> list[tuple[str, float]]:
    """Each candidate's quickest step; torch's layers in bfloat16 beside them."""
    found = recipes.find(recipe)
    patch = {"data.source": source, "data.limit": 1024}
    wanted = settings_room.apply(recipes.settings_of(found, version), patch)
    torch.manual_seed(0)
    nets = found.nets(wanted)
    task = found.build(wanted, nets)
    feed = TensorFeed(task, 0, CPU)
    pool = precision.candidates(CPU, "auto", threads)
    pool.append(type(pool[0])("bfloat16", "channels_last", "torch", threads))
    learners = {one: TorchLearner(*precision.copy_of(task, nets), 0, CPU, one) for one in pool}
    quickest = dict.fromkeys(pool, float("inf"))
    for turn in range(count + 1):
        for one, learner in learners.items():
            batch = feed.batch(1, 0, 0)
            start = perf_counter()
            learner.step(batch)
            if turn:  # the first step pays for memory
                quickest[one] = min(quickest[one], perf_counter() - start)
    return [(str(one), seconds) for one, seconds in quickest.items()]


def bias_gradient(count: int) -> tuple[float, float]:
    """Milliseconds of the backward with the library's bias gradient, and with a sum of its own."""
    x, weight = torch.randn(32, 60, 60, 60), WIDEST.weight.detach()
    x, weight, g = (
        one.bfloat16().contiguous(memory_format=torch.channels_last)
        for one in (x, weight, torch.randn(32, 40, 120, 120))
    )
    place = (WIDEST.stride, WIDEST.padding, WIDEST.dilation, True, (0, 0), 1)

    def backward(bias: list[int] | None) -> None:
        wanted = (True, True, bias is not None)
        torch.ops.aten.convolution_backward(g, x, weight, bias, *place, wanted)
        if bias is None:
            g.sum((0, 2, 3))

    return quickest_of(lambda: backward([40]), count), quickest_of(lambda: backward(None), count)


def quickest_of(act: Callable[[], None], count: int) -> float:
    """Milliseconds."""
    act()
    taken = []
    for _ in range(count):
        start = perf_counter()
        act()
        taken.append(1000 * (perf_counter() - start))
    return min(taken)


def machine() -> str:
    """Processor, cores and PyTorch, for the page."""
    about = describe()
    return f"{about.get('cpu')}, {about.get('cores')} cores, torch {torch.__version__}."


if __name__ == "__main__":
    main()
