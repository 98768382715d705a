"""`epochal import weights`: what another program trained comes in as numbers; its code never runs."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import epochal
from epochal.api import _foreign
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.systems.nets.classifiers import build

TEACHER = {"net": "wrn16-1", "channels": 3, "classes": 14}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty present folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained() -> nn.Module:
    """A WRN16-1 for signals whose norms have seen something."""
    torch.manual_seed(0)
    net = build("wrn16-1", 3, 14, 1)
    net(torch.randn(16, 3, 50))
    return net.eval()


def theirs(net: nn.Module) -> OrderedDict[str, torch.Tensor]:
    """Its weights as public programs keep them: no scaling of the input in them."""
    return OrderedDict((k, v) for k, v in net.state_dict().items() if not k.startswith("scaled."))


def answers_alike(file: Path, net: nn.Module) -> bool:
    """Whether a fresh network, filled strictly from the file, answers as the trained one."""
    other = build("wrn16-1", 3, 14, 1)
    other.load_state_dict(load_file(file))
    x = torch.randn(4, 3, 50)
    with torch.no_grad():
        return torch.equal(other.eval()(x), net(x))


@pytest.mark.parametrize("home", ["state_dict", "model_state_dict", "model", "net", None])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("old", [False, True])
def test_where_programs_put_their_weights(here: Path, home: str | None, prefix: str, old: bool) -> None:
    """Under each usual name or bare, of `DataParallel` or not, in torch's present and former file format."""
    net = trained()
    state = OrderedDict((f"{prefix}{name}", tensor) for name, tensor in theirs(net).items())
    beside = {"epoch": 200, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    saved = state if home is None else {**beside, home: state}
    torch.save(saved, "wrn.pth.tar", _use_new_zipfile_serialization=not old)
    done = epochal.import_weights("wrn.pth.tar", **TEACHER)
    assert done.path == Path("wrn.safetensors") and done.matched == "names" and done.parameters == 61_374
    assert answers_alike(done.path, net)


def test_what_stood_beside_the_weights_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Epoch, accuracies as Python's, NumPy's and torch's numbers, a name; printed, and in the new file's metadata."""
    beside = {
        "epoch": 187,
        "acc": np.float64(69.25),
        "best": torch.tensor(70.5),
        "arch": "wrn1611",
        "other": [1],
    }
    torch.save({**beside, "state_dict": theirs(trained())}, "old.pth.tar")
    words = ["import", "weights", "old.pth.tar", "--net", "wrn1611", "--channels", "3", "--classes", "14"]
    assert main(words) == 0
    said = capsys.readouterr().out
    for line in (
        "epoch: 187",
        "acc: 69.25",
        "best: 70.5",
        "arch: wrn1611",
        "fits wrn1611: every name and shape",
    ):
        assert f"\n{line}\n" in said
    assert "61,374 weights" in said and "block1.layer.0.conv1.weight" in said and "16 x 16 x 3" in said
    with safe_open("old.safetensors", framework="pt") as file:
        kept = file.metadata()
    assert kept["epoch"] == "187" and kept["acc"] == "69.25" and kept["imported_from"] == "old.pth.tar"
    assert (kept["net"], kept["channels"], kept["classes"], kept["dims"]) == ("wrn1611", "3", "14", "1")
    assert "other" not in kept
    assert main([*words, "--overwrite", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["parameters"] == 61_374 and answer["beside"]["acc"] == "69.25"
    assert {"name": "fc.bias", "shape": [14]} in answer["tensors"]


def test_other_names_fit_by_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that named its layers otherwise, in the same order: fitted by shapes, and said so."""
    net = trained()
    torch.save(
        OrderedDict((f"net.m{i}.{k.rpartition('.')[2]}", v) for i, (k, v) in enumerate(theirs(net).items())),
        "a.pt",
    )
    assert main(["import", "weights", "a.pt", "--net", "wrn16-1", "--channels", "3", "--classes", "14"]) == 0
    assert "fits wrn16-1 by order and shapes" in capsys.readouterr().out
    assert answers_alike(here / "a.safetensors", net)


def test_checkpoints_without_counters_fit(here: Path) -> None:
    """Norms had no `num_batches_tracked` before torch 0.4.1."""
    net = trained()
    torch.save({k: v for k, v in theirs(net).items() if not k.endswith("num_batches_tracked")}, "a.pt")
    assert epochal.import_weights("a.pt", **TEACHER).matched == "names"
    assert answers_alike(here / "a.safetensors", net)


def test_our_own_scaling_is_taken_over(here: Path) -> None:
    """A state dict of a network of ours brings the scaling of its input along."""
    net = trained()
    net.scaled.learn(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]))
    torch.save(net.state_dict(), "a.pt")
    epochal.import_weights("a.pt", **TEACHER)
    assert answers_alike(here / "a.safetensors", net)


