"""The conditional VAE for faces in plain PyTorch: what a good user writes without Epochal.

    python benchmarks/plain_pytorch_cvae_faces.py --steps 5

Eager mode, float32, contiguous, all threads, batch 32, Adam. The network is written from its description: 4x4
convolutions with SiLU and dropout 0.45, dense side paths in encoder and decoder, and for `sum-mse` no tanh on the
posterior. The images stand in memory as bytes, three planes each, and a batch is `images[chosen]` as floats. The loss
is W times the mean squared error plus the KL divergence plus 0.001·Σw² over the convolution kernels.

Kept as the yardstick of `epochal bench speed`: make it faster only by what such a user would do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 32
CONDITIONS = 5


class Encoder(nn.Module):
    """Image (B, 3, 120, 120) and condition (B, 5) to mean and log-variance (B, latent)."""

    def __init__(self, latent: int, bounded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 48, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(48, 64, 4, stride=2, padding=1)
        self.conv4 = nn.Conv2d(64, 96, 4, padding="same")
        self.dropout = nn.Dropout(0.45)
        self.dense = nn.Linear(96 * 15 * 15 + CONDITIONS, 192)
        self.side1 = nn.Linear(3 * 120 * 120 + CONDITIONS, 64)
        self.side2 = nn.Linear(32 * 60 * 60 + CONDITIONS, 64)
        self.side3 = nn.Linear(48 * 30 * 30 + CONDITIONS, 64)
        self.mean = nn.Linear(192 + 3 * 64 + CONDITIONS, latent)
        self.log_variance = nn.Linear(192 + 3 * 64 + CONDITIONS, latent)
        self.bounded = bounded

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        h1 = self.dropout(F.silu(self.conv1(x)))
        h2 = self.dropout(F.silu(self.conv2(h1)))
        h3 = self.dropout(F.silu(self.conv3(h2)))
        h4 = F.silu(self.conv4(h3))
        dense = F.silu(self.dense(torch.cat([h4.flatten(1), c], dim=1)))
        side1 = F.silu(self.side1(torch.cat([x.flatten(1), c], dim=1)))
        side2 = F.silu(self.side2(torch.cat([h1.flatten(1), c], dim=1)))
        side3 = F.silu(self.side3(torch.cat([h2.flatten(1), c], dim=1)))
        h = torch.cat([dense, side1, side2, side3, c], dim=1)
        mean, log_variance = self.mean(h), self.log_variance(h)
        if self.bounded:
            mean, log_variance = torch.tanh(mean), torch.tanh(log_variance)
        return mean, log_variance


class Decoder(nn.Module):
    """Latent (B, latent) and condition (B, 5) to image (B, 3, 120, 120)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        inputs = latent + CONDITIONS
        self.dense1 = nn.Linear(inputs, 256)
        self.dense2 = nn.Linear(256, 120 * 15 * 15)
        self.side15 = nn.Linear(inputs, 120 * 15 * 15)
        self.side30 = nn.Linear(inputs, 80 * 30 * 30)
        self.side60 = nn.Linear(inputs, 60 * 60 * 60)
        self.side120 = nn.Linear(inputs, 40 * 120 * 120)
        self.up1 = nn.ConvTranspose2d(120, 80, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(80, 60, 4, stride=2, padding=1)
        self.up3 = nn.ConvTranspose2d(60, 40, 4, stride=2, padding=1)
        self.out = nn.ConvTranspose2d(40, 3, 4, padding=1)
        self.dropout = nn.Dropout(0.45)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        zc = torch.cat([z, c], dim=1)
        h = F.silu(self.dense2(F.silu(self.dense1(zc)))).view(-1, 120, 15, 15)
        h = h + F.silu(self.side15(zc)).view_as(h)
        h = F.silu(self.up1(h))
        h = self.dropout(h + F.silu(self.side30(zc)).view_as(h))
        h = F.silu(self.up2(h))
        h = self.dropout(h + F.silu(self.side60(zc)).view_as(h))
        h = F.silu(self.up3(h))
        h = self.dropout(h + F.silu(self.side120(zc)).view_as(h))
        return F.silu(self.out(h)[:, :, :120, :120])


def load(source: str, limit: int | None) -> tuple[Tensor, Tensor, str]:
    """Training images (n, 3, 120, 120) uint8, conditions (n, 5), and the data's name."""
    from epochal.systems import data

    found = data.load(source, wanted="faces-folder", limit=limit)
    columns = found.splits["train"]
    images = torch.tensor(columns["images"]).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(columns["conditions"]), found.name


def batches(images: Tensor, conditions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end, epoch after epoch; images as floats in [0, 1]."""
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen].float() / 255, conditions[chosen]


class Side:
    """This program as `epochal bench speed` drives it: blocks of steps that time themselves."""

    def __init__(
        self, source: str, limit: int | None, seed: int, latent: int, weight: float, bounded: bool
    ) -> None:
        torch.manual_seed(seed)
        images, conditions, self.data = load(source, limit)
        self.items = len(images)
        self.batches = batches(images, conditions)
        self.weight = weight
        self.encoder, self.decoder = Encoder(latent, bounded), Decoder(latent)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        for module in [*self.encoder.modules(), *self.decoder.modules()]:
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.kernels = [p for p in parameters if p.dim() == 4]
        self.adam = torch.optim.Adam(parameters, lr=2e-4, eps=1e-7)
        self.steps = 0

    def run(self, steps: int) -> tuple[float, float]:
        """Trains for `steps` steps; returns the seconds they took and the mean loss over them."""
        total = torch.zeros(())
        start = time.perf_counter()
        for _ in range(steps):
            for group in self.adam.param_groups:
                group["lr"] = 2e-4 / (1 + 1e-6 * self.steps)
            total += self.step().detach()
            self.steps += 1
        return time.perf_counter() - start, total.item() / steps

    def step(self) -> Tensor:
        """One optimiser step; its loss."""
        x, c = next(self.batches)
        self.adam.zero_grad()
        loss = self.loss(x, c)
        loss.backward()
        self.adam.step()
        return loss

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """Loss of images (B, 3, 120, 120) and conditions (B, 5)."""
        mean, log_variance = self.encoder(x, c)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        y = self.decoder(z, c)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        penalty = 0.001 * sum((kernel**2).sum() for kernel in self.kernels)
        return self.weight * F.mse_loss(y, x) + kl + penalty


VERSIONS = {
    "baseline": (48, 1.0, True),
    "model-2": (48, 500.0, True),
    "model-3": (110, 500.0, True),
    "sum-mse": (48, 43_200.0, False),
}


def main() -> None:
    """Trains for a number of steps after a short warm-up and prints the time of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", choices=VERSIONS, nargs="?", default="sum-mse")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--source", default="auto")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    side = Side(options.source, options.limit, options.seed, *VERSIONS[options.version])
    side.run(options.warm_up)
    seconds, loss = side.run(options.steps)
    seconds /= options.steps
    result = {"side": "plain", "steps": options.steps, "seconds_per_step": seconds, "loss": loss}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{seconds:.3f} s a step, {527 * seconds:.0f} s an epoch of 16,864; mean loss {loss:.3f}")


if __name__ == "__main__":
    main()
