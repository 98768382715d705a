"""`epochal run … --legacy-args LINE`: what is trained then, what wins over the line, and what is said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from epochal import api
from epochal.cli import main
from epochal.journal import Lab
from epochal.systems.nets.classifiers import build

RUN = ["run", "har-distill"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, an empty cache and lab in it, and no data elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    for name, folder in (("EPOCHAL_CACHE", "cache"), ("EPOCHAL_LAB", "lab"), ("XDG_STATE_HOME", "state")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What a command asks `api.run` for, without training anything."""

    def ask(*words: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def run(recipe: str, version: str | None, **how: Any) -> list[Any]:
            found.append({"recipe": recipe, "version": version, **how})
            return []

        monkeypatch.setattr(api, "run", run)
        assert main([*words, "--json"]) == 0
        (call,) = found
        return call

    return ask


def test_an_old_line_is_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run has what the line said: data, networks, teacher, loss, window, who tests, seed, name, device."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 2
    (here / "mine").mkdir()
    np.save(here / "mine" / "X.npy", (rng.normal(size=(96, 3, 64)) + y[:, None, None]).astype(np.float32))
    np.save(here / "mine" / "y.npy", y)
    np.save(here / "mine" / "subject.npy", np.repeat(np.arange(6), 16))
    (here / "mine" / "about.json").write_text(json.dumps({"rate_hz": 12.8, "unit": "g"}))
    torch.manual_seed(0)
    save_file(build("wrn10-1", 3, 2, 1).state_dict(), here / "teacher.safetensors")
    (here / "teacher.pth.tar").touch()
    line = (
        "--epochs 1 --teacher wrn1011 --teacher-checkpoint teacher.pth.tar --student resnet81 --cuda 0 "
        "--dataset gene --batch_size 32 --trial 3 --save_weight 1 --seed 5 --sp_param 10 --w_size 32 --sbj 2"
    )
    words = ["--data.dir", "mine", "--precision", "float32", "--threads", "1"]
    assert main([*RUN, "--legacy-args", line, *words]) == 0
    said = capsys.readouterr().err
    (run,) = Lab(here / "lab").runs()
    settings = run.settings
    assert (run.seed, run.name, run.meta["device"], run.status) == (5, "trial-3", "cpu", "finished")
    assert (settings["epochs"], settings["batch_size"], settings["net"]["name"]) == (1, 32, "resnet8")
    assert (settings["data"]["source"], settings["data"]["window"]) == ("arrays-folder", 32)
    assert settings["teacher"]["net"] == "wrn10-1" and settings["loss"]["sp_weight"] == 10
    assert run.meta["data"]["subjects"]["test"] == [2]
    assert {"ce", "kl", "sp"} <= {name.rpartition("/")[2] for name in run.meta["final"]}
    assert "--legacy-args: --epochs 1 --batch-size 32 --optim.lr 0.05" in said
    assert said.count("--save_weight changes nothing") == 1


def test_the_line_told_is_the_same_command(
    asked: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types the options that are printed asks for the same, and learns them that way."""
    line = "--teacher wrn2811 --student wrn1611 --learning-rate 1e-3 --trial 'a b' --cuda 1 --sp_param 3000"
    old = asked(*RUN, "--legacy-args", line)
    printed = capsys.readouterr().err.splitlines()[0]
    new = asked(*RUN, *shlex.split(printed.removeprefix("--legacy-args: ")))
    assert old == new


def test_options_typed_beside_the_line_win(asked: Callable[..., dict[str, Any]]) -> None:
    """Settings, seed, device and name; before the line and after it."""
    line = "--epochs 9 --student wrn1611 --seed 5 --cuda 1 --trial 3 --w_size 500"
    typed = ["--data.window", "none", "--seed", "0", "--device", "auto", "--name", "again"]
    call = asked("run", "--epochs", "2", "har-distill", "resnet8", "--legacy-args", line, *typed)
    assert (call["seed"], call["device"], call["name"], call["version"]) == (0, "auto", "again", "resnet8")
    patch = call["patch"]
    assert (patch["epochs"], patch["data.window"]) == (2, None)
    assert (patch["net.name"], patch["batch_size"]) == ("wrn16-1", 64)


def test_a_settings_file_beside_the_line(here: Path, asked: Callable[..., dict[str, Any]]) -> None:
    """The line wins over it, but what the line does not say, such as where the data lie, is the file's."""
    (here / "mine").mkdir()
    (here / "mine" / "X.npy").touch()
    (here / "my.toml").write_text('epochs = 3\ndata.dir = "mine"\n')
    call = asked(*RUN, "--settings", "my.toml", "--legacy-args", "--dataset gene")
    assert (call["patch"]["epochs"], call["patch"]["data.source"]) == (200, "arrays-folder")
    assert call["settings_file"] == "my.toml" and "data.dir" not in call["patch"]


def test_without_a_line_nothing_is_changed(asked: Callable[..., dict[str, Any]]) -> None:
    """No former program's defaults, and the verb's own seed and device."""
    call = asked(*RUN, "--epochs", "2")
    assert (call["patch"], call["seed"], call["device"], call["name"]) == ({"epochs": 2}, 0, "auto", None)


@pytest.mark.parametrize(
    "words",
    [
        ["--legacy-args", "--epochs=3"],
        ["--legacy-args=--epochs 3"],
        ["--legacy-args", "python train.py --epochs 3"],
    ],
)
def test_a_line_that_looks_like_an_option(asked: Callable[..., dict[str, Any]], words: list[str]) -> None:
    """It is the option's value all the same."""
    assert asked(*RUN, *words)["patch"]["epochs"] == 3


def test_quiet_says_nothing(asked: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Not even what the line stands for."""
    asked(*RUN, "--legacy-args", "--save_weight 1", "--quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "har-distill", "--legacy-args", "--epocs 3"], "Did you mean --epochs?"),
        (["run", "har-distill", "--legacy-args", "--epochs"], "--epochs has no value"),
        (["run", "har-distill", "--legacy-args"], "--legacy-args needs a value"),
        (["run", "har-distill", "--legacy-arg", "--epochs 3"], "Did you mean --legacy-args?"),
        (
            ["run", "har-distill", "--legacy-args", "--teacher2 wrn1631"],
            "epochal run har-distill-two-teachers",
        ),
        (["run", "har-distill", "--legacy-args", "--dataset gene"], "--data.dir FOLDER"),
        (["run", "har-distill", "--legacy-args", "--seed -1"], "seed = -1"),
        (["run", "har-distill", "--legacy-args", "--trial a/b"], "'trial-a/b' is no name"),
        (["run", "har-classifier", "--legacy-args", "--epochs 3"], "har-classifier comes from no program"),
        (["run", "har-distill", "studnet", "--legacy-args", ""], "has no version 'studnet'"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """What was wrong and what to do; exit code 2, nothing trained, no traceback."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err and said.out == ""
    assert said.err.count("epochal: ") == 1 and not (here / "lab").exists()
