"""Networks of other recipes that training starts from, and the words that stand beside an evaluation's numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epochal import api
from epochal.api._networks import _fingerprint
from epochal.cli import main
from epochal.journal import Lab
from epochal.settings import apply
from epochal.systems import recipes as registry
from epochal.training.task import Trained
from tests import tiny_recipe

FILE = str(Path(__file__).with_name("tiny_recipe.py"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers are kept in the cache."""
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


def known_as(monkeypatch: pytest.MonkeyPatch, recipe: Any) -> None:
    """Makes the registry know the recipe by its name."""
    whole = registry.find
    monkeypatch.setattr(registry, "find", lambda name: recipe if name == recipe.name else whole(name))


def test_training_gets_the_networks_it_starts_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`build` is handed the trained helper, which is trained once for two runs; why another recipe trains is said."""
    seen: list[Trained] = []

    def build(settings: Any, nets: Any, helpers: Any) -> Any:
        seen.append(helpers["teacher"])
        return tiny_recipe.build(settings, nets)

    student = replace(
        tiny_recipe.RECIPE,
        name="student",
        build=build,
        needs_to_train=lambda settings: {"teacher": (FILE, {"lr": settings.lr / 2})},
    )
    known_as(monkeypatch, student)
    lab = Lab(tmp_path / "lab")
    (run, _) = api.run("student", seeds=2, lab=lab)
    assert run.status == "finished" and len(seen) == 2
    assert capsys.readouterr().err.count("line is needed as teacher: trained now, once, and kept in ") == 1
    assert seen[0].settings.lr == pytest.approx(0.005)
    assert not seen[0].nets["line"].weight.requires_grad
    kept = [one for one in Lab(tmp_path / "cache" / "helpers").runs() if one.recipe == "line"]
    assert len(kept) == 1 and kept[0].status == "finished"


def test_what_numbers_depend_on_is_kept_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Texts stand beside the numbers: in run.json, on the terminal, in the log; resuming drops both."""
    measured = {"slope_error": 0.1, "extractor": "cnn 3fa9c1e2"}
    known_as(monkeypatch, replace(tiny_recipe.RECIPE, evaluate=lambda trained, split: measured))
    lab = Lab(tmp_path / "lab")
    (run,) = api.run("line", lab=lab, show=False)
    assert api.evaluate(run.id, lab=lab) == {"slope_error": 0.1}
    meta = run.reload().meta
    assert meta["evaluation"] == {"test": {"slope_error": 0.1}}
    assert meta["measured_with"] == {"test": {"extractor": "cnn 3fa9c1e2"}}
    capsys.readouterr()
    for words in (["show", run.id], ["evaluate", run.id]):
        assert main([*words, "--lab", str(lab.path)]) == 0
        assert "extractor: cnn 3fa9c1e2" in capsys.readouterr().out
    assert "Extractor: cnn 3fa9c1e2." in Path(api.log("line", lab=lab)).read_text()
    api.resume(run.id, epochs=3, lab=lab, show=False)
    assert not run.reload().meta["evaluation"] and not run.meta["measured_with"]


def test_a_folders_content_tells_helpers_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two projects may both call their folder `faces`, and labels are added: the path does not say what was learned."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    recipe = registry.find("face-conditions")
    settings = apply(recipe.settings(), {"data.source": "faces-folder", "data.dir": "faces"})

    def project(name: str, mouth: float) -> str:
        place = tmp_path / name / "faces"
        place.mkdir(parents=True, exist_ok=True)
        rows = ["path,p_male,hair,mouth,eyes"]
        for number in range(4):
            Image.fromarray(np.full((40, 40, 3), 60 * number, np.uint8)).save(place / f"{number}.png")
            rows.append(f"{number}.png,1,0.5,{mouth},0.5")
        (place / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        monkeypatch.chdir(place.parent)
        return _fingerprint(recipe, settings)

    features = registry.find("image-features")  # of digits and of photographs, which are of another kind
    assert _fingerprint(features, apply(features.settings(), {"data.source": "shapes"}))
    first = project("one", 0.1)
    assert project("one", 0.1) == project("two", 0.1) == first
    assert project("one", 0.2) != first


def test_a_stopped_helper_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a helper trains: the message names no `resume`, which would look for it in the user's lab; the same
    command again goes on with the very run, from its checkpoint."""
    built: list[str] = []

    def build(settings: Any, nets: Any) -> Any:
        built.append("teacher")
        task = tiny_recipe.build(settings, nets)
        if len(built) > 1:
            return task

        def stop(nets: Any, rng: Any) -> Any:
            raise KeyboardInterrupt

        return replace(task, validate=stop)

    teacher = replace(tiny_recipe.RECIPE, name="teacher", build=build)
    student = replace(
        tiny_recipe.RECIPE,
        name="student",
        build=lambda settings, nets, helpers: tiny_recipe.build(settings, nets),
        needs_to_train=lambda settings: {"teacher": ("teacher", {})},
    )
    for recipe in (teacher, student):
        known_as(monkeypatch, recipe)
    lab, home = Lab(tmp_path / "lab"), Lab(tmp_path / "cache" / "helpers")
    with pytest.raises(api.TrainingEnded) as stopped:
        api.run("student", lab=lab, show=False)
    assert "same command again" in str(stopped.value.hint) and not lab.runs()
    (begun,) = home.runs()
    assert begun.status == "stopped"
    (run,) = api.run("student", lab=lab, show=False)
    (kept,) = home.runs()
    assert run.status == kept.status == "finished" and kept.id == begun.id
