"""Lines of the former program of distillation: each argument, the whole line, mistakes, and what a folder decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from epochal import settings as settings_room
from epochal.errors import EpochalError, UsageError
from epochal.systems import recipes
from epochal.systems.nets import classifiers
from epochal.systems.recipes import _har_legacy, _teachers, har_distill, har_distill_two_teachers
from epochal.training.task import Legacy

BOTH = ("har-distill", "har-distill-two-teachers")
ITS_OWN = {
    "epochs": 200,
    "batch_size": 64,
    "optim.lr": 0.05,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
}
SINGLE = [
    ("--epochs 3", {"epochs": 3}),
    ("--teacher wrn2811", {"teacher.net": "wrn28-1"}),
    ("--teacher-checkpoint t.safetensors", {"teacher.checkpoint": "t.safetensors"}),
    ("--teacher2 wrn1631", {"teacher2.net": "wrn16-3"}),
    ("--teacher-checkpoint2 t.safetensors", {"teacher2.checkpoint": "t.safetensors"}),
    ("--student resnet81", {"net.name": "resnet8"}),
    ("--student-checkpoint run", {"net.checkpoint": "run"}),
    ("--dataset cifar10", {"data.name": "cifar10"}),
    ("--batch_size 32", {"batch_size": 32}),
    ("--learning-rate 0.1", {"optim.lr": 0.1}),
    ("--momentum 0.5", {"optim.momentum": 0.5}),
    ("--weight-decay 5e-4", {"optim.weight_decay": 5e-4}),
    ("--save_weight 1", {}),
    ("--sp_param 700", {"loss.sp_weight": 700.0}),
    ("--w_size 1000", {"data.window": 1000}),
    ("--sbj 7", {"data.test_subject": "7"}),
]


def settings_of(recipe: str, version: str | None = None, **patch: Any) -> Any:
    """A version's settings, with changes by dotted key, `__` for the dot."""
    changes = {key.replace("__", "."): value for key, value in patch.items()}
    return settings_room.apply(recipes.settings_of(recipes.find(recipe), version), changes)


def read(line: str, recipe: str = "har-distill", **patch: Any) -> Legacy:
    """The line as that recipe reads it."""
    found = recipes.find(recipe).legacy
    assert found is not None
    return found(line, settings_of(recipe, **patch))


def refused(line: str, *parts: str, recipe: str = "har-distill", **patch: Any) -> None:
    """The line is refused in words that name what is wrong, and that say what to do."""
    with pytest.raises(UsageError) as caught:
        read(line, recipe, **patch)
    assert all(part in str(caught.value) for part in ("--legacy-args", *parts)), str(caught.value)
    assert caught.value.hint or "whole number" in caught.value.what


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with a file of weights and a run in it, where no data are to be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "t.safetensors").touch()
    (tmp_path / "run").mkdir()
    return tmp_path


def own_arrays(folder: Path) -> Path:
    """Windows of one's own: three axes, 64 samples, six people, two activities that differ in their mean."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 2
    folder.mkdir()
    np.save(folder / "X.npy", (rng.normal(size=(96, 3, 64)) + y[:, None, None]).astype(np.float32))
    np.save(folder / "y.npy", y)
    np.save(folder / "subject.npy", np.repeat(np.arange(6), 16))
    (folder / "about.json").write_text(json.dumps({"rate_hz": 12.8, "unit": "g"}))
    return folder


# --- what a line means
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "patch"), SINGLE, ids=[line for line, _ in SINGLE])
def test_an_argument_alone(here: Path, line: str, patch: dict[str, Any]) -> None:
    """It sets what it set, in either spelling and with `=`; all else is the former program's own, or unsaid."""
    name, value = line.split()
    recipe = BOTH[name.endswith("2")]
    spellings = (line, f"{name}={value}", f"--{name[2:].replace('_', '-')} {value}")
    for spelt in (*spellings, f"--{name[2:].replace('-', '_')} {value}"):
        found = read(spelt, recipe)
        assert found.patch == {**ITS_OWN, **patch}
        assert (found.seed, found.device, found.name) == (1234, None, None)
        settings_room.apply(settings_of(recipe), found.patch)


