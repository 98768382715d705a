"""`epochal export`: an ONNX file that answers as torch does and says what it is, or none at all."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.api import _export
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.training.task import Export

TINY = Path(__file__).parents[1] / "tiny_recipe.py"
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")

# A classifier of signals in their own unit: 64 windows of 3 channels, of which the mean of one tells the class.
WAVES = '''"""A recipe whose network is exported: a small residual network tells two kinds of windows apart."""

from epochal.settings.common import RecipeSettings
from epochal.systems.nets.classifiers import build as network
from epochal.training.task import Export, Optimiser, Phase, Recipe, Task, Version


def windows():
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3, 50)).astype(np.float32) * 500
    y = np.arange(64) % 2
    x[:, 1] += 1000 + 400 * y[:, None]
    return x, y


def nets(settings):
    import torch

    net = network("resnet8", 3, 2, 1)
    net.scaled.learn(torch.tensor([0.0, 1200.0, 0.0]), torch.full((3,), 500.0))
    return {"student": net}


def build(settings, nets):
    def loss(nets, batch, rng):
        from torch.nn.functional import cross_entropy

        value = cross_entropy(nets["student"](batch["x"]), batch["y"])
        return value, {}

    x, y = windows()
    phase = Phase("student", ("student",), loss, Optimiser(lr=0.01), "cross-entropy")
    return Task(train={"x": x, "y": y}, batch_size=16, phases=(phase,), data={"name": "waves"})


def export(trained):
    return Export(
        trained.nets["student"],
        windows()[0],
        input_name="window",
        about={"classes": "low, high", "channels": "x, y, z", "rate_hz": "100", "unit": "counts", "window": "50"},
    )


RECIPE = Recipe(
    name="waves",
    summary="tells two kinds of windows apart",
    settings=RecipeSettings,
    versions=(Version("plain", change="the first one"),),
    nets=nets,
    build=build,
    export=export,
)
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trained classifier, and folders for cache and state of these tests alone."""
    home = tmp_path_factory.mktemp("home")
    (home / "waves.py").write_text(WAVES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("EPOCHAL_LAB", str(home / "lab"))
        how = {"precision": "float32", "device": "cpu", "show": False}
        epochal.run(home / "waves.py", patch={"epochs": 4}, **how)
        yield Lab(home / "lab").find("last")


def test_another_program_gets_the_same_answers(run: Run, tmp_path: Path) -> None:
    """onnxruntime, given raw units and any number of windows, answers as the run's torch network; classes are equal."""
    out = tmp_path / "student.onnx"
    done = epochal.export(run, out=out)
    assert done.path == out and done.bytes == out.stat().st_size and done.inputs == 64
    assert done.equal == 1 and done.difference <= 1e-4 * done.scale
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    net = epochal.load(run).student
    for n in (1, 5, 300):
        x = np.random.default_rng(n).normal(1000, 500, size=(n, 3, 50)).astype(np.float32)
        (answers,) = session.run(["logits"], {"window": x})
        with torch.no_grad():
            np.testing.assert_allclose(answers, net(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-4)


def test_the_file_says_what_it_is(run: Run, tmp_path: Path) -> None:
    """Unit, rate, classes and run stand in its metadata; the first axis is free and the others are not."""
    out = tmp_path / "student.onnx"
    epochal.export(run, out=out)
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    kept = session.get_modelmeta().custom_metadata_map
    assert kept["unit"] == "counts" and kept["rate_hz"] == "100" and kept["classes"] == "low, high"
    assert kept["run"] == run.id and kept["recipe"] == "waves" and kept["version"] == "plain"
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, answer.name, answer.shape) == (
        "window",
        ["batch", 3, 50],
        "logits",
        ["batch", 2],
    )


def test_what_the_command_tells(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison in words and in JSON, and no warning of the exporter's."""
    out = str(tmp_path / "student.onnx")
    assert main(["export", "last", "-o", out]) == 0
    said = capsys.readouterr()
    assert "unit: counts" in said.out and "on 64 inputs: largest difference" in said.out
    assert "100 % equal choices" in said.out and said.out.splitlines()[-1].startswith(out) and said.err == ""
    assert main(["export", "last", "-o", out, "--overwrite", "--checkpoint", "last", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["inputs"] == 64 and answer["equal"] == 1 and answer["about"]["run"] == run.id


def test_a_network_that_answers_otherwise_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were torch's answers another's by a thousandth, the old file would stay and nothing else be left."""
    out = tmp_path / "student.onnx"
    out.write_bytes(b"before")
    answers = onnxruntime.InferenceSession.run

    def off(session: Any, *given: Any) -> Any:
        return [1.001 * answer for answer in answers(session, *given)]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", off)
    with pytest.raises(EpochalError, match="does not answer as torch does"):
        epochal.export(run, out=out, overwrite=True)
    assert out.read_bytes() == b"before" and [file.name for file in tmp_path.iterdir()] == ["student.onnx"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "last"], "--out/-o is missing"),
        (["export", "last", "-o", "x.pt"], "It ends with .onnx"),
        (["export", "last", "-o", "no/x.onnx"], "There is no folder no to write x.onnx to"),
        (["export", "last", "-o", "there.onnx"], "there.onnx exists"),
        (["export", "last", "-o", "x.onnx", "--overwrit"], "Did you mean --overwrite"),
    ],
)
def test_wrong_calls_get_one_message(
    run: Run,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is missing, misspelt or there already is named; exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    Path("there.onnx").write_bytes(b"")
    assert main(words) == 2
    assert said in capsys.readouterr().err and Path("there.onnx").read_bytes() == b""
    assert len(list(tmp_path.iterdir())) == 1


def test_a_recipe_that_exports_nothing_says_so(run: Run, tmp_path: Path) -> None:
    """Most recipes' networks are of no use alone."""
    how = {"precision": "float32", "device": "cpu", "lab": tmp_path / "lab", "show": False}
    other = epochal.run(TINY, patch={"epochs": 1}, **how)[0]
    with pytest.raises(UsageError, match="The recipe line exports nothing"):
        epochal.export(other, out=tmp_path / "x.onnx", lab=tmp_path / "lab")


def test_what_onnx_has_no_word_for_is_named(tmp_path: Path) -> None:
    """A network with an operation that the exporter does not know: which one, in one message."""

    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i1(x)

    wanted = Export(Odd(), np.zeros((2, 3), np.float32))
    with pytest.raises(EpochalError, match=r"cannot be written as ONNX: .*special_i1"):
        _export._write_onnx(wanted, {}, tmp_path / "x.onnx")


def test_without_the_extra_it_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line to copy, and no file."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "epochal.api._export.find_spec", lambda name: None if name.startswith("onnx") else find(name)
    )
    with pytest.raises(EpochalError, match="onnx and onnxruntime must be installed") as error:
        epochal.export(run, out=tmp_path / "x.onnx")
    assert error.value.hint == "pip install 'epochal[export]'" and not list(tmp_path.iterdir())
