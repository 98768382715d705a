"""A plain PyTorch training of the logged DCGAN on CIFAR-10, as a good user writes it without Epochal.

Eager mode, float32, torch's own layers and memory layout; data loaded once as uint8 and sliced by a shuffled index, so
no DataLoader stands in the way. exp-1 of the recipe: batch 256, Adam 1e-4 for both networks, generator first.

    OMP_NUM_THREADS=2 EPOCHAL_DATA=… python benchmarks/plain_pytorch_dcgan.py [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 256
LATENT = 100


class Generator(nn.Module):
    """Noise (B, 100) → images (B, 3, 32, 32) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT, 256 * 8 * 8, bias=False)
        self.bn0 = nn.BatchNorm1d(256 * 8 * 8, eps=1e-3, momentum=0.01)
        self.up1 = nn.ConvTranspose2d(256, 128, 5, stride=1, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(128, eps=1e-3, momentum=0.01)
        self.up2 = nn.ConvTranspose2d(128, 64, 5, stride=2, padding=2, output_padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64, eps=1e-3, momentum=0.01)
        self.up3 = nn.ConvTranspose2d(64, 3, 5, stride=2, padding=2, output_padding=1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        h = F.leaky_relu(self.bn0(self.dense(z)), 0.3).view(-1, 256, 8, 8)
        h = F.leaky_relu(self.bn1(self.up1(h)), 0.3)
        h = F.leaky_relu(self.bn2(self.up2(h)), 0.3)
        return torch.tanh(self.up3(h))


class Discriminator(nn.Module):
    """Images (B, 3, 32, 32) → logits of "real", (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(64, 128, 5, stride=2, padding=2)
        self.dense = nn.Linear(128 * 8 * 8, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(F.leaky_relu(self.conv1(x), 0.3))
        h = self.dropout(F.leaky_relu(self.conv2(h), 0.3))
        return self.dense(h.flatten(1))[:, 0]


def glorot(net: nn.Module) -> None:
    """Keras' default weights."""
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def load(source: str, limit: int | None) -> tuple[Tensor, str]:
    """Training images (n, 3, 32, 32) uint8, and the data's name."""
    from epochal.systems import data

    found = data.load(source, wanted="cifar10", limit=limit)
    images = torch.from_numpy(found.splits["train"]["images"]).permute(0, 3, 1, 2).contiguous()
    return images, found.name


def batches(images: Tensor) -> Iterator[Tensor]:
    """Shuffled batches without end, epoch after epoch, in [-1, 1]."""
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen].float() / 127.5 - 1


class Side:
    """This program as `epochal bench speed` drives it: blocks of steps that time themselves."""

    def __init__(self, source: str, limit: int | None, seed: int) -> None:
        torch.manual_seed(seed)
        images, self.data = load(source, limit)
        self.items = len(images)
        self.batches = batches(images)
        self.generator, self.discriminator = Generator().train(), Discriminator().train()
        glorot(self.generator)
        glorot(self.discriminator)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), lr=1e-4, eps=1e-7)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), lr=1e-4, eps=1e-7)

    def run(self, steps: int) -> tuple[float, float]:
        """Trains for `steps` steps; returns the seconds they took and the mean of both losses' sum over them."""
        bce, total = F.binary_cross_entropy_with_logits, torch.zeros(())
        start = time.perf_counter()
        for _ in range(steps):
            real = next(self.batches)
            ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
            fake = self.generator(torch.randn(len(real), LATENT))
            self.adam_g.zero_grad()
            loss_g = bce(self.discriminator(fake), ones)
            loss_g.backward()
            self.adam_g.step()
            self.adam_d.zero_grad()
            loss_d = bce(self.discriminator(real), ones) + bce(self.discriminator(fake.detach()), zeros)
            loss_d.backward()
            self.adam_d.step()
            total += loss_g.detach() + loss_d.detach()
        return time.perf_counter() - start, total.item() / steps


def main() -> None:
    """Trains for a number of steps after a short warm-up and prints the time of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=196)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--source", default="auto")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    side = Side(options.source, options.limit, options.seed)
    side.run(options.warm_up)
    seconds, loss = side.run(options.steps)
    seconds /= options.steps
    if options.json:
        result = {"side": "plain", "steps": options.steps, "seconds_per_step": seconds, "loss": loss}
        print(json.dumps(result))
    else:
        print(f"{seconds:.3f} s a step, {196 * seconds:.0f} s an epoch of 50,000; mean loss {loss:.3f}")


if __name__ == "__main__":
    main()