@pytest.mark.parametrize("recipe", BOTH)
def test_an_argument_that_is_no_setting(recipe: str) -> None:
    """Seed, device and name belong to the run; so many words for yes were understood."""
    assert read("--seed 7", recipe).seed == 7
    assert read("--trial 163m_161_099", recipe).name == "trial-163m_161_099"
    for word, device in (("1", "cuda"), ("True", "cuda"), ("0", "cpu"), ("false", "cpu")):
        found = read(f"--cuda {word}", recipe)
        assert (found.device, found.patch) == (device, ITS_OWN)


def test_every_argument_is_tried() -> None:
    """A new row of the table comes with its test."""
    tried = {line.split()[0] for line, _ in SINGLE} | {"--seed", "--cuda", "--trial"}
    assert tried == {one.name for one in _har_legacy.ARGUMENTS}


@pytest.mark.parametrize("recipe", BOTH)
def test_an_empty_line_is_the_former_programs_own(recipe: str) -> None:
    """200 epochs, seed 1234, SGD from 0.05 with momentum 0.9 and weight decay 1e-4, batches of 64: as logged."""
    found = read("", recipe)
    assert (dict(found.patch), found.seed) == (ITS_OWN, 1234)


def test_the_whole_line(here: Path) -> None:
    """All nineteen at once, behind the program's name and broken as in a shell script."""
    own_arrays(here / "mine")
    line = """python3 train.py --epochs 10 --teacher wrn163 --teacher-checkpoint t.safetensors \\
        --teacher2 wrn2811 --teacher-checkpoint2 run --student wrn1611 --student-checkpoint "t.safetensors" --cuda 1 \\
        --dataset gene --batch_size 32 --learning-rate 0.1 --momentum 0.8 --weight-decay 5e-4 --trial 3 \\
        --save_weight 1 --seed 5 --sp_param 3000 --w_size 64 --sbj 2"""
    found = read(line, BOTH[1], data__dir="mine")
    assert dict(found.patch) == {
        "epochs": 10,
        "teacher.net": "wrn16-3",
        "teacher.checkpoint": "t.safetensors",
        "teacher2.net": "wrn28-1",
        "teacher2.checkpoint": "run",
        "net.name": "wrn16-1",
        "net.checkpoint": "t.safetensors",
        "data.name": "wearables",
        "data.source": "arrays-folder",
        "batch_size": 32,
        "optim.lr": 0.1,
        "optim.momentum": 0.8,
        "optim.weight_decay": 5e-4,
        "loss.sp_weight": 3000.0,
        "data.window": 64,
        "data.test_subject": "2",
    }
    assert (found.seed, found.device, found.name) == (5, "cuda", "trial-3")
    assert len(found.remarks) == 1 and "--save_weight changes nothing" in found.remarks[0]


def test_which_teacher_is_which(here: Path) -> None:
    """As in the published program the first one reads persistence images, the second one the signal."""
    found = read("--teacher wrn163 --teacher2 wrn2811", BOTH[1])
    settings = settings_room.apply(settings_of(BOTH[1], data__source="wrist"), found.patch)
    wanted = har_distill_two_teachers.needs_to_train(settings)
    assert {role: (patch["net.name"], patch["net.reads"]) for role, (_, patch) in wanted.items()} == {
        "teacher A": ("wrn16-3", "persistence"),
        "teacher B": ("wrn28-1", "signal"),
    }
    assert {patch["epochs"] for _, patch in wanted.values()} == {200}


@pytest.mark.parametrize(("alias", "name"), sorted(classifiers.ALIASES.items()))
def test_the_networks_former_names(alias: str, name: str) -> None:
    """They are today's; of wide networks also without the last 1, as the 2-D ones were called."""
    assert read(f"--student {alias}").patch["net.name"] == name
    if alias.startswith("wrn"):
        assert read(f"--student {alias[:-1]}").patch["net.name"] == name


