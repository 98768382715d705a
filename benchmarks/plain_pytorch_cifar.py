"""VGG-16 and ResNet-50 on CIFAR-10 in plain PyTorch: what a good user writes without Epochal.

    python benchmarks/plain_pytorch_cifar.py resnet50 --steps 20

Eager mode, float32, contiguous, all threads, batch 100, Adam with a learning rate of 0.001, no augmentation. The
networks are written from the papers and the log's description: `vgg16` and `vgg16-bn` (Simonyan and Zisserman 2015,
configuration D, one dense layer), `resnet50` (He et al. 2016, 3x3 stem and stages 3/4/6/3) and `resnet50-log` (7x7
stride-2 stem, max-pooling, stages 3/4/6, no ReLU between a block's convolutions, 2x2 pooling). The images stand in
memory as bytes and a batch is `images[chosen]`, scaled by channel.

Kept as the yardstick of `epochal bench speed`: make it faster only by what such a user would do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 100
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)


def vgg16(batch_norm: bool = False) -> nn.Module:
    """Thirteen 3x3 convolutions, a max-pooling after each block, and a dense layer: (B, 3, 32, 32) to (B, 10)."""
    layers: list[nn.Module] = []
    width = 3
    for item in [64, 64, "M", 128, 128, "M", *([256] * 3), "M", *([512] * 3), "M", *([512] * 3), "M"]:
        if item == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        out = int(item)
        layers.append(nn.Conv2d(width, out, kernel_size=3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.ReLU(inplace=True))
        width = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


class Block(nn.Module):
    """A bottleneck: 1x1, 3x3 (with the stride), 1x1 to four times the width, plus the shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, relu_inside: bool) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.relu_inside = relu_inside

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        h = self.bn1(self.conv1(x))
        if self.relu_inside:
            h = F.relu(h)
        h = self.bn2(self.conv2(h))
        if self.relu_inside:
            h = F.relu(h)
        h = self.bn3(self.conv3(h))
        return F.relu(h + identity)


class ResNet(nn.Module):
    """Stem, stages of bottlenecks, average pooling, dense layer: (B, 3, 32, 32) to (B, 10)."""

    def __init__(self, stem: list[nn.Module], blocks: list[int], relu_inside: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(*stem)
        stages: list[nn.Module] = []
        inputs = 64
        for stage, count in enumerate(blocks):
            width = 64 * 2**stage
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                stages.append(Block(inputs, width, stride, relu_inside))
                inputs = 4 * width
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(inputs, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages(self.stem(x))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(h, 1), 1))


def resnet50() -> nn.Module:
    """The ResNet-50 for small images."""
    stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return ResNet(stem, [3, 4, 6, 3], relu_inside=True)


def resnet50_log() -> nn.Module:
    """The ResNet-50 of the log."""
    stem = [nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return ResNet([*stem, nn.MaxPool2d(3, stride=2, padding=1)], [3, 4, 6], relu_inside=False)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg16": vgg16,
    "vgg16-bn": lambda: vgg16(batch_norm=True),
    "resnet50": resnet50,
    "resnet50-log": resnet50_log,
}


def load(source: str, limit: int | None) -> tuple[Tensor, Tensor, str]:
    """Training images (n, 3, 32, 32) uint8, labels (n,) int64, and the data's name."""
    from epochal.systems import data

    found = data.load(source, wanted="cifar10", limit=limit)
    columns = found.splits["train"]
    images = torch.from_numpy(columns["images"]).permute(0, 3, 1, 2).contiguous()
    return images, torch.from_numpy(columns["labels"]).long(), found.name


def batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end, epoch after epoch; images as floats, scaled by channel."""
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield (images[chosen].float() / 255 - MEAN) / STD, labels[chosen]


class Side:
    """This program as `epochal bench speed` drives it: blocks of steps that time themselves."""

    def __init__(self, source: str, limit: int | None, seed: int, network: str) -> None:
        torch.manual_seed(seed)
        images, labels, self.data = load(source, limit)
        self.items = len(images)
        self.batches = batches(images, labels)
        self.model = NETWORKS[network]().train()
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def run(self, steps: int) -> tuple[float, float]:
        """Trains for `steps` steps; returns the seconds they took and the mean loss over them."""
        total = torch.zeros(())
        start = time.perf_counter()
        for _ in range(steps):
            images, labels = next(self.batches)
            self.adam.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            self.adam.step()
            total += loss.detach()
        return time.perf_counter() - start, total.item() / steps


def main() -> None:
    """Trains for a number of steps after a short warm-up and prints the time of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--source", default="auto")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    side = Side(options.source, options.limit, options.seed, options.network)
    side.run(options.warm_up)
    seconds, loss = side.run(options.steps)
    seconds /= options.steps
    result = {"side": "plain", "steps": options.steps, "seconds_per_step": seconds, "loss": loss}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{seconds:.3f} s a step, {500 * seconds:.0f} s an epoch of 50,000; mean loss {loss:.3f}")


if __name__ == "__main__":
    main()
