"""The conditional VAE for 120x120 colour faces: encoder, decoder with side paths, and the condition that both read.

Conditional VAE: Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional Generative
Models", 2015. SiLU after every layer but those of the posterior: Elfwing, Uchibe & Doya 2018.

All convolutions have 4x4 kernels and Keras' padding "same", exactly: at stride 2 on even sizes that is one row on
both sides; at stride 1 it is one before and two after, here a row more on both sides whose first (encoder) or last
(decoder) output is left out.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from epochal.systems.nets.cvae import glorot

SIDE = 120
CONDITIONS = 5
"""p(male), p(female), hair darkness, mouth openness, eye openness: each 0 to 1."""

SidePath = Literal["dense", "broadcast", "none"]


class Condition(nn.Module):
    """What values the conditions take in the training images, kept as buffers and so with every checkpoint.

    `low`, `middle`, `high`, each (5,): 5th, 50th and 95th percentile; 0 and 1 where these hardly differ. The ends of
    sex are 0 and 1, its middle 1/2, whatever the images are.
    """

    low: Tensor
    middle: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("low", 0.0), ("middle", 0.5), ("high", 1.0)):
            self.register_buffer(name, torch.full((CONDITIONS,), value))

    @torch.no_grad()
    def fit(self, conditions: Tensor) -> None:
        """Learns the percentiles of conditions (n, 5)."""
        found = torch.quantile(conditions.float(), torch.tensor([0.05, 0.5, 0.95]), dim=0)
        low, middle, high = found[:, 2:].to(self.low.device)
        varies = high - low > 0.01
        self.low[2:], self.middle[2:], self.high[2:] = low * varies, middle, high.where(varies, 1.0)


class Encoder(nn.Module):
    """q(z | x, c): image (B, 3, 120, 120) in [0, 1] and condition (B, 5) → mean and log-variance, each (B, latent).

    Four convolutions and a dense layer; beside them three side paths, dense layers of 64 units that read the image
    and the first two blocks' outputs (dropout included) directly. Every dense layer also reads the condition.

    Args:
        latent: dimensions of z.
        dropout: after each convolution but the last.
        bounded: tanh on mean and log-variance.
        width: factor on all channels and units.
    """

    def __init__(self, latent: int, dropout: float, *, bounded: bool = True, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4, units, beside = (scaled(n, width) for n in (32, 48, 64, 96, 192, 64))
        self.bounded = bounded
        self.conv1 = nn.Conv2d(3, c1, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(c1, c2, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(c2, c3, 4, stride=2, padding=1)
        self.conv4 = nn.Conv2d(c3, c4, 4, padding=2)
        self.dense = nn.Linear(c4 * 15 * 15 + CONDITIONS, units)
        self.side_image = nn.Linear(3 * 120 * 120 + CONDITIONS, beside)
        self.side60 = nn.Linear(c1 * 60 * 60 + CONDITIONS, beside)
        self.side30 = nn.Linear(c2 * 30 * 30 + CONDITIONS, beside)
        self.mean = nn.Linear(units + 3 * beside + CONDITIONS, latent)
        self.log_variance = nn.Linear(units + 3 * beside + CONDITIONS, latent)
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(3))
        glorot(self)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        h60 = self.dropout1(F.silu(self.conv1(x)))  # (B, 32, 60, 60)
        h30 = self.dropout2(F.silu(self.conv2(h60)))  # (B, 48, 30, 30)
        h = self.dropout3(F.silu(self.conv3(h30)))  # (B, 64, 15, 15)
        h = F.silu(self.conv4(h)[:, :, 1:, 1:])  # (B, 96, 15, 15)
        read = [
            F.silu(dense(torch.cat([_flat(features), c], dim=1)))
            for dense, features in (
                (self.dense, h),
                (self.side_image, x),
                (self.side60, h60),
                (self.side30, h30),
            )
        ]
        code = torch.cat([*read, c], dim=1)  # (B, 192 + 3·64 + 5)
        mean, log_variance = self.mean(code), self.log_variance(code)
        return (mean.tanh(), log_variance.tanh()) if self.bounded else (mean, log_variance)


class Decoder(nn.Module):
    """p(x | z, c): latent (B, latent) and condition (B, 5) → image (B, 3, 120, 120), at least -0.28 (SiLU).

    Two dense layers and four transposed convolutions. At each of the four scales a side path is added to the
    feature map, which (z, c) thus reaches directly.

    Args:
        latent: dimensions of z.
        dropout: after each transposed convolution but the last.
        side_path: "dense" gives every position of every channel weights of its own; "broadcast" adds one number a
            channel at all positions; "none" adds nothing.
        width: factor on all channels and units.
    """

    def __init__(
        self, latent: int, dropout: float, *, side_path: SidePath = "dense", width: float = 1.0
    ) -> None:
        super().__init__()
        c15, c30, c60, c120, units = (scaled(n, width) for n in (120, 80, 60, 40, 256))
        inputs = latent + CONDITIONS
        self.dense1 = nn.Linear(inputs, units)
        self.dense2 = nn.Linear(units, c15 * 15 * 15)
        self.up1 = nn.ConvTranspose2d(c15, c30, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(c30, c60, 4, stride=2, padding=1)
        self.up3 = nn.ConvTranspose2d(c60, c120, 4, stride=2, padding=1)
        self.out = nn.ConvTranspose2d(c120, 3, 4, padding=1)
        self.sides = nn.ModuleList(
            nn.Identity()
            if side_path == "none"
            else nn.Linear(inputs, channels * (side * side if side_path == "dense" else 1))
            for channels, side in ((c15, 15), (c30, 30), (c60, 60), (c120, 120))
        )
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(3))
        glorot(self)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        code = torch.cat([z, c], dim=1)
        h = F.silu(self.dense2(F.silu(self.dense1(code))))
        h = h.view(len(h), 15, 15, -1).permute(0, 3, 1, 2)
        h = self._beside(h, 0, code)  # (B, 120, 15, 15)
        h = self.dropout1(self._beside(F.silu(self.up1(h)), 1, code))  # (B, 80, 30, 30)
        h = self.dropout2(self._beside(F.silu(self.up2(h)), 2, code))  # (B, 60, 60, 60)
        h = self.dropout3(self._beside(F.silu(self.up3(h)), 3, code))  # (B, 40, 120, 120)
        return F.silu(self.out(h)[:, :, :SIDE, :SIDE])

    def _beside(self, h: Tensor, scale: int, code: Tensor) -> Tensor:
        side = self.sides[scale]
        if isinstance(side, nn.Identity):
            return h
        added = F.silu(side(code))
        batch, channels, height, width = h.shape
        if added.shape[1] == channels:
            return h + added[:, :, None, None]
        return h + added.view(batch, height, width, channels).permute(0, 3, 1, 2)


class Adversary(nn.Module):
    """Reads the conditions off a code: z (B, latent) → (B, 4), in standard deviations from the training images' mean.

    Where it finds nothing it answers 0; of the best one the mean square of the answers is the share of a condition's
    variance that the code tells (the correlation ratio). Lample et al., "Fader Networks", 2017, with conditions that
    are numbers instead of yes or no. It sees every batch of codes standardised: else an encoder escapes it by moving
    all codes together, ever further from where they are drawn.
    """

    COLUMNS = (0, 2, 3, 4)
    """Of a condition (B, 5); the second is one minus the first."""
    mean: Tensor
    deviation: Tensor

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(self.COLUMNS)))
        self.register_buffer("deviation", torch.ones(len(self.COLUMNS)))
        self.layers = nn.Sequential(
            *(nn.Linear(latent, hidden), nn.SiLU()),
            *(nn.Linear(hidden, hidden), nn.SiLU()),
            nn.Linear(hidden, len(self.COLUMNS)),
        )
        glorot(self)

    @torch.no_grad()
    def fit(self, conditions: Tensor) -> None:
        """Learns mean and standard deviation of conditions (n, 5)."""
        known = conditions.float()[:, list(self.COLUMNS)].to(self.mean.device)
        self.mean.copy_(known.mean(0))
        self.deviation.copy_(known.std(0, correction=0).clamp(min=1e-3))

    def target(self, c: Tensor) -> Tensor:
        """What is to be read of conditions (B, 5): (B, 4)."""
        return (c[:, list(self.COLUMNS)] - self.mean) / self.deviation

    def forward(self, z: Tensor) -> Tensor:
        deviation = (z.var(0, correction=0) + 1e-6).sqrt()
        found: Tensor = self.layers((z - z.mean(0)) / deviation)
        return found


class Codes(nn.Module):
    """Where the training images' codes lie: their running mean and covariance, kept as buffers, to draw new ones from.

    Ghosh et al., "From Variational to Deterministic Autoencoders", 2020, fit a density to the codes after training;
    here it is one Gaussian, and follows the training like the statistics of a batch norm. N(0, I) at first.
    """

    STEPS = 100
    """Each step's share is one in so many; in the first steps more, so that they count alike."""
    mean: Tensor
    square: Tensor
    seen: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("square", torch.eye(latent))  # mean of z zᵀ
        self.register_buffer("seen", torch.zeros(()))

    @torch.no_grad()
    def learn(self, z: Tensor) -> None:
        """Takes in the codes of a batch, (B, latent)."""
        z = z.float()
        self.seen += 1
        share = (1 / self.seen).clamp(min=1 / self.STEPS)
        self.mean.lerp_(z.mean(0), share)
        self.square.lerp_(z.T @ z / len(z), share)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """New codes, (n, latent)."""
        # Of a direction that no code takes the difference is rounding, which may be negative.
        variances, axes = torch.linalg.eigh((self.square - self.mean.outer(self.mean)).cpu())
        root = (axes * variances.clamp(min=0).sqrt()).to(self.mean.device)
        noise = torch.randn(n, len(self.mean), device=rng.device, generator=rng)
        found: Tensor = self.mean + noise @ root.T
        return found


def scaled(count: int, width: float) -> int:
    """So many channels or units at a width."""
    return max(1, round(count * width))


def _flat(features: Tensor) -> Tensor:
    """(B, C, H, W) → (B, H·W·C): a view where channels are innermost in memory, as Keras flattens."""
    return features.permute(0, 2, 3, 1).flatten(1)