def test_without_a_network_all_is_converted(here: Path) -> None:
    """Names and shapes as they are; float64 and float16 become float32, whole numbers stay, ties are parted."""
    tied = torch.randn(4, 2, dtype=torch.float64)
    state = {"a": tied, "b": tied, "half": torch.ones(3, dtype=torch.float16), "n": torch.tensor(7)}
    torch.save({"model": state, "note": "x" * 500}, "x.pth")
    done = epochal.import_weights("x.pth", out="out.safetensors")
    kept = load_file("out.safetensors")
    assert {k: v.dtype for k, v in kept.items()} == {
        **dict.fromkeys(("a", "b", "half"), torch.float32),
        "n": torch.int64,
    }
    assert torch.equal(kept["b"], tied.float()) and kept["n"] == 7 and done.told == {} and done.matched == ""
    assert done.shapes["a"] == (4, 2)


class Touches:
    """A pickle that makes a file when it is read by a careless program."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.file}'",)


@pytest.mark.parametrize("where", ["bare", "weights", "beside", "plain pickle"])
def test_code_in_a_file_is_never_run(here: Path, where: str) -> None:
    """A pickle whose reading would create a file is refused, wherever it hides; the file is not there."""
    evil = Touches(here / "evil")
    weights = {"w": torch.ones(2)}
    content: Any = {
        "bare": evil,
        "weights": {"state_dict": {**weights, "v": evil}},
        "beside": {"state_dict": weights, "epoch": evil},
        "plain pickle": {"state_dict": evil},
    }[where]
    if where == "plain pickle":
        Path("a.pth").write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, "a.pth")
    with pytest.raises(EpochalError):
        epochal.import_weights("a.pth")
    assert {file.name for file in here.iterdir()} == {"a.pth"}
    torch.load("a.pth", weights_only=False) if where == "bare" else None
    assert (here / "evil").exists() == (where == "bare"), "the trap works where it is read carelessly"


def test_what_would_be_run_is_named(here: Path) -> None:
    """A whole model, or options of argparse, beside the weights: which class it is, and how to get rid of it."""
    for content, name in (
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"state_dict": {}, "opt": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        (Touches(here / "evil"), "system"),
    ):
        torch.save(content, "a.pth")
        with pytest.raises(EpochalError, match=f"reading it would use .*{name}") as error:
            epochal.import_weights("a.pth")
        assert "model.state_dict()" in str(error.value.hint)


def _cut(share: float, old: bool) -> Callable[[], None]:
    def make() -> None:
        torch.save({"w": torch.randn(100, 100)}, "a.pth", _use_new_zipfile_serialization=not old)
        whole = Path("a.pth").read_bytes()
        Path("a.pth").write_bytes(whole[: int(share * len(whole))])

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Path("a.pth").mkdir(), "a.pth is a folder"),
        (lambda: None, "There is no a.pth to read"),
        (lambda: Path("a.pth").write_bytes(b""), "it is empty"),
        (lambda: Path("a.pth").write_text("epoch,accuracy\n1,0.5\n"), "it begins with b'epoch,ac'"),
        (lambda: Path("a.pth").write_bytes(b"\x80\x02nonsense"), "damaged, cut short"),
        (lambda: Path("a.pth").write_bytes(b"PK\x03\x04nonsense"), "damaged, cut short"),
        *((_cut(share, old), "damaged, cut short") for share in (0.01, 0.5, 0.999) for old in (False, True)),
        (lambda: torch.save([torch.ones(2)], "a.pth"), "it holds a list, not weights by name"),
        (lambda: torch.save(torch.ones(2), "a.pth"), "it holds a Tensor, not weights by name"),
        (lambda: torch.save({"epoch": 3, "lr": 0.1}, "a.pth"), "no weights are in it, but epoch, lr"),
        (lambda: torch.save({"net": {}}, "a.pth"), "its net is empty"),
        (
            lambda: torch.save({"model": {"w": torch.ones(2), "epoch": 3}}, "a.pth"),
            "epoch in its model is an int, and only tensors are weights",
        ),
        (lambda: torch.save({"w": torch.ones(2), "epoch": 3}, "a.pth"), "epoch is an int"),
        (lambda: torch.save({"w": torch.ones(2), 3: torch.ones(2)}, "a.pth"), "3 is no name of a weight"),
        (
            lambda: torch.save({"w": torch.tensor([1.0, float("nan")])}, "a.pth"),
            "w holds numbers that are not finite",
        ),
        (lambda: torch.save({"w": torch.ones(2) * 1j}, "a.pth"), "w is no dense tensor of real numbers"),
        (
            lambda: torch.save({"w": torch.eye(2).to_sparse()}, "a.pth"),
            "w is no dense tensor of real numbers",
        ),
        (lambda: torch.save({"w": torch.ones(1).expand(10**12)}, "a.pth"), "larger than what the file holds"),
    ],
)
def test_what_is_no_checkpoint_gets_one_message(
    here: Path, make: Callable[[], Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the file is named in one sentence, and nothing is written."""
    make()
    assert main(["import", "weights", "a.pth"]) in (1, 2)
    told = capsys.readouterr()
    assert said in told.err and told.out == "" and len(told.err.splitlines()) <= 2
    assert {file.name for file in here.iterdir()} <= {"a.pth"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]))
