"""Holds the losses of distillation to independent implementations on random answers, and writes the page of it.

    EPOCHAL_DATA=… python benchmarks/distillation_checks.py

Divergence against SciPy's relative entropy and PyTorch's kl_div, similarity against loops of NumPy, the whole loss of
two teachers and its gradient against a naive program that runs both teachers in every step. Writes
docs/results/distillation-checks.md; exits 1 when one differs by more than its tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plain_pytorch_har as naive
import torch
import torch.nn.functional as F
from har_speed import RECIPE, task_of, untrained
from results_page import RESULTS, Page
from scipy.special import rel_entr, softmax

from epochal import settings as settings_room
from epochal.systems import recipes
from epochal.systems.losses import distillation
from epochal.systems.recipes import _wearables as wearables
from epochal.training.feed import TensorFeed

TRIALS = 1000
EXACT, HALF = 1e-9, 1e-3  # relative: float64 throughout; float32, maps that are kept in float16


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=512, help="training windows of the last check")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    page = Page("Losses of distillation, checked", "python benchmarks/distillation_checks.py")
    page.say(
        f"{TRIALS:,} random batches each of 2 to 64 items, 2 to 14 classes, temperatures from 0.5 to 20, in float64. "
        "The difference is the largest one over all batches, relative to the largest value of its batch.",
        "",
    )
    rows = []
    for words, check in CHECKS.items():
        rng = np.random.default_rng(0)
        apart = max(check(rng) for _ in range(TRIALS))
        rows.append([words, f"{apart:.1e}", f"{EXACT:.0e}", page.target(words, apart <= EXACT)])
    page.table(["what", "largest difference", "tolerance", "met"], rows)
    whole_loss(page, options.windows)
    return page.write(Path(options.out) / "distillation-checks.md")


def batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Logits of a student and a teacher, and a temperature."""
    items, classes = int(rng.integers(2, 65)), int(rng.integers(2, 15))
    student, teacher = (torch.from_numpy(4 * rng.standard_normal((items, classes))) for _ in range(2))
    return student, teacher, float(np.exp(rng.uniform(np.log(0.5), np.log(20))))


def relative(found: torch.Tensor, wanted: np.ndarray) -> float:
    """Largest difference beside the largest value."""
    return float(np.abs(found.numpy() - wanted).max() / np.abs(wanted).max())


def against_scipy(rng: np.random.Generator) -> float:
    student, teacher, temperature = batch(rng)
    p, q = (softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    return relative(distillation.divergence(student, teacher, temperature=temperature), rel_entr(p, q).sum(1))


def against_kl_div(rng: np.random.Generator) -> float:
    student, teacher, temperature = batch(rng)
    wanted = F.kl_div(
        F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1), reduction="batchmean"
    )
    found = distillation.divergence(student, teacher, temperature=temperature).mean()
    return relative(found[None], wanted[None].numpy())


def outputs(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A group's outputs of teacher and student, of different width."""
    items = int(rng.integers(2, 33))
    shapes = [(items, int(rng.integers(1, 9)), int(rng.integers(1, 20))) for _ in range(2)]
    teacher, student = (torch.from_numpy(rng.standard_normal(shape)) for shape in shapes)
    return teacher, student


def looped(features: torch.Tensor) -> np.ndarray:
    """The map of a batch, entry by entry."""
    flat = features.numpy().reshape(len(features), -1)
    products = np.array([[float(np.dot(one, other)) for other in flat] for one in flat])
    return products / np.sqrt((products**2).sum(1, keepdims=True))


def against_loops(rng: np.random.Generator) -> float:
    teacher, student = outputs(rng)
    wanted = np.array([np.linalg.norm(looped(teacher) - looped(student), "fro") ** 2 / len(teacher) ** 2])
    found = distillation.similarity_gap(distillation.similarity(teacher), distillation.similarity(student))
    return relative(found[None], wanted)


CHECKS: dict[str, Callable[[np.random.Generator], float]] = {
    "divergence of softened answers, item by item, against SciPy's `rel_entr`": against_scipy,
    'its mean against PyTorch\'s `kl_div(…, reduction="batchmean")`': against_kl_div,
    "similarity term of two layers against loops in NumPy": against_loops,
}


def whole_loss(page: Page, windows: int) -> None:
    """The loss of two teachers as the recipe computes it, from kept answers, beside the naive program's."""
    settings = settings_room.apply(recipes.settings_of(recipes.find(RECIPE)), {"data.limit": windows})
    teachers = untrained(settings)
    (task, nets), about = task_of(RECIPE, settings, teachers)
    (_, fresh), _ = task_of(RECIPE, settings, teachers)
    feed = TensorFeed(task, 0, torch.device("cpu"))
    order = feed._ordered(1, 0)
    signals, images = (wearables.read(settings, reads).splits["train"] for reads in ("signal", "persistence"))
    apart: dict[str, float] = {}
    batches = 0
    for start in range(0, windows - naive.BATCH + 1, naive.BATCH):
        rows = order[start : start + naive.BATCH]
        shown = {
            "x": torch.from_numpy(signals["x"])[rows],
            "images": torch.tensor(images["x"])[rows].float(),
            "labels": torch.from_numpy(signals["labels"])[rows],
        }
        total, parts = task.phases[0].loss(nets, feed.batch(1, 0, start), torch.Generator())
        wanted, terms = naive.two_teacher_loss(
            fresh["network"],
            teachers["teacher A"].nets["network"],
            teachers["teacher B"].nets["network"],
            shown,
        )
        squared = naive.TEMPERATURE**2  # the recipe's divergences are without it
        found = {
            "the loss": total.item() / wanted.item(),
            "cross-entropy": parts["ce"].item() / terms["ce"].item(),
            "divergence from teacher A, times T²": squared * parts["kl_a"].item() / terms["kl_a"].item(),
            "divergence from teacher B, times T²": squared * parts["kl_b"].item() / terms["kl_b"].item(),
            "similarity": parts["sp"].item() / terms["sp"].item(),
        }
        differences = {name: abs(ratio - 1) for name, ratio in found.items()}
        name = "the loss's gradient: length of the difference beside its own"
        differences[name] = angle(nets["network"], total, fresh["network"], wanted)
        apart = {name: max(apart.get(name, 0.0), value) for name, value in differences.items()}
        batches += 1
    page.section("The whole loss of two teachers")
    page.say(
        f"{batches} batches of {naive.BATCH} windows of {about['name']}, float32; the recipe takes the teachers' "
        "logits and inner products from what was kept (float16), the naive program "
        "(`benchmarks/plain_pytorch_har.py`) runs both teachers on the windows and their persistence images.",
        "",
    )
    page.table(
        ["what", "largest relative difference", "tolerance", "met"],
        [
            [name, f"{value:.1e}", f"{HALF:.0e}", page.target(name, value <= HALF)]
            for name, value in apart.items()
        ],
    )


def angle(net: torch.nn.Module, found: torch.Tensor, other: torch.nn.Module, wanted: torch.Tensor) -> float:
    """‖difference of the two gradients‖ / ‖gradient‖, over all parameters."""
    mine, theirs = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(own.parameters()))])
        for own, loss in ((net, found), (other, wanted))
    )
    return float((mine - theirs).norm() / theirs.norm())


if __name__ == "__main__":
    sys.exit(main())
