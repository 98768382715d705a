"""How the verbs are called from Python: what they do not take is refused in words, what is natural works."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochal
from epochal import api
from epochal.api import _calls
from epochal.errors import UsageError
from epochal.journal import Lab

RECIPE = Path(__file__).parent / "tiny_fleet.py"
ALONE = Path(__file__).parent / "tiny_recipe.py"
VERBS = (
    "run",
    "fork",
    "resume",
    "evaluate",
    "generate",
    "predict",
    "export",
    "import_weights",
    "load",
    "compare",
    "show",
    "note",
    "log",
    "rm",
    "runs",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lab with one run and one fleet of three, and folders for cache and state of these tests alone."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        made = Lab(home / "lab")
        for version in ("plain", "fast"):
            api.run(RECIPE, version, seeds=3, patch={"epochs": 1}, lab=made, show=False)
        api.run(ALONE, "plain", patch={"epochs": 1}, device="cpu", precision="float32", lab=made, show=False)
        yield made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epochal.run("xor-mlp", grid=[0.1]), r"grid = \[0.1\] .*\n.*mapping of settings to lists"),
        (lambda: epochal.run("xor-mlp", patch="a=b"), r"patch = 'a=b' .*\n.*mapping of settings to values"),
        (lambda: epochal.run("xor-mlp", threads="2"), r"threads = '2' .*\n.*a whole number"),
        (lambda: epochal.run("xor-mlp", threads=True), r"threads = True .*\n.*a whole number"),
        (lambda: epochal.run("xor-mlp", seeds=[0, 1]), r"seeds = \[0, 1\] .*\n.*how many"),
        (lambda: epochal.run("xor-mlp", seed=None), r"seed = None .*\n.*a whole number"),
        (lambda: epochal.run("xor-mlp", 4), r"version = 4 .*\n.*name of a version"),
        (lambda: epochal.run(3), r"recipe = 3 .*\n.*recipe file"),
        (lambda: epochal.run("xor-mlp", lab=3), r"lab = 3 .*\n.*or a Lab"),
        (lambda: epochal.run("xor-mlp", note="x" * 99, name=3), r"name = 3 .*\n.*a text"),
        (lambda: epochal.run("xor-mlp", one_by_one="no"), r"one_by_one = 'no' .*\n.*True or False"),
        (lambda: epochal.run("xor-mlp", epochs=3), r"no argument 'epochs'.\n.*patch=\{\"epochs\": 3\}"),
        (lambda: epochal.run("xor-mlp", sedes=3), r"no argument 'sedes'.\n.*Did you mean seeds"),
        (epochal.run, r"epochal.run: missing .* 'recipe'"),
        (lambda: epochal.run("xor-mlp", "v1", {}), r"epochal.run: too many positional"),
        (lambda: epochal.compare(3, 4), r"a = 3 .*\n.*a run"),
        (lambda: epochal.evaluate("last", which="x"), r"which = 'x' .*\n.*best, last"),
        (lambda: epochal.load(None), r"ref = None .*\n.*its id"),
        (lambda: epochal.show("last", verbose=True), r"no argument 'verbose'.\n.*Arguments: ref, lab"),
        (lambda: epochal.resume("last", epochs="5"), r"epochs = '5' .*\n.*a whole number"),
        (lambda: epochal.note("last", None), r"text = None "),
        (lambda: epochal.rm(["last"]), r"refs = \['last'\] "),
    ],
)
def test_a_wrong_argument_is_refused_in_words(
    call: Any, message: str, monkeypatch: Any, tmp_path: Path
) -> None:
    """Value, what is allowed, what to do: no error from inside, and nothing was made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPOCHAL_LAB", raising=False)
    with pytest.raises(UsageError, match=message):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", VERBS)
def test_every_argument_of_every_verb_is_checked(name: str) -> None:
    """A new argument needs its line in the table; the signature that help() shows is the verb's own."""
    signature = inspect.signature(getattr(api, name))
    asked = {key for key, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD}
    assert asked <= {*_calls._ARGUMENTS, *_calls._CHOICES}


@pytest.mark.parametrize(
    "grid",
    [np.array([0.2, 0.01]), [np.float64(0.2), np.float32(0.01)], (0.2, 0.01), (rate for rate in (0.2, 0.01))],
)
def test_values_of_a_grid_come_in_any_order_of_numbers(tmp_path: Path, lab: Lab, grid: Any) -> None:
    """Lists, arrays and generators; NumPy's numbers are kept as Python's."""
    (fleet,) = api.run(
        RECIPE, "plain", grid={"optim.lr": grid}, patch={"epochs": 1}, lab=tmp_path, show=False
    )
    values = [one.line["patch"]["optim.lr"] for one in api.members(fleet, lab=tmp_path)]
    assert values == pytest.approx([0.2, 0.01]) and {type(value) for value in values} == {float}


@pytest.mark.parametrize("grid", [0.1, "0.1", {0.1, 0.2}, {0.1: 0.2}, [], np.array(0.1)])
def test_what_is_no_list_of_values_is_refused(tmp_path: Path, lab: Lab, grid: Any) -> None:
    """One number is no list, and a set has no order in which its values could be trained."""
    with pytest.raises(UsageError, match=r"no values for optim\.lr"):
        api.run(RECIPE, "plain", grid={"optim.lr": grid}, lab=tmp_path / "lab", show=False)
    assert not (tmp_path / "lab").exists()


def test_numbers_of_numpy_are_numbers(tmp_path: Path, lab: Lab) -> None:
    """Seeds, settings and switches as an array holds them."""
    patch = {"epochs": np.int32(1), "optim.lr": np.float64(0.2), "shuffle": np.bool_(False)}
    (run,) = api.run(RECIPE, "plain", seed=np.int64(3), patch=patch, lab=tmp_path, show=False)
    assert run.seed == 3 and run.settings["shuffle"] is False and run.settings["optim"]["lr"] == 0.2


def test_a_run_stands_for_itself(lab: Lab) -> None:
    """What a verb gives back is what the next one takes; of a fleet, its members too."""
    alone = lab.find("line:plain")
    fleet, fast = lab.find("lines:plain"), lab.find("lines:fast")
    member = api.members(fleet, lab=lab)[1]
    assert api.show(alone, lab=lab)["run"] == alone.id
    assert api.load(member, lab=lab).run == member
    found = api.compare(fleet, fast, lab=lab)
    assert (found.a.label, found.a.seeds, found.b.label) == (fleet.id, [0, 1, 2], fast.id)
    assert api.compare(member, fast, lab=lab).a.label == "plain@1"
    (draft,) = api.fork(member, {"epochs": 2}, draft=True, lab=lab)
    assert draft.parent == member.id
    assert api.evaluate(alone, lab=lab) == alone.reload().meta["evaluation"]["test"]
    api.rm(draft, lab=lab)
    assert not draft.path.exists()
