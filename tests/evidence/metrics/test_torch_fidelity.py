"""FD, KID, precision and recall agree with torch-fidelity 0.4.0 on the same features.

torch-fidelity needs torchvision, whose published builds do not import beside PyTorch's CPU build ("operator
torchvision::nms does not exist"), so it is no dependency of the tests: its numbers are kept in
`torch_fidelity_golden.json`. Written by

    pip install --no-deps torch-fidelity==0.4.0 && python tests/evidence/metrics/test_torch_fidelity.py

Where torch-fidelity is installed, the tests compute its numbers anew; a torchvision that does not import is replaced by
an empty one, which none of the three functions uses.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from sklearn.datasets import load_digits

from epochal.evidence.metrics.frechet import Gaussian, frechet_distance
from epochal.evidence.metrics.kernel_distance import kernel_distance
from epochal.evidence.metrics.manifolds import manifolds

GOLDEN = Path(__file__).parent / "torch_fidelity_golden.json"


def cases() -> dict[str, tuple[Any, Any]]:
    """(real, generated) features: digits beside others, beside some classes, under noise, and fewer than pixels."""
    digits, labels = load_digits(return_X_y=True)
    digits = digits / 4
    real, other = digits[:898], digits[898:1796]
    # Noise without a generator, whose streams may change: digits in another order.
    noisy = other + 0.5 * digits[(np.arange(898) * 769) % 1797]
    few = digits[1000:][labels[1000:] < 3]
    return {
        "halves": (real, other),
        "noisy": (real, noisy),
        "classes": (real[: len(few)], few),
        "few": (real[:40], other[:40]),
    }


@pytest.mark.parametrize("case", cases())
def test_same_numbers(case: str) -> None:
    """To seven digits; precision and recall to the last image."""
    real, generated = cases()[case]
    wanted = json.loads(GOLDEN.read_text())["numbers"][case]
    found = manifolds(real, generated)
    assert frechet_distance(Gaussian.of(real), Gaussian.of(generated)) == pytest.approx(
        wanted["fd"], rel=1e-7
    )
    assert kernel_distance(real, generated).value == pytest.approx(wanted["kid"], rel=1e-7)
    assert found.precision == pytest.approx(wanted["precision"], rel=1e-6)
    assert found.recall == pytest.approx(wanted["recall"], rel=1e-6)


def test_golden_numbers_are_torch_fidelitys() -> None:
    """Where it is installed: what was written down is what it computes."""
    try:
        version("torch-fidelity")
    except PackageNotFoundError:
        pytest.skip("torch-fidelity is not installed: its numbers are taken from the file")
    golden = json.loads(GOLDEN.read_text())["numbers"]
    for case, numbers in by_torch_fidelity().items():
        assert numbers == pytest.approx(golden[case], rel=1e-9)


def by_torch_fidelity() -> dict[str, dict[str, float]]:
    """Its numbers for every case."""
    import torch

    with importable():
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
        from torch_fidelity.metric_kid import kid_features_to_metric
        from torch_fidelity.metric_prc import prc_features_to_metric

    found = {}
    for case, features in cases().items():
        real, generated = (torch.from_numpy(f) for f in features)
        statistics = [fid_features_to_statistics(f) for f in (generated, real)]
        fid = fid_statistics_to_metric(*statistics, verbose=False)
        # One subset of all: the estimate over all pairs, in whatever order it draws them.
        kid = kid_features_to_metric(generated, real, kid_subsets=1, kid_subset_size=len(real), verbose=False)
        prc = prc_features_to_metric(generated, real, prc_neighborhood=3, verbose=False)
        found[case] = {
            "fd": fid["frechet_inception_distance"],
            "kid": kid["kernel_inception_distance_mean"],
            "precision": prc["precision"],
            "recall": prc["recall"],
        }
    return found


def importable() -> Any:
    """A context in which torch-fidelity imports: with an empty torchvision where the real one does not."""
    try:
        import torchvision  # noqa: F401

        return mock.patch.dict(sys.modules)
    except (ImportError, RuntimeError):
        names = ("torchvision", "datasets", "transforms", "functional", "models")
        empty, datasets, transforms, functional, models = map(ModuleType, names)
        vars(empty).update(datasets=datasets, transforms=transforms, models=models)
        vars(transforms).update(functional=functional)
        vars(datasets).update(CIFAR10=object, STL10=object, CIFAR100=object)
        modules = {
            "torchvision": empty,
            "torchvision.datasets": datasets,
            "torchvision.transforms": transforms,
            "torchvision.transforms.functional": functional,
            "torchvision.models": models,
        }
        return mock.patch.dict(sys.modules, modules)


if __name__ == "__main__":
    made_by = {"torch-fidelity": version("torch-fidelity")}
    GOLDEN.write_text(json.dumps({"made_by": made_by, "numbers": by_torch_fidelity()}, indent=2) + "\n")
