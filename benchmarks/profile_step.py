"""Where a training step of cvae-digits spends its time: writes docs/results/profile.md.

    python benchmarks/profile_step.py [--steps 60] [--threads 2]

Profiles the chosen path (bfloat16, channels-last, fast layers) on real or drawn digits with torch's profiler and
groups self time by what is done; beside it the time that the arithmetic alone would take at the matrix rate,
measured in the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from epochal import settings as settings_room
from epochal.systems import recipes
from epochal.training import devices
from epochal.training.learner import Choices, TorchLearner
from epochal.training.task import Batch

MFLOP_AN_IMAGE = 122.0  # forward and backward, multiply and add counted as two
GROUPS = {
    "matrix products (dense layers, convolution gradients)": ("aten::mm", "aten::addmm"),
    "convolutions (forward, input gradients)": ("convolution",),
    "Adam": ("_fused_adam_", "Optimizer.step"),
    "casting weights and gradients, unfolding patches, layout": ("aten::copy_", "aten::cat", "aten::stack"),
    "random bits": ("random_", "normal_"),
    "masks, ReLU, other pointwise": (
        "mul",
        "threshold",
        "clamp",
        "bitwise",
        "aten::add",
        "aten::sub",
        "aten::sum",
        "relu",
        "exp",
        "pow",
        "div",
        "fill_",
        "zero_",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="profiled steps")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--source", default="auto", help="data source")
    parser.add_argument(
        "--out", default=str(Path(__file__).parent.parent / "docs" / "results" / "profile.md")
    )
    options = parser.parse_args()
    devices.keep_memory()
    torch.set_num_threads(options.threads)
    learner, batches, data = prepare(options.source, options.threads)
    for batch in batches:
        learner.step(batch)
    started = time.perf_counter()
    for i in range(options.steps):
        learner.step(batches[i % len(batches)])
    step_ms = 1e3 * (time.perf_counter() - started) / options.steps
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for i in range(options.steps):
            learner.step(batches[i % len(batches)])
    rate = matrix_rate()
    floor_ms = 32 * MFLOP_AN_IMAGE / rate
    text = page(group(profiled, options.steps), step_ms, floor_ms, rate, options, data)
    Path(options.out).write_text(text, encoding="utf-8")
    print(text)
    return 0


def prepare(source: str, threads: int) -> tuple[TorchLearner, list[Batch], str]:
    recipe = recipes.find("cvae-digits")
    patch = {"condition.thickness": "per-class", "data.source": source}
    settings = settings_room.apply(recipe.settings(), patch)
    torch.manual_seed(0)
    nets = recipe.nets(settings)
    task = recipe.build(settings, nets)
    columns = {name: torch.as_tensor(column) for name, column in task.train.items()}
    batches = [
        task.prepare(Batch({name: column[i : i + 32] for name, column in columns.items()}))
        for i in range(0, 640, 32)
    ]
    choices = Choices("bfloat16", "channels_last", "fast", threads)
    return TorchLearner(task, nets, 0, torch.device("cpu"), choices), batches, str(task.data["name"])


def group(profiled: profile, steps: int) -> dict[str, float]:
    """Milliseconds a step of self time by group."""
    spent: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        name = next(
            (g for g, marks in GROUPS.items() if any(mark in event.key for mark in marks)), "everything else"
        )
        spent[name] += event.self_cpu_time_total / 1e3 / steps
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def matrix_rate() -> float:
    """MFLOP a millisecond (= GFLOP/s) of a 1,024-square bfloat16 matrix product, the best of 50."""
    a = torch.randn(1024, 1024).bfloat16()
    best = float("inf")
    for _ in range(50):
        started = time.perf_counter()
        a.mm(a)
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best / 1e9


def page(
    spent: dict[str, float],
    step_ms: float,
    floor_ms: float,
    rate: float,
    options: argparse.Namespace,
    data: str,
) -> str:
    profiled_ms = sum(spent.values())
    rows = [f"| {name} | {ms:.2f} | {100 * ms / profiled_ms:.0f} % |" for name, ms in spent.items()]
    return "\n".join(
        [
            "# What a step of cvae-digits is made of",
            "",
            f"Written by `python benchmarks/profile_step.py --threads {options.threads} --steps {options.steps}`: "
            f"batch 32, {data}, bfloat16 with float32 masters, channels-last, fast layers, "
            f"{options.threads} thread(s), torch {torch.__version__}.",
            "",
            f"- a step takes {step_ms:.1f} ms without the profiler ({step_ms * 1.875:.0f} s an epoch of 60,000), "
            f"{profiled_ms:.1f} ms with it",
            f"- its arithmetic ({MFLOP_AN_IMAGE:g} MFLOP an image) would take {floor_ms:.1f} ms at the {rate:.0f} "
            "GFLOP/s that a large bfloat16 matrix product reaches here",
            "",
            "| what | ms a step | share |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