@given(
    st.integers(1, 10**6),
    st.floats(1e-12, 1e6),
    st.floats(0, 0.999),
    st.lists(st.permutations(["e", "r", "m"]), min_size=1, max_size=1),
)
def test_any_value_in_any_order(epochs: int, rate: float, momentum: float, order: list[list[str]]) -> None:
    """Numbers arrive as they were typed, wherever they stood; what is given twice has its last value."""
    words = {"e": f"--epochs {epochs}", "r": f"--learning-rate {rate!r}", "m": f"--momentum={momentum!r}"}
    found = read("--epochs 9 " + " ".join(words[one] for one in order[0]))
    assert found.patch == {**ITS_OWN, "epochs": epochs, "optim.lr": rate, "optim.momentum": momentum}


def test_no_teacher_is_told() -> None:
    """The former program then trained a student alone: that this one is taught must not stay unsaid."""
    (said,) = read("--student wrn1611").remarks
    assert "wrn28-1 teaches" in said and "har-classifier" in said
    assert read("--student wrn1611 --teacher wrn1631").remarks == ()


# --- mistakes
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("--epocs 3", ("no argument --epocs", "Did you mean --epochs?")),
        ("--techer wrn2811", ("Did you mean --teacher",)),
        ("--batchsize 64", ("Did you mean --batch_size?",)),
        ("--sp-parm 1", ("Did you mean --sp_param?",)),
        ("--frobnicate 1", ("no argument --frobnicate", "docs/wearables.md")),
        ("--epochs", ("--epochs has no value", "For example --epochs 200")),
        ("--teacher --student wrn1611", ("--teacher has no value", "wrn2811")),
        ("--trial ''", ("--trial has no value",)),
        ("--w-size=", ("--w-size has no value", "500")),
        ("--epochs 3 4", ("did not expect '4'",)),
        ("3 --epochs 3", ("did not expect '3'",)),
        ("--trial 'a", ("No closing quotation",)),
        ("--epochs many", ("--epochs many", "must be a whole number >= 1")),
        ("--epochs 0", ("--epochs 0", ">= 1")),
        ("--learning-rate -1", ("--learning-rate -1", "must be a number > 0")),
        ("--momentum 1", ("--momentum 1",)),
        ("--seed x", ("--seed x", "no whole number")),
        ("--cuda perhaps", ("--cuda perhaps", "1 or 0")),
        ("--save_weight 2", ("--save_weight 2",)),
        ("--teacher wrn2812", ("--teacher wrn2812", "There is no network")),
        ("--student resnet81x", ("Did you mean resnet8",)),
        ("--dataset cifar100", ("There is no set 'cifar100'", "gene and cifar10")),
        ("--dataset pamap", ("--data.source pamap2", "--data.test-subject 101")),
        ("--student-checkpoint no.pth.tar", ("There is no checkpoint no.pth.tar",)),
        ("--student-checkpoint no.safetensors", ("There is no checkpoint no.safetensors",)),
    ],
)
def test_a_mistake_is_told(here: Path, line: str, parts: tuple[str, ...]) -> None:
    """What the former argument's matter is, under the name that was typed, and what to do."""
    refused(line, *parts)


@pytest.mark.parametrize("line", ["--teacher2 wrn1631", "--teacher wrn2811 --teacher-checkpoint2 run"])
def test_a_second_teacher_needs_the_other_recipe(here: Path, line: str) -> None:
    """It is named; nothing of the line is dropped in silence."""
    refused(line, "learns from one teacher", line.split()[-2], "epochal run har-distill-two-teachers")
    assert read(line, BOTH[1])


def test_pictures_need_the_other_recipe() -> None:
    """Two teachers need persistence images, which CIFAR-10 has none of."""
    refused("--dataset cifar10", "persistence images", "epochal run har-distill ", recipe=BOTH[1])


@pytest.mark.parametrize("name", ["best.81.37.pth.tar", "best.81.37.pth", "best.81.37.pt"])
def test_an_old_checkpoint(here: Path, name: str) -> None:
    """What was imported of it is taken, beside it or where `import` writes; else the command is named that does it."""
    (here / "old").mkdir()
    (here / "old" / name).touch()
    line = f"--teacher-checkpoint old/{name}"
    refused(line, "best.81.37.safetensors", f"epochal import weights old/{name}")
    (here / "best.81.37.safetensors").touch()
    assert read(line).patch["teacher.checkpoint"] == "best.81.37.safetensors"
    (here / "old" / "best.81.37.safetensors").touch()
    assert read(line).patch["teacher.checkpoint"] == str(Path("old/best.81.37.safetensors"))


