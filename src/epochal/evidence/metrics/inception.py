"""FID proper: the Fréchet distance of Inception-v3's features, with weights that the user supplies.

The weights are those that torch-fidelity publishes, converted from TensorFlow's of 2015, on which FID is defined
(`weights-inception-2015-12-05-6726825d.pth`). Epochal neither holds nor downloads them: EPOCHAL_INCEPTION or an
argument names the file. The network itself is torch-fidelity's (extra `fid`), so that the numbers are its numbers.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from epochal.errors import EpochalError, UsageError
from epochal.evidence.metrics.extractor import Extractor
from epochal.evidence.metrics.frechet import frechet_distance, gaussian
from epochal.evidence.metrics.images import Batches

VARIABLE = "EPOCHAL_INCEPTION"
AT_ONCE = 32
"""Images a forward pass."""
_FEATURES = "2048"  # the pooled last layer's
_INSTALL = "pip install 'epochal[fid]'"
_WHERE = "The file is weights-inception-2015-12-05-6726825d.pth of https://github.com/toshas/torch-fidelity/releases."


def fid(real: Batches, generated: Batches, weights: str | Path | None = None) -> float | None:
    """FID of two sets of images (Heusel et al. 2017), as torch-fidelity computes it; None where no weights are named.

    Published values take 50,000 generated images: with fewer it is higher, and with 2,048 or fewer meaningless.

    Args:
        real: images in a form that `images.as_uint8` takes.
        generated: likewise.
        weights: see `inception`.

    Raises:
        EpochalError: see `inception`.
    """
    eye = inception(weights)
    if eye is None:
        return None
    return frechet_distance(gaussian(eye.of_batches(real)), gaussian(eye.of_batches(generated)))


def inception(weights: str | Path | None = None, device: str = "cpu") -> Extractor | None:
    """Inception-v3 as an extractor of 2,048 features; None where no weights are named.

    Args:
        weights: file of the weights; default: the one that EPOCHAL_INCEPTION names.
        device: where to compute.

    Raises:
        UsageError: the named file does not exist.
        EpochalError: torch-fidelity is not installed or cannot be imported, or the file holds other weights.
    """
    named = weights if weights is not None else os.environ.get(VARIABLE)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        origin = "The file of Inception weights" if weights is not None else VARIABLE
        raise UsageError(f"{origin} is {str(named)!r}, which is no file.", hint=_WHERE)
    return _extractor(path, path.stat().st_mtime_ns, device)


@cache  # three sets of images are looked at in a row
def _extractor(path: Path, changed: int, device: str) -> Extractor:
    return Extractor.of(_Inception(_network(path).to(device)), "inception-v3")


def _network(path: Path) -> Any:
    """torch-fidelity's network with the weights of a file, in which nothing but tensors is read."""
    import tempfile

    import torch

    make = _torch_fidelity()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # whatever an unpickler meets in a file that is none
        raise EpochalError(
            f"{path} holds no weights of a network: {_line(problem)}", hint=_WHERE
        ) from problem
    with tempfile.TemporaryDirectory() as folder:
        # torch-fidelity unpickles whatever its file holds: it is given one that was written here.
        safe = Path(folder) / "inception.pth"
        torch.save(state, safe)
        try:
            return make("inception-v3", [_FEATURES], feature_extractor_weights_path=str(safe))
        except (RuntimeError, TypeError, AttributeError) as problem:
            raise EpochalError(
                f"{path} holds other weights than those of FID's Inception-v3: {_line(problem)}", hint=_WHERE
            ) from problem


def _torch_fidelity() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as problem:
        raise EpochalError(f"FID needs {problem.name}, which is not installed.", hint=_INSTALL) from problem
    except Exception as problem:  # a torchvision built for another PyTorch raises a RuntimeError
        raise EpochalError(
            f"FID needs torch-fidelity, which cannot be imported: {_line(problem)}",
            hint="torchvision must be built for the installed PyTorch: install both from one index, for the CPU "
            "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu",
        ) from problem
    return FeatureExtractorInceptionV3


def _line(problem: BaseException) -> str:
    """The first line of what went wrong, or its kind where it says nothing."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


class _Inception:
    """The network as `Extractor` wants it: images (B, C, H, W) in [0, 1] in, features (B, 2048) out."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def features(self, x: Any) -> Any:
        import torch

        pixels = (x.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8)
        # It enlarges them to 299x299: some megabytes of activations each.
        return torch.cat([self.net(part)[0] for part in pixels.split(AT_ONCE)])

    def eval(self) -> _Inception:
        self.net.eval()
        return self

    def parameters(self) -> Any:
        return self.net.parameters()

    def state_dict(self) -> Any:
        return self.net.state_dict()
