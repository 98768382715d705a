"""Networks by name: every name makes what it says, the log's names too, and a slip gets the nearest one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from epochal.errors import UsageError
from epochal.systems.nets.classifiers import ALIASES, NAMES, build, canonical


@pytest.mark.parametrize("name", [*NAMES, *ALIASES, "WRN22-1"])
@pytest.mark.parametrize("dims", [1, 2])
def test_every_name_makes_a_network(name: str, dims: int) -> None:
    """It takes as many channels and gives as many logits as asked for; case does not matter."""
    net = build(name, 2, 5, dims).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        assert net(torch.zeros(1, 2, *(16,) * dims)).shape == (1, 5)


@pytest.mark.parametrize(
    ("log", "ours", "weights"),
    [
        ("wrn1611", "wrn16-1", 61_374),
        ("wrn2811", "wrn28-1", 126_782),
        ("wrn1631", "wrn16-3", 536_254),
        ("resnet81", "resnet8", 28_862),
        ("resnet181", "resnet18", 3_851_982),
    ],
)
def test_the_logs_names(log: str, ours: str, weights: int) -> None:
    """They are depth, width and one dimension; the published 1-D sizes are 0.06, 0.1, 0.5 and 3.9 million weights."""
    assert canonical(log) == ours
    assert sum(p.numel() for p in build(log, 3, 14, 1).parameters()) == weights


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("wrn16_1", "Did you mean wrn16-1"),
        ("resnet81x", "Did you mean resnet8"),
        ("wrn18-1", "Did you mean wrn16-1?"),
        ("wrn1-3", "Did you mean wrn10-3?"),
        ("wrn16-900", "Did you mean wrn16-64?"),
        ("mobilenet", "Networks: wrn16-1"),
        ("", "Networks: wrn16-1"),
    ],
)
def test_a_slip_gets_the_nearest_name(typed: str, hint: str) -> None:
    """What is wrong is named, and what comes near, or what there is."""
    with pytest.raises(UsageError, match="There is no network") as error:
        build(typed, 3, 5, 1)
    assert hint in str(error.value.hint)


def test_names_need_no_torch() -> None:
    """Settings check a name before anything heavy is imported."""
    program = (
        "import sys\nfrom epochal.systems.nets.classifiers import canonical\n"
        "assert canonical('wrn1611') == 'wrn16-1' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
