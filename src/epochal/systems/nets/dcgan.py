"""DCGAN for small images: generator and discriminator of transposed and strided 5x5 convolutions.

Radford, Metz & Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", 2015, in the sizes of TensorFlow's DCGAN tutorial. Keras' `padding="same"` is `padding=2` here, and
`output_padding=1` where a transposed convolution doubles the size: the sizes are Keras', the pictures shifted by one
pixel (docs/decisions/0006).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Init = Literal["glorot", "normal"]
Depth = Literal["logged", "deeper", "deepest"]


class Generator(nn.Module):
    """G(z): noise (B, latent) → image (B, channels, 4·start, 4·start) in [-1, 1].

    Args:
        latent: length of the noise.
        width: number of channels of the last hidden layer; the earlier ones have two and four times as many.
        depth: "deeper" has one more layer of 4·width channels before the first upsampling; "deepest" also one more
            of stride 1, as wide as the layer before it, at each of the three resolutions.
        slope: of the leaky ReLUs for negative inputs.
        init: "glorot" (Keras' default) or "normal", N(0, 0.02²) as in the paper.
        start: side of the first feature map.
        channels: of the image.
    """

    def __init__(
        self,
        latent: int = 100,
        width: int = 64,
        *,
        depth: Depth = "logged",
        slope: float = 0.3,
        init: Init = "glorot",
        start: int = 8,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.latent, self.start, self.slope = latent, start, slope
        same = {"logged": 0, "deeper": 0, "deepest": 1}[depth]
        # (channels out, stride) of the transposed convolutions, resolution by resolution.
        plan = [(4 * width, 1)] * (depth != "logged") + [(2 * width, 1)] + [(2 * width, 1)] * same
        plan += [(width, 2)] + [(width, 1)] * same
        plan += [(channels, 2)] + [(channels, 1)] * same
        self.dense = nn.Linear(latent, start * start * 4 * width, bias=False)
        self.norm = _batch_norm(nn.BatchNorm1d, start * start * 4 * width)
        layers, norms, before = [], [], 4 * width
        for after, stride in plan:
            layers.append(nn.ConvTranspose2d(before, after, 5, stride, 2, stride - 1, bias=False))
            norms.append(_batch_norm(nn.BatchNorm2d, after))
            before = after
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms[:-1])  # the image itself is not normalised
        initialise(self, init)

    def forward(self, z: Tensor) -> Tensor:
        h = F.leaky_relu(self.norm(self.dense(z)), self.slope)
        # Channels innermost, as Keras shapes it: nothing is moved where the layout is channels-last.
        h = h.view(len(z), self.start, self.start, -1).permute(0, 3, 1, 2)  # (B, 4·width, start, start)
        for layer, norm in zip(self.layers, self.norms, strict=False):
            h = F.leaky_relu(norm(layer(h)), self.slope)
        return torch.tanh(self.layers[-1](h))


class Discriminator(nn.Module):
    """D(x): image (B, channels, 4·end, 4·end) in [-1, 1] → what the loss reads as the logit of "real", (B,).

    Args:
        width: number of channels of the first convolution; the second has twice as many.
        dropout: after either convolution.
        slope: of the leaky ReLUs for negative inputs.
        sigmoid: True puts a sigmoid on the output. A loss that expects logits then sees nothing below 0 or above 1.
        spectral_norm: True divides every weight by its largest singular value (`Spectral`).
        init: as the generator's.
        end: side of the last feature map.
        channels: of the image.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        dropout: float = 0.3,
        slope: float = 0.3,
        sigmoid: bool = False,
        spectral_norm: bool = False,
        init: Init = "glorot",
        end: int = 8,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.slope, self.sigmoid = slope, sigmoid
        layers = (
            nn.Conv2d(channels, width, 5, 2, 2),
            nn.Conv2d(width, 2 * width, 5, 2, 2),
            nn.Linear(end * end * 2 * width, 1),
        )
        for layer in layers:
            initialise(layer, init)
        self.conv1, self.conv2, self.dense = (Spectral(one) if spectral_norm else one for one in layers)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout1(F.leaky_relu(self.conv1(x), self.slope))  # (B, width, 2·end, 2·end)
        h = self.dropout2(F.leaky_relu(self.conv2(h), self.slope))  # (B, 2·width, end, end)
        y: Tensor = self.dense(h.permute(0, 2, 3, 1).flatten(1))[:, 0]
        # In float32: bfloat16 rounds a sigmoid above 6 to 1, and no gradient comes back through it.
        return torch.sigmoid(y.float()) if self.sigmoid else y


class Spectral(nn.Module):
    """A layer whose weight W, as a matrix (out, in·kernel), is divided by its largest singular value σ.

    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018: σ ≈ uᵀWv, where u and v
    follow the weight by one step of power iteration a forward pass in train mode; in eval mode u stays. The layer
    keeps its weight W: its output without bias is divided, which is the same and leaves the layer a plain one.

    Args:
        layer: convolution or dense layer.
    """

    u: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.bias, layer.bias = layer.bias, None
        self.layer = layer
        # No draw: with and without the norm a seed gives the same weights.
        self.register_buffer("u", F.normalize(torch.ones(layer.weight.shape[0]), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x) / self.norm()
        if self.bias is None:
            return y
        return y + self.bias.to(y.dtype).view(-1, *[1] * (y.dim() - 2))

    def norm(self) -> Tensor:
        """σ, float32; in train mode u takes a step first."""
        w = self.layer.weight.float().flatten(1)
        with torch.no_grad():
            if self.training:
                self.u.copy_(F.normalize(w @ F.normalize(w.t() @ self.u, dim=0), dim=0))
            v = F.normalize(w.t() @ self.u, dim=0)
            u = self.u.clone()  # a later pass moves it while this one is still needed for its gradient
        return u @ (w @ v)


def initialise(net: nn.Module, how: Init) -> None:
    """Weights Glorot-uniform (Glorot & Bengio 2010) or N(0, 0.02²); then norms' scales N(1, 0.02²); biases 0.

    Radford et al. 2015, section 4, draw all weights from N(0, 0.02²); what of the norms' scales is their program's.
    """
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if how == "glorot":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and how == "normal":
            nn.init.normal_(module.weight, 1.0, 0.02)


def _batch_norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], features: int) -> nn.Module:
    """Keras' defaults: ε 1e-3, and running statistics that keep 0.99 of themselves a step."""
    return kind(features, eps=1e-3, momentum=0.01)