# --- gene: recordings of one's own
# --------------------------------------------------------------------------------------------------


def test_gene_is_what_lies_in_the_folder(here: Path, real_data: Path) -> None:
    """Arrays, or exports with their table, which go first: arrays were made of exports, never exports of arrays."""
    mine = own_arrays(here / "mine")
    own = {"data.name": "wearables", "data.source": "arrays-folder"}
    assert read("--dataset gene", data__dir="mine").patch == {**ITS_OWN, **own}
    shutil.copy(real_data / "geneactiv_sample_right_wrist.csv", mine / "a.csv")
    (mine / "labels.csv").write_text("file,start,end,activity\na.csv,0,9,walking\n")
    found = read("--dataset GENE", data__dir=str(mine)).patch
    assert found["data.source"] == "geneactiv-folder"


def test_gene_that_is_nowhere(here: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said where to put it, also where another folder of the machine holds some: that one was not named."""
    (here / "empty").mkdir()
    refused(
        "--dataset gene", "--data.dir does not say where", "labels.csv", "about.json", "--data.source wrist"
    )
    refused("--dataset gene", "none are in empty", data__dir="empty")
    refused("--dataset gene", "does not exist", data__dir="nowhere")
    place = here / "data" / "geneactiv"
    place.mkdir(parents=True)
    shutil.copy(real_data / "geneactiv_sample_right_wrist.csv", place / "a.csv")
    (place / "labels.csv").write_text("file,start,end,activity\na.csv,0,9,walking\n")
    monkeypatch.setenv("EPOCHAL_DATA", str(here / "data"))
    refused("--dataset gene", "none are in empty", data__dir="empty")
    assert read("--dataset gene").patch["data.source"] == "geneactiv-folder"


def test_a_source_typed_beside_gene_is_taken(here: Path) -> None:
    """Who names a source does not need a folder; and gene is windows, whatever the version reads."""
    assert read("--dataset gene", data__source="wrist").patch == {**ITS_OWN, "data.name": "wearables"}


# --- the student's checkpoint
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def recordings(here: Path) -> Callable[..., Any]:
    """Settings of a small student and a small teacher whose weights are there, on windows of one's own."""
    own_arrays(here / "mine")
    torch.manual_seed(1)
    save_file(classifiers.build("wrn10-1", 3, 2, 1).state_dict(), here / "teacher.safetensors")

    def made(**patch: Any) -> Any:
        data = {"data__source": "arrays-folder", "data__dir": "mine"}
        teacher = {"teacher__net": "wrn10-1", "teacher__checkpoint": "teacher.safetensors"}
        return settings_of("har-distill", net__name="resnet8", **data, **teacher, **patch)

    return made


def test_a_student_begins_from_its_checkpoint(here: Path, recordings: Callable[..., Any]) -> None:
    """All weights are the file's; the input is scaled by the windows to train on, as of every student."""
    torch.manual_seed(2)
    begun = classifiers.build("resnet8", 3, 2, 1)
    save_file(begun.state_dict(), here / "student.safetensors")
    settings = recordings(net__checkpoint="student.safetensors")
    nets = har_distill.nets(settings)
    task = har_distill.build(settings, nets)
    for name, value in nets["network"].state_dict().items():
        assert torch.equal(value, begun.state_dict()[name]) is not name.startswith("scaled."), name
    x = task.train["x"]
    assert np.allclose(nets["network"].scaled.width, x.std(axis=(0, 2)), rtol=1e-4)
    fresh = har_distill.nets(recordings())
    har_distill.build(recordings(), fresh)
    assert _teachers.digest(fresh["network"]) != _teachers.digest(nets["network"])


def test_a_checkpoint_of_another_network_is_refused(here: Path, recordings: Callable[..., Any]) -> None:
    """Before any teacher is asked: the first tensor that does not fit is named."""
    settings = recordings(net__checkpoint="teacher.safetensors")
    with pytest.raises(EpochalError, match="another network's"):
        har_distill.build(settings, har_distill.nets(settings))
