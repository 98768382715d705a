"""Checkpoints: what was written comes back exactly; anything else gives one message, and executes nothing."""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from epochal.errors import EpochalError
from epochal.training import checkpoint

STATE = {
    "epoch": 3,
    "best": 0.1 + 0.2,
    "logged": [1e-300, 1 / 3, -0.0],
    "done": False,
    "text": "é ∑",
    "none": None,
}


def tensors() -> dict[str, torch.Tensor]:
    """Every kind that a checkpoint holds: layouts, dtypes, scalars, empty ones."""
    torch.manual_seed(0)
    return {
        "weights/a": torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last),
        "weights/b": torch.randn(7).bfloat16(),
        "steps": torch.tensor(12345678901),
        "sum/00/loss": torch.tensor(math.pi, dtype=torch.float64),
        "stream/noise": torch.get_rng_state(),
        "empty": torch.empty(0, 3),
        "slice": torch.randn(6, 6)[::2, 1:4],
    }


def test_round_trip_is_exact(tmp_path: Path) -> None:
    """Every tensor to the bit, whatever its layout was, and every float of the state."""
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, tensors(), STATE)
    found, state = checkpoint.read(path)
    assert state == STATE and math.copysign(1, state["logged"][2]) == -1
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


@given(st.floats(allow_nan=False))
def test_floats_of_the_state_survive(value: float) -> None:
    """JSON's shortest form gives every float back, infinities included: a resumed run compares with the same best."""
    assert json.loads(json.dumps(value)) == value


def test_writing_replaces_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new file cannot take the old one's place, the old one is still there and whole."""
    from epochal.journal import atomic

    path = tmp_path / "c.safetensors"
    checkpoint.write(path, {"a": torch.zeros(3)}, {"epoch": 1})

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "replace", refuse)
    with pytest.raises(EpochalError):
        checkpoint.write(path, {"a": torch.ones(3)}, {"epoch": 2})
    assert checkpoint.read(path)[1] == {"epoch": 1}


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The run stopped before its first checkpoint."""
    with pytest.raises(EpochalError, match="no checkpoint at") as caught:
        checkpoint.read(tmp_path / "c.safetensors")
    assert caught.value.hint


class Evil:
    """Unpickling it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


def spoilt(folder: Path) -> dict[str, bytes]:
    """Files that are no checkpoints, by what is wrong with them."""
    checkpoint.write(folder / "good", {"a": torch.arange(100.0)}, {"epoch": 1})
    good = (folder / "good").read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Evil(folder / "executed")))
    torch_file = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, torch_file)
    return {
        "empty": b"",
        "one byte": good[:1],
        "half a header": good[:40],
        "half the data": good[: len(good) - 200],
        "one byte short": good[:-1],
        "longer than it says": good + b"x",
        "garbage": bytes(range(256)) * 10,
        "a header of 2^60 bytes": (1 << 60).to_bytes(8, "little") + good[8:],
        "text": b"PNG? no. " * 99,
        "a pickle": pickle.dumps(Evil(folder / "executed")),
        "a zip": archive.getvalue(),
        "torch.save": torch_file.getvalue(),
        "another program's": save({"a": torch.zeros(2)}),
        "no JSON": save({"a": torch.zeros(2)}, metadata={"state": "{half"}),
        "no object": save({"a": torch.zeros(2)}, metadata={"state": "[1, 2]"}),
    }


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """One message with the file and what to do, whatever the file is; nothing in it is executed."""
    path = tmp_path / "last.safetensors"
    for what, content in spoilt(tmp_path).items():
        path.write_bytes(content)
        with pytest.raises(EpochalError, match="cannot be read") as caught:
            pytest.fail(f"{what}: read as {checkpoint.read(path)}")
        assert str(path) in str(caught.value)
        assert str(caught.value.hint).endswith("--checkpoint best.")  # the other one of the run
    assert not (tmp_path / "executed").exists()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """As any other unreadable file."""
    with pytest.raises(EpochalError, match="cannot be read"):
        checkpoint.read(tmp_path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    """A copy that broke off anywhere: always the same message, never a wrong tensor."""
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, {"a": torch.arange(10.0)}, {"epoch": 1})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(EpochalError, match="cannot be read"):
            checkpoint.read(path)


def test_a_misfit_is_named_by_name_and_shape() -> None:
    """Copying would repeat a smaller tensor into a larger one and go on with another network."""
    own = {"a": torch.zeros(2, 1), "b": torch.zeros(3)}
    assert checkpoint.misfit(own, {"a": torch.ones(2, 1), "b": torch.ones(3)}) is None
    assert checkpoint.misfit(own, {"a": torch.ones(1, 1), "b": torch.ones(3)}) == "a is 1x1, not 2x1"
    assert checkpoint.misfit(own, {"a": torch.ones(2, 1)}) == "b is missing"
    more = {"a": torch.ones(()), "b": torch.ones(3), "c": torch.ones(1)}
    assert checkpoint.misfit(own, more) == "c is not in the network (and 1 more)"
