"""A naive PyTorch training of the two-teacher distillation, step by step as the reference programs do it.

Both teachers run again at every step, on the persistence images and on the signal; their maps are computed anew. Eager
mode, float32, PyTorch's own layers and memory layout; the images are computed beforehand, which a naiver program would
not. `benchmarks/har_speed.py` times it beside Epochal, and a test holds the losses of both together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 64
LAM, TEMPERATURE, SHARE, GAMMA = 0.99, 4.0, 0.7, 700.0
GROUPS = ("group1", "group2", "group3")


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """T²·KL(teacher ‖ student) of softened answers, summed over classes, averaged over the batch."""
    soft = F.kl_div(
        F.log_softmax(student / TEMPERATURE, 1), F.softmax(teacher / TEMPERATURE, 1), reduction="batchmean"
    )
    return TEMPERATURE**2 * soft


def similarity(features: Tensor) -> Tensor:
    """The batch's inner products, rows of length 1."""
    flat = features.reshape(len(features), -1)
    return F.normalize(flat @ flat.T, dim=1)


def two_teacher_loss(
    student: nn.Module, a: nn.Module, b: nn.Module, batch: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """(1 - λ)·CE + λ·T²·(0.7·KL_A + 0.3·KL_B) + γ·SP of a batch: signals "x", "images", "labels"; and its terms."""
    with torch.no_grad():
        logits_a, maps_a = a(batch["images"], maps=True)
        logits_b, maps_b = b(batch["x"], maps=True)
    logits, maps = student(batch["x"], maps=True)
    soft_a, soft_b = kl(logits, logits_a), kl(logits, logits_b)
    gaps = []
    for group in GROUPS:
        wanted = SHARE * similarity(maps_a[group]) + (1 - SHARE) * similarity(maps_b[group])
        gaps.append((wanted - similarity(maps[group])).pow(2).sum() / len(wanted) ** 2)
    alike = torch.stack(gaps).mean()
    hard = F.cross_entropy(logits, batch["labels"])
    total = (1 - LAM) * hard + LAM * (SHARE * soft_a + (1 - SHARE) * soft_b) + GAMMA * alike
    return total, {"ce": hard, "kl_a": soft_a, "kl_b": soft_b, "sp": alike}


class Side:
    """The training loop, in blocks of steps that time themselves."""

    def __init__(
        self, student: nn.Module, a: nn.Module, b: nn.Module, columns: Mapping[str, Tensor], seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.student, self.a, self.b = student.train(), a.eval(), b.eval()
        self.columns = columns
        self.order = self._batches()
        self.optimiser = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        """Shuffled batches without end."""
        while True:
            for chosen in torch.randperm(len(self.columns["labels"])).split(BATCH):
                yield {name: column[chosen] for name, column in self.columns.items()}

    def run(self, steps: int) -> float:
        """Trains for so many steps; the seconds they took."""
        start = time.perf_counter()
        for _ in range(steps):
            batch = next(self.order)
            batch["images"] = batch["images"].float()
            self.optimiser.zero_grad()
            loss, _ = two_teacher_loss(self.student, self.a, self.b, batch)
            loss.backward()
            self.optimiser.step()
        return time.perf_counter() - start