def test_whatever_the_bytes(tmp_path_factory: pytest.TempPathFactory, noise: bytes, begins: bytes) -> None:
    """Arbitrary bytes never get another error than one in words."""
    file = tmp_path_factory.getbasetemp() / "noise.pth"
    file.write_bytes(begins + noise)
    with pytest.raises(EpochalError, match=r"noise\.pth"):
        _foreign.read(file)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (
            {"net": "wrn16-1", "channels": 3, "classes": 7},
            "fc.weight of wrn16-1 is 7x64, but fc.weight of a.pt is 14x64",
        ),
        (
            {"net": "wrn16-1", "channels": 1, "classes": 14},
            "conv1.weight of wrn16-1 is 16x1x3, but conv1.weight of a.pt is 16x3x3",
        ),
        (
            {"net": "wrn16-1", "channels": 3, "classes": 14, "dims": 2},
            "conv1.weight of wrn16-1 is 16x3x3x3, but conv1.weight of a.pt is 16x3x3",
        ),
        (
            {"net": "wrn28-1", "channels": 3, "classes": 14},
            "block1.layer.2.conv1.weight of wrn28-1 is 16x16x3, but block2.layer.0.conv1.weight of a.pt is 32x16x3",
        ),
        (
            {"net": "resnet8", "channels": 3, "classes": 14},
            "layer2.0.conv1.weight of resnet8 is 32x16x3, but block1.layer.1.conv1.weight of a.pt is 16x16x3",
        ),
    ],
)
def test_a_misfit_is_named(here: Path, net: dict[str, Any], said: str) -> None:
    """The first tensor that does not fit, with both shapes; nothing is written."""
    torch.save(theirs(trained()), "a.pt")
    with pytest.raises(EpochalError) as error:
        epochal.import_weights("a.pt", **net)
    assert said in error.value.what
    assert [file.name for file in here.iterdir()] == ["a.pt"]


def test_another_order_is_no_fit(here: Path) -> None:
    """A norm's scale and shift have one shape: where they are swapped, order and shapes alone would not tell."""
    state = list(theirs(trained()).items())
    state[1], state[2] = state[2], state[1]
    torch.save(OrderedDict((f"m{i}.{k.rpartition('.')[2]}", v) for i, (k, v) in enumerate(state)), "a.pt")
    with pytest.raises(EpochalError, match="is ordered otherwise than wrn16-1"):
        epochal.import_weights("a.pt", **TEACHER)
    whole = [(f"m{i}.{k.rpartition('.')[2]}", v) for i, (k, v) in enumerate(theirs(trained()).items())]
    torch.save(OrderedDict(whole[:-1]), "a.pt")
    with pytest.raises(EpochalError, match=r"the first without a partner is fc\.bias"):
        epochal.import_weights("a.pt", **TEACHER)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"net": "wrn16_1", "channels": 3, "classes": 14}, "Did you mean wrn16-1"),
        ({"net": "wrn16-1"}, "Add --channels 3 --classes 14"),
        ({"channels": 3}, "Add --net"),
        ({**TEACHER, "classes": 0}, "classes >= 1"),
        ({**TEACHER, "dims": 3}, "dims 1 or 2"),
        ({"out": "x.pt"}, "It ends with .safetensors"),
        ({"out": "no/x.safetensors"}, "There is no folder no"),
        ({"out": "there.safetensors"}, "there.safetensors exists"),
    ],
)
def test_wrong_calls_get_one_message(here: Path, how: dict[str, Any], said: str) -> None:
    """What is missing, misspelt or there already is named before the file is read."""
    torch.save(theirs(trained()), "a.pt")
    Path("there.safetensors").write_bytes(b"before")
    with pytest.raises(UsageError) as error:
        epochal.import_weights("a.pt", **how)
    assert said in str(error.value)
    assert Path("there.safetensors").read_bytes() == b"before" and len(list(here.iterdir())) == 2


def test_another_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Only weights are imported so far."""
    assert main(["import", "runs", "x"]) == 2
    assert "choose from" in capsys.readouterr().err
