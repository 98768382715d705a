"""docs/wearables.md: its commands are accepted as they stand, and its table of old arguments is what the code does."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal import api, settings
from epochal.cli import main
from epochal.settings.check import shown
from epochal.systems import data, recipes
from epochal.systems.recipes import _har_legacy

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "wearables.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^epochal .*$", PAGE, re.M) + re.findall(r"`(epochal [^`]+)`", PAGE)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("| former argument |")[2].splitlines()[2:]
    if line.startswith("| `--")
]


class Reached(BaseException):
    """The verb was called: nothing about its command was wrong."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path) -> Path:
    """A folder as the page describes it: exports in `mine`, arrays in `arrays`, old checkpoints and imported ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EPOCHAL_DATA")
    (tmp_path / "mine").mkdir()
    shutil.copy(real_data / "geneactiv_sample_right_wrist.csv", tmp_path / "mine" / "anna.csv")
    (tmp_path / "mine" / "labels.csv").write_text(fenced("file,start"))
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "X.npy", np.random.default_rng(0).normal(size=(6, 3, 500)))
    np.save(tmp_path / "arrays" / "y.npy", np.arange(6) % 3)
    np.save(tmp_path / "arrays" / "subject.npy", np.arange(6))
    (tmp_path / "arrays" / "about.json").write_text(fenced("{"))
    (tmp_path / "PAMAP2_Dataset").mkdir()
    (tmp_path / "old").mkdir()
    for name in ("wrn2811", "wrn1631", "wrn1611"):
        (tmp_path / "old" / f"{name}.pth.tar").touch()
        (tmp_path / "old" / f"{name}.safetensors").touch()
    return tmp_path


def fenced(beginning: str) -> str:
    """The block of the page that begins so."""
    return next(block for block in re.findall(r"```\n(.*?)```", PAGE, re.S) if block.startswith(beginning))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, tuple[Any, ...], dict[str, Any]]]]:
    """Which verb a command called with what; it does nothing."""
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def stub(name: str) -> Any:
        def called(*args: Any, **how: Any) -> None:
            found.append((name, args, how))
            raise Reached

        return called

    for name in ("run", "evaluate", "predict", "export", "import_weights"):
        monkeypatch.setattr(api, name, stub(name))
    monkeypatch.setattr(data, "verify", stub("verify"))
    yield found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_accepted(here: Path, calls: list[Any], command: str) -> None:
    """Verb, recipe, version, options and settings of every command exist and have values that are allowed."""
    words = shlex.split(command, comments=True)[1:]
    with pytest.raises(Reached):
        main(words)
    ((verb, args, how),) = calls
    if verb == "run":
        chosen = settings.apply(recipes.settings_of(recipes.find(args[0]), args[1]), how["patch"])
        for key, values in how["grid"].items():
            for value in values:
                settings.apply(chosen, {key: value})
        data.check(chosen.data.source)
    if verb == "verify":
        data.check(args[0])


def test_every_verb_and_recipe_is_on_the_page() -> None:
    """Training alone, distilling and two teachers each have a command, and so has what comes before and after."""
    verbs = {command.split()[1] for command in COMMANDS}
    assert verbs == {"data", "run", "evaluate", "predict", "export", "import"}
    trained = {command.split()[2] for command in COMMANDS if command.split()[1] == "run"}
    assert trained == {"har-classifier", "har-distill", "har-distill-two-teachers"}


def test_options_named_in_sentences_exist() -> None:
    """Whatever the text calls `--something` is a setting or an option of `epochal run`, or the former program's."""
    text = re.sub(r"^```.*?^```|^\|.*?$", "", PAGE, flags=re.M | re.S)
    from epochal.cli.run import parser
    from epochal.settings.fields import kinds

    known = {one.name for one in _har_legacy.ARGUMENTS} | set(parser().value_of)
    for name in recipes.names():
        if name.startswith("har-"):
            known |= {f"--{key.replace('_', '-')}" for key in kinds(recipes.find(name).settings)}
    named = set(re.findall(r"`(--[a-z0-9_.\-]+)", text)) | set(re.findall(r"`(--[a-z0-9_.\-]+)", PAGE))
    assert named - known == set()


def test_the_two_layouts_can_be_read(here: Path) -> None:
    """`labels.csv` and `about.json` as printed, beside the sample export and arrays of the named shapes."""
    exports = data.load("geneactiv-folder", folder="mine")
    assert exports.classes == ("sitting", "walking") and exports.extras["subjects"] == ("Anna",)
    arrays = data.load("arrays-folder", folder="arrays")
    assert list(arrays.classes) == json.loads(fenced("{"))["classes"]


def test_the_table_has_every_former_argument() -> None:
    """Each once, and `--dataset` once for each set."""
    former = sorted(re.findall(r"`(--\S+)", row[0])[0] for row in ROWS)
    assert former == sorted([*(one.name for one in _har_legacy.ARGUMENTS), "--dataset"])


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip("`") for row in ROWS])
def test_a_row_is_what_the_line_does(here: Path, row: list[str]) -> None:
    """The former argument gives the option beside it and nothing else; the last column says what holds without."""
    recipe = recipes.find("har-distill-two-teachers" if "teacher2" in row[1] else "har-distill")
    without = settings.apply(recipe.settings(), {"data.dir": "mine"})
    assert recipe.legacy is not None
    line = re.findall(r"`([^`]+)`", row[0])[0]
    one = next(each for each in _har_legacy.ARGUMENTS if each.name == line.split()[0])
    unsaid = options(recipe.legacy("", without))
    said = options(recipe.legacy(line, without))
    if one.key:
        told = re.findall(r"`([^`]+)`", row[1])[0]
        changed = [f"{key} {value}" for key, value in said.items() if key in told.split()]
        assert " ".join(changed) == told
        assert {key: value for key, value in said.items() if key not in told.split()} == {
            key: value for key, value in unsaid.items() if key not in told.split()
        }
    else:
        assert said == unsaid and row[1].startswith("nothing")
    own = unsaid.get(f"--{one.key.replace('_', '-')}")
    assert row[2] == own if own is not None else not row[2].replace(".", "").isdigit()


def options(legacy: Any) -> dict[str, str]:
    """What a line stands for, as options of `epochal run`."""
    said = {**legacy.patch, "seed": legacy.seed, "device": legacy.device, "name": legacy.name}
    return {f"--{key.replace('_', '-')}": shown(value) for key, value in said.items() if value is not None}


@pytest.mark.parametrize("alias", ["wrn1611", "wrn2811", "wrn1631", "resnet81", "resnet181", "wrn163"])
def test_networks_are_named_as_they_are_read(alias: str) -> None:
    """`wrn1611` is wrn16-1 on the page and in the code."""
    (name,) = re.findall(rf"`{alias}`(?: is)? ([a-z0-9\-]+)", re.sub(r"\s+", " ", PAGE))
    found = _har_legacy.read(f"--student {alias}", recipes.find("har-distill").settings())
    assert found.patch["net.name"] == name


@pytest.mark.parametrize(
    ("recipe", "options"), re.findall(r"^\| `(har-[a-z\-]+)` .*?(`--loss.*`) \|$", PAGE, re.M)
)
def test_the_losses_defaults(recipe: str, options: str) -> None:
    """The table of losses names what the recipes have."""
    chosen = settings.to_dict(recipes.settings_of(recipes.find(recipe)))["loss"]
    named = re.findall(r"--loss\.([a-z\-]+) ([0-9.]+)", options)
    assert named and all(chosen[name.replace("-", "_")] == float(value) for name, value in named)
