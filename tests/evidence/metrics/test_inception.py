"""FID takes weights that the user supplies; without them, without torch-fidelity or with a wrong file it says so."""

import builtins
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from epochal.errors import EpochalError, UsageError
from epochal.evidence.metrics import inception
from epochal.evidence.metrics.extractor import Extractor
from epochal.evidence.metrics.image_quality import quality
from epochal.systems.nets.feature_classifier import FeatureClassifier

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


class Stand(nn.Module):
    """In place of torch-fidelity's network: the same call, checks and loading, four weights."""

    def __init__(self, name: str, features: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features == ["2048"]
        self.layer = nn.Linear(3, 2, bias=False)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=False))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Features of uint8 images (B, 3, H, W), as a tuple."""
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        return (self.layer(x.float().mean((2, 3))),)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch-fidelity that has the stand-in."""
    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    vars(module).update(FeatureExtractorInceptionV3=Stand)
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of weights for the stand-in."""
    torch.save({"layer.weight": torch.arange(6.0).reshape(2, 3)}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def break_import(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    """Importing torch-fidelity raises."""
    original = builtins.__import__

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("torch_fidelity"):
            raise problem
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)


def test_without_weights_there_is_no_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no argument: not measured, and nothing is imported or downloaded."""
    monkeypatch.delenv("EPOCHAL_INCEPTION", raising=False)
    assert inception.fid(IMAGES, IMAGES) is None


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whether the argument or the variable names it; the message says which, and where the file is to be had."""
    with pytest.raises(
        UsageError, match=r"The file of Inception weights is .*nowhere.*which is no file"
    ) as told:
        inception.fid(IMAGES, IMAGES, tmp_path / "nowhere.pth")
    assert "releases" in str(told.value.hint)
    monkeypatch.setenv("EPOCHAL_INCEPTION", str(tmp_path))
    with pytest.raises(UsageError, match=r"EPOCHAL_INCEPTION is .* which is no file"):
        inception.fid(IMAGES, IMAGES)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """Without torch-fidelity the message is the command that installs it; likewise without its torchvision."""
    for name in ("torch_fidelity", "torchvision"):
        with monkeypatch.context() as patch:
            break_import(patch, ModuleNotFoundError(f"No module named {name!r}", name=name))
            with pytest.raises(EpochalError, match=f"FID needs {name}, which is not installed") as told:
                inception.fid(IMAGES, IMAGES, weights)
        assert told.value.hint == "pip install 'epochal[fid]'"


def test_a_torchvision_of_another_pytorch_is_explained(
    monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    """What PyPI's torchvision says beside PyTorch's CPU build comes with a remedy, not as a traceback."""
    break_import(monkeypatch, RuntimeError("operator torchvision::nms does not exist"))
    with pytest.raises(EpochalError, match="cannot be imported: operator torchvision::nms") as told:
        inception.fid(IMAGES, IMAGES, weights)
    assert "install both from one index" in str(told.value.hint)


def test_files_of_other_content_are_refused(installed: None, tmp_path: Path) -> None:
    """No weights at all, those of another network, a list: each is told, with the file's name."""
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"other.weight": torch.ones(2)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, what in (("text", "holds no weights"), ("other", "other weights"), ("list", "other weights")):
        with pytest.raises(EpochalError, match=rf"{name}\.pth holds .*") as told:
            inception.fid(IMAGES, IMAGES, tmp_path / f"{name}.pth")
        assert what in told.value.what


def test_a_file_that_would_run_something_runs_nothing(installed: None, tmp_path: Path) -> None:
    """torch-fidelity alone would unpickle it, and so execute what it says."""
    mark, bad = tmp_path / "mark", tmp_path / "bad.pth"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (mark,)

    bad.write_bytes(pickle.dumps(Evil()))
    with (
        pytest.raises(EpochalError, match="holds no weights"),
        pytest.warns(UserWarning, match="pickle protocol"),
    ):
        inception.fid(IMAGES, IMAGES, bad)
    torch.save(Evil(), bad)
    with pytest.raises(EpochalError, match="holds no weights"):
        inception.fid(IMAGES, IMAGES, bad)
    assert not mark.exists()


def test_distance_of_the_networks_features(
    installed: None, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    """With weights it is the Fréchet distance of the network's features of uint8 pixels, grey in three channels."""
    monkeypatch.setenv("EPOCHAL_INCEPTION", str(weights))
    assert inception.fid(IMAGES, IMAGES) == pytest.approx(0, abs=1e-6)
    # Brighter by 10 of 255: features W·mean move by W·(10, 10, 10) = (30, 120).
    brighter = (IMAGES // 2 + 10).astype(np.uint8)
    assert inception.fid(IMAGES // 2, brighter) == pytest.approx(30**2 + 120**2, rel=1e-5)
    assert inception.fid(IMAGES[..., 0] // 2, brighter[..., 0]) == pytest.approx(30**2 + 120**2, rel=1e-5)
    eye = inception.inception()
    assert eye is inception.inception()  # read once
    assert eye is not None and eye.identity.startswith("inception-v3 ")


def test_quality_tells_fid_where_weights_are_named(
    installed: None, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    """Beside FD, under the name FID, with its own floor; it is the distance of the same images."""
    monkeypatch.setenv("EPOCHAL_INCEPTION", str(weights))
    eye = Extractor.of(FeatureClassifier(width=2), "random")
    found = quality(IMAGES[:6], IMAGES[6:], eye, other_real=IMAGES[:6]).metrics()
    assert found["fid"] == pytest.approx(inception.fid(IMAGES[:6], IMAGES[6:]))
    assert found["fid_floor"] == pytest.approx(0, abs=1e-6)
    assert str(found["inception"]).startswith("inception-v3 ")
    assert "too few for FID over 2,048 features" in str(found["measured_on"])
