"""What turns images into features: a frozen network, known by its name and the hash of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.evidence.metrics.images import Batches, Images, chunks

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Extractor:
    """A frozen feature extractor. Distances measured with two different ones do not compare.

    Attributes:
        name: what it was trained as and on, such as "image-features/cifar10".
        net: a module in eval mode whose `features(x)` turns images (B, C, H, W) in [0, 1] into (B, d).
        sha256: of its weights (`fingerprint`).
    """

    name: str
    net: Any
    sha256: str

    @classmethod
    def of(cls, net: Any, name: str) -> Extractor:
        """The extractor of a network, which is put into eval mode."""
        return cls(name, net.eval(), fingerprint(net))

    @property
    def identity(self) -> str:
        """Name and the first eight digits of the hash: "image-features/cifar10 3fa9c1e2"."""
        return f"{self.name} {self.sha256[:8]}"

    @property
    def device(self) -> str:
        """Where the network lies."""
        return str(next(self.net.parameters()).device)

    def features(self, images: Images) -> Features:
        """Features (n, d) of pictures (n, H, W, C), in float32 on the network's device."""
        import torch

        with torch.no_grad():
            pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            x = pixels.to(self.device).float() / 255
            found: Features = self.net.features(x).float().cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError(f"features of {self.identity} are not finite")
        return found

    def of_batches(self, batches: Batches) -> Iterator[Features]:
        """Features of all images, part by part."""
        for images in chunks(batches):
            yield self.features(images)


def fingerprint(net: Any) -> str:
    """SHA-256 over a module's weights and floating-point buffers, as little-endian float32, in order of their names.

    Each is preceded by its name and shape; integer buffers (how many batches a norm has seen) do not count.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().float().cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
