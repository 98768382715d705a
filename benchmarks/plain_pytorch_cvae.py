"""cvae-digits, version model-2, in plain PyTorch: what a good user writes without Epochal.

    python benchmarks/plain_pytorch_cvae.py --steps 1875

Eager mode, float32, batch 32, the recipe's mathematics to the letter: its layers, dropout, "same" padding,
Glorot-uniform weights, Adam with lr / (1 + 1e-6 * step), squared error summed over the 784 pixels, KL, and
0.001 * sum(w ** 2) over the convolution kernels. The data stand in memory as tensors and a batch is
`images[chosen]`: for so small a data set a `DataLoader` only adds time (`--dataloader` shows how much).

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
DROPOUT = 0.45
LATENT = 40
CONDITION = 11  # one-hot class and stroke thickness
PENALTY = 1e-3


class Encoder(nn.Module):
    """Image and condition to mean and log-variance of the latent vector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.dropout = nn.Dropout(DROPOUT)
        self.dense = nn.Linear(128 * 7 * 7 + CONDITION, 256)
        self.beside = nn.Linear(28 * 28, 64)
        self.mean = nn.Linear(256 + 64, LATENT)
        self.logvar = nn.Linear(256 + 64, LATENT)

    def forward(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """`image` (B, 1, 28, 28), `condition` (B, 11) to two tensors (B, 40)."""
        h = self.dropout(F.relu(self.conv1(image)))  # (B, 32, 14, 14)
        h = self.dropout(F.relu(self.conv2(h)))  # (B, 64, 7, 7)
        h = F.relu(self.conv3(h)).flatten(1)  # (B, 6272)
        h = F.relu(self.dense(torch.cat([h, condition], dim=1)))
        h = torch.cat([h, F.relu(self.beside(image.flatten(1)))], dim=1)  # (B, 320)
        return self.mean(h), self.logvar(h)


class Decoder(nn.Module):
    """Latent vector and condition to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = nn.Linear(LATENT + CONDITION, 320)
        self.dense2 = nn.Linear(320, 160 * 7 * 7)
        self.up1 = nn.ConvTranspose2d(160, 80, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(80, 40, 3, stride=2, padding=1, output_padding=1)
        self.up3 = nn.ConvTranspose2d(40, 1, 3, padding=1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """`z` (B, 40), `condition` (B, 11) to (B, 1, 28, 28)."""
        h = F.relu(self.dense1(torch.cat([z, condition], dim=1)))
        h = F.relu(self.dense2(h)).view(-1, 160, 7, 7)
        h = self.dropout(F.relu(self.up1(h)))  # (B, 80, 14, 14)
        h = self.dropout(F.relu(self.up2(h)))  # (B, 40, 28, 28)
        return F.relu(self.up3(h))


class CVAE(nn.Module):
    """The whole network with its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.kernels = [m.weight for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]

    def loss(self, image: Tensor, condition: Tensor) -> Tensor:
        """Mean over the batch of squared error + KL, plus the penalty; a scalar tensor."""
        mean, logvar = self.encoder(image, condition)
        z = mean + torch.exp(logvar / 2) * torch.randn_like(mean)
        drawn = self.decoder(z, condition)
        error = (image - drawn).square().sum(dim=(1, 2, 3))
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(dim=1)
        return (error + kl).mean() + PENALTY * sum(w.square().sum() for w in self.kernels)


def optimiser_of(model: nn.Module) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with the sheet's learning-rate decay, to be advanced every step."""
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    return adam, torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 / (1 + 1e-6 * step))


def thickness(images: Tensor, labels: Tensor) -> Tensor:
    """White ratio standardised within each class: clip(0.5 (w - mean_c) / std_c, -1, 1), of shape (n,)."""
    white = images.mean(dim=(1, 2, 3))
    t = torch.empty_like(white)
    for digit in range(10):
        of_class = labels == digit
        w = white[of_class]
        t[of_class] = (0.5 * (w - w.mean()) / w.std(correction=0)).clamp(-1, 1)
    return t


def load(source: str, limit: int | None) -> tuple[Tensor, Tensor, str]:
    """Training images (n, 1, 28, 28) in [0, 1], conditions (n, 11), both float32, and the data's name."""
    from epochal.systems import data

    found = data.load(source, limit=limit)
    columns = found.splits["train"]
    images = torch.from_numpy(columns["images"]).unsqueeze(1).float() / 255
    labels = torch.from_numpy(columns["labels"]).long()
    conditions = torch.cat([F.one_hot(labels, 10).float(), thickness(images, labels)[:, None]], dim=1)
    return images, conditions, found.name


def batches(images: Tensor, conditions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end, epoch after epoch."""
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], conditions[chosen]


def loader_batches(images: Tensor, conditions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The same through `DataLoader`, to show what it costs."""
    dataset = torch.utils.data.TensorDataset(images, conditions)
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
    while True:
        yield from loader


class Side:
    """This program as `epochal bench speed` drives it: blocks of steps that time themselves."""

    def __init__(self, source: str, limit: int | None, seed: int, dataloader: bool = False) -> None:
        torch.manual_seed(seed)
        images, conditions, self.data = load(source, limit)
        self.items = len(images)
        self.batches = (loader_batches if dataloader else batches)(images, conditions)
        self.model = CVAE().train()
        self.adam, self.schedule = optimiser_of(self.model)

    def run(self, steps: int) -> tuple[float, float]:
        """Trains for `steps` steps; returns the seconds they took and the mean loss over them."""
        total = torch.zeros(())
        start = time.perf_counter()
        for _ in range(steps):
            image, condition = next(self.batches)
            self.adam.zero_grad()
            loss = self.model.loss(image, condition)
            loss.backward()
            self.adam.step()
            self.schedule.step()
            total += loss.detach()
        return time.perf_counter() - start, total.item() / steps


def main() -> None:
    """Trains for a number of steps after a short warm-up and prints the time of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1875)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--source", default="auto")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dataloader", action="store_true", help="take the batches from a DataLoader")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    side = Side(options.source, options.limit, options.seed, options.dataloader)
    side.run(options.warm_up)
    seconds, loss = side.run(options.steps)
    seconds /= options.steps
    result = {"side": "plain", "steps": options.steps, "seconds_per_step": seconds, "loss": loss}
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{1e3 * seconds:.2f} ms a step, {1875 * seconds:.1f} s an epoch of 60,000; mean loss {loss:.3f}"
        )


if __name__ == "__main__":
    main()
