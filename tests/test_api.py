"""The verbs as functions, driven by a tiny recipe file through the real engine."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal import api
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run

RECIPE = str(Path(__file__).parent / "tiny_recipe.py")


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Cache and state folders of these tests alone: nothing is read from or left in the user's."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        yield home


@pytest.fixture(scope="session")
def trained(own_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with two seeds of each version, for tests that only read."""
    lab = Lab(tmp_path_factory.mktemp("trained"))
    for version in ("plain", "decayed"):
        train(version, lab=lab, seeds=2)
    return lab


@pytest.fixture
def lab(own_folders: Path, tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


def train(version: str | None = None, **how: Any) -> list[Run]:
    """Trains the tiny recipe in silence, without the trial of precisions."""
    return api.run(RECIPE, version, precision="float32", device="cpu", show=False, **how)


def test_run_keeps_what_is_needed_to_understand_it(lab: Lab) -> None:
    """Settings, lineage, seeds, command, environment, notes and the recipe's own text are in the folder."""
    runs = train("decayed", lab=lab, seeds=2, seed=5, patch={"epochs": 1}, note="first try", name="short")
    assert [run.seed for run in runs] == [5, 6]
    meta = runs[1].meta
    assert (meta["status"], meta["version"], meta["name"]) == ("finished", "decayed", "short")
    assert (meta["parent"], meta["parent_version"], meta["seeds_of"]) == (None, "plain", [5, 6])
    assert meta["patch"] == {"epochs": [2, 1], "loss.weight": [0.0, 0.1]}
    assert meta["settings"]["loss"] == {"weight": 0.1} and meta["settings"]["epochs"] == 1
    assert meta["recipe_file"] == RECIPE and meta["environment"]["python"] and meta["command"]
    assert "first try" in runs[0].notes() and "first try" in runs[1].notes()
    assert "RECIPE = Recipe(" in runs[0].source()["tiny_recipe.py"]
    assert set(meta["final"]) >= {"loss", "error", "validation/slope_error"}
    assert (runs[0].figures_dir / "loss.png").stat().st_size > 0


def test_a_saved_run_starts_the_same_run_again(lab: Lab, trained: Lab) -> None:
    """Settings file = the old run's folder, same seed: every metric is equal to the last bit."""
    old = trained.find("line:decayed@1")
    again = train(settings_file=old.path, seed=1, lab=lab)[0]
    assert (again.settings, again.version, again.patch) == (old.settings, old.version, old.patch)
    assert again.epoch_values() == old.epoch_values()


def test_layers_file_below_patch(lab: Lab, tmp_path: Path) -> None:
    """Version < file < patch."""
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 3\n[loss]\nweight = 0.5\n")
    run = train("decayed", settings_file=file, patch={"epochs": 1}, lab=lab)[0]
    assert (run.settings["epochs"], run.settings["loss"]["weight"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch": {"epochs": 0}}, "epochs = 0 is not allowed"),
        ({"patch": {"epochs": 2_000_000_000}}, "epochs = 2,000,000,000 is not allowed: 1,000,000,000"),
        ({"patch": {"epochs": 10**4000}}, "number of epochs is not allowed"),
        ({"patch": {"epoch": 1}}, "Did you mean epochs"),
        ({"version": "plane"}, "Did you mean plain"),
        ({"seeds": 0}, "seeds = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"device": "gpu9"}, "device"),
        ({"precision": "float8"}, "float8"),
        ({"settings_file": "nowhere.toml"}, "nowhere.toml"),
        ({"recipe": "cvae-digit"}, "Did you mean cvae-digits"),
        ({"recipe": "cvae-digits", "patch": {"data.source": "mnits"}}, "mnist"),
        ({"recipe": "cvae-digits", "patch": {"data.dir": "/nowhere/at/all"}}, "nowhere"),
    ],
)
def test_a_wrong_call_makes_no_run(lab: Lab, wrong: dict[str, Any], message: str) -> None:
    """One clear message, and not even the lab's folder."""
    with pytest.raises(UsageError, match=message):
        api.run(**{"recipe": RECIPE, "lab": lab, "show": False, **wrong})
    assert not lab.path.exists()


def test_a_run_that_fails_before_its_first_step_leaves_nothing(lab: Lab) -> None:
    """Damaged data are found while building: no half-made run stays."""
    with pytest.raises(OSError, match="truncated"):
        train(patch={"fault": "build"}, lab=lab)
    assert lab.runs() == []


def test_a_draft_that_fails_to_start_is_kept(lab: Lab) -> None:
    """Only a run made by the very command that failed is taken away again."""
    parent = train("plain", lab=lab)[0]
    draft = api.fork(parent.id, {"fault": "build"}, draft=True, lab=lab)[0]
    with pytest.raises(OSError, match="truncated"):
        api.resume(draft.id, lab=lab, show=False)
    assert draft in lab.runs()


def test_a_run_that_did_all_its_steps_cannot_be_resumed(lab: Lab) -> None:
    """Its end lies inside an epoch; the message says how to train with more."""
    run = train("plain", patch={"steps": 1}, lab=lab)[0]
    assert run.meta["steps_done"] == 1
    with pytest.raises(UsageError, match=r"all its 1 steps.*\n.*--steps none"):
        api.resume(run.id, epochs=5, lab=lab)


def test_a_run_that_got_below_its_loss_cannot_be_resumed(lab: Lab) -> None:
    """It is done whatever epochs are asked for; the message says how to train without that stop."""
    run = train("plain", patch={"stop.loss": 1e6}, lab=lab)[0]
    assert (run.status, run.meta["steps_done"]) == ("finished", 1)
    with pytest.raises(UsageError, match=r"below its loss of 1e\+06 in step 1.*\n.*--stop.loss none"):
        api.resume(run.id, epochs=5, lab=lab)


def test_a_loss_that_is_no_number_fails_the_run_and_stops_the_seeds(lab: Lab) -> None:
    """The failed run is kept with its reason; the error carries it and names the seeds not started."""
    with pytest.raises(api.TrainingEnded, match=r"no longer a number.*Seeds not started: 1, 2") as caught:
        train(patch={"fault": "nan"}, seeds=3, lab=lab)
    (run,) = lab.runs()
    assert caught.value.runs == [run]
    assert (run.status, caught.value.exit_code) == ("failed", 1)
    assert "no longer a number" in run.meta["reason"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by POSIX means")
def test_ctrl_c_saves_and_resume_goes_on_to_the_bit(lab: Lab) -> None:
    """An interrupted and resumed run equals the uninterrupted one."""
    settings = {"epochs": 40, "batch_size": 2}
    whole = train(patch=settings, lab=lab, name="whole")[0]

    def interrupt_when_training() -> None:
        while not any(
            run.name == "cut" and run.path.joinpath("metrics.jsonl").exists() for run in lab.runs()
        ):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt_when_training)
    watcher.start()
    try:
        with pytest.raises(
            api.TrainingEnded, match=r"Stopped run .* it is saved\. Seeds not started: 1"
        ) as caught:
            train(patch=settings, lab=lab, name="cut", seeds=2)
    finally:
        watcher.join()
    (stopped,) = caught.value.runs
    assert (stopped.status, stopped.seed) == ("stopped", 0)
    assert f"epochal resume {stopped.id}" in str(caught.value)
    resumed = api.resume(stopped.id, lab=lab, show=False)
    assert resumed.status == "finished"
    assert resumed.epoch_values() == whole.epoch_values()


def test_resume_trains_a_finished_run_for_longer(lab: Lab) -> None:
    """`--epochs` is the total; settings and patch of the run follow."""
    short = train("plain", lab=lab)[0]
    long = train("plain", patch={"epochs": 4}, lab=lab, name="long")[0]
    with pytest.raises(UsageError, match=r"is finished .*2 epochs"):
        api.resume(short.id, lab=lab)
    with pytest.raises(UsageError, match="has 2 epochs already"):
        api.resume(short.id, epochs=2, lab=lab)
    resumed = api.resume(short.id, epochs=4, lab=lab, show=False)
    assert resumed.epoch_values() == long.epoch_values()
    assert resumed.settings["epochs"] == 4 and resumed.patch == {"epochs": (2, 4)}


def test_a_fork_changes_one_thing(lab: Lab) -> None:
    """Same seed, the parent's settings, the recorded patch, and a name that says what changed."""
    parent = train("plain", lab=lab, seed=3)[0]
    fork = api.fork(parent.id, {"loss.weight": 0.5}, lab=lab, note="why not", show=False)[0]
    assert (fork.seed, fork.parent, fork.name) == (3, parent.id, "weight-0.5")
    assert fork.patch == {"loss.weight": (0.0, 0.5)}
    assert epochal.Run(fork.path).notes().count("why not") == 1
    assert fork.settings == {**parent.settings, "loss": {"weight": 0.5}}
    assert api.show(parent.id, lab=lab)["forks"] == [fork.id]
    # Selecting by version means the version's own settings, so it does not find the fork.
    assert lab.find("line:plain@3") == parent


def test_a_draft_is_recorded_and_trained_later(lab: Lab) -> None:
    """`resume` of a draft trains it from the beginning."""
    parent = train("plain", lab=lab)[0]
    draft = api.fork(parent.id, {"lr": 0.02}, draft=True, lab=lab)[0]
    assert (draft.status, draft.metrics()) == ("draft", [])
    direct = api.fork(parent.id, {"lr": 0.02}, lab=lab, show=False)[0]
    assert api.resume(draft.id, lab=lab, show=False).epoch_values() == direct.epoch_values()


def test_a_warm_start_begins_where_the_parent_ended(lab: Lab) -> None:
    """Its first epoch is better than the parent's first."""
    parent = train("plain", lab=lab)[0]
    warm = api.fork(parent.id, warm_start=True, lab=lab, show=False)[0]
    assert warm.epoch_values()["loss"][0][1] < parent.epoch_values()["loss"][0][1]


def test_a_draft_of_a_warm_start_begins_there_too(lab: Lab) -> None:
    """Recorded first and trained later, it gives the numbers of the fork that was trained at once."""
    parent = train("plain", lab=lab)[0]
    direct = api.fork(parent.id, warm_start=True, lab=lab, show=False)[0]
    draft = api.fork(parent.id, warm_start=True, draft=True, lab=lab)[0]
    assert api.resume(draft.id, lab=lab, show=False).epoch_values() == direct.epoch_values()


def test_a_fork_without_a_change_is_refused(trained: Lab) -> None:
    """It would be the same run again; the message says what to give."""
    with pytest.raises(UsageError, match="would change nothing"):
        api.fork("line:plain@0", lab=trained)


def test_evaluation_is_returned_and_kept(lab: Lab) -> None:
    """By split, so that a later one does not overwrite it."""
    run = train("plain", lab=lab)[0]
    measured = api.evaluate(run.id, lab=lab)
    api.evaluate(run.id, split="train", lab=lab)
    assert run.reload().meta["evaluation"] == {"test": measured, "train": measured}


def test_generate_draws_what_was_asked(trained: Lab, tmp_path: Path) -> None:
    """The request's fields are validated like settings; the picture is a PNG."""
    out = api.generate("line:plain@0", out=tmp_path / "x.png", shade=7, n=3, lab=trained)
    assert out.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="from 0 to 255"):
        api.generate("line:plain@0", shade=256, lab=trained)
    with pytest.raises(UsageError, match="Did you mean shade"):
        api.generate("line:plain@0", shades=1, lab=trained)
    with pytest.raises(UsageError, match="no folder"):
        api.generate("line:plain@0", out=tmp_path / "not" / "x.png", lab=trained)


def test_a_picture_is_written_over_only_where_it_is_named(
    trained: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pictures of one run, both without a name, are two files; `out` says which file to replace."""
    monkeypatch.chdir(tmp_path)
    first, second, third = (api.generate("line:plain@0", shade=shade, lab=trained) for shade in (7, 9, 7))
    run = trained.find("line:plain@0").id
    assert [str(path) for path in (first, second, third)] == [f"{run}.png", f"{run}-2.png", f"{run}-3.png"]
    assert first.read_bytes() == third.read_bytes() != second.read_bytes()
    assert api.generate("line:plain@0", out=first, shade=9, lab=trained) == first
    assert first.read_bytes() == second.read_bytes()


def test_a_request_that_the_recipe_refuses_says_where_to_look(trained: Lab, tmp_path: Path) -> None:
    """What can be asked for is the recipe's to say: the message names the command that lists it."""
    file = tmp_path / "tiny_recipe.py"
    text = Path(RECIPE).read_text()
    refusal = 'import epochal.errors\n\n    raise epochal.errors.UsageError("No.", hint="Name a picture.")\n    images'
    file.write_text(text.replace("images = np.full", f"{refusal} = np.full"))
    (one,) = [run for run in trained.runs() if run.version == "plain"][:1]
    with pytest.raises(UsageError, match=rf"Name a picture\.\n  `epochal generate {one.id} --help`"):
        api.generate(one.id, recipe=str(file), lab=trained)


def test_loaded_networks_are_plain_modules(trained: Lab) -> None:
    """`load(RUN).line` is a torch module with the trained weights, in eval mode."""
    import torch

    loaded = api.load("line:plain@0", lab=trained)
    assert isinstance(loaded.line, torch.nn.Linear) and not loaded.line.training
    kept = abs(float(loaded.line.weight.detach()) - 2)
    assert kept == pytest.approx(loaded.run.epoch_values("validation")["slope_error"][-1][1])


def test_compare_refuses_losses_of_other_definition(trained: Lab) -> None:
    """The penalty is part of one loss only; its parts and the validation metric still compare."""
    found = api.compare("plain", "decayed", lab=trained)
    assert found.refused == ["loss"]
    assert found.definitions == {"line": ("mean (y - ŷ)² + 0·w²", "mean (y - ŷ)² + 0.1·w²")}
    assert found.settings == {"loss.weight": (0.0, 0.1)}
    rows = {row.metric: row for row in found.metrics}
    assert set(rows) == {"error", "validation/slope_error"}
    assert rows["validation/slope_error"].better == "lower"
    assert (found.a.seeds, found.b.seeds) == ([0, 1], [0, 1])
    json.dumps(found.to_dict())


def test_compare_averages_over_seeds(trained: Lab) -> None:
    """Mean and sample standard deviation as the textbook has them, and losses of one definition compare."""
    from statistics import mean, stdev

    found = api.compare("line:plain", "line:plain@1", lab=trained)
    values = [trained.find(f"line:plain@{seed}").meta["final"]["loss"] for seed in (0, 1)]
    (row,) = [row for row in found.metrics if row.metric == "loss"]
    assert row.a is not None and row.b is not None
    assert (row.a.mean, row.a.sd) == pytest.approx((mean(values), stdev(values)))
    assert row.difference == pytest.approx(values[1] - mean(values))
    assert not found.refused
    assert any("proves nothing" in warning for warning in found.warnings)


def test_compare_groups_only_runs_of_equal_settings(lab: Lab) -> None:
    """A short trial of the same version must not pull the mean; it is named as left out."""
    train("plain", lab=lab, seeds=2)
    trial = train("plain", lab=lab, patch={"epochs": 1})[0]
    train("decayed", lab=lab)
    found = api.compare("plain", "decayed", lab=lab)
    assert found.a.seeds == [0, 1] and trial not in found.a.runs
    assert any(trial.id in warning for warning in found.warnings)


def test_runs_become_a_frame(trained: Lab) -> None:
    """One row a run, dotted columns."""
    pytest.importorskip("pandas")
    frame = epochal.runs(trained).to_frame()
    assert len(frame) == 4
    assert sorted(frame["settings.loss.weight"].unique()) == [0.0, 0.1]
    assert frame["final.loss"].notna().all()


def test_without_pandas_the_message_says_what_to_install(
    trained: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pandas is not a dependency."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(EpochalError, match="pip install pandas"):
        api.runs(trained).to_frame()


def test_rm_deletes_the_run_and_prune_keeps_what_matters(lab: Lab) -> None:
    """A dry call deletes nothing; pruning keeps best and last, and the run still loads."""
    first, second = train("plain", lab=lab, seeds=2)
    extra = first.checkpoints_dir / "epoch-0001.safetensors"
    extra.write_bytes(b"x" * 1000)
    (planned,) = api.rm(first.id, prune=True, dry=True, lab=lab)
    assert planned.files == (extra,) and planned.bytes == 1000 and extra.exists()
    api.rm(prune=True, lab=lab)
    assert not extra.exists()
    assert api.load(first.id, lab=lab).line is not None
    assert api.rm(second.id, dry=True, lab=lab)[0].bytes == second.size_bytes() > 0
    api.rm(second.id, lab=lab)
    assert lab.runs() == [first]


def test_somebody_elses_run_executes_nothing_of_theirs(lab: Lab, tmp_path: Path) -> None:
    """A run folder may name any recipe file; it is loaded only when the user ran it here or names it."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    run = lab.create_run(recipe="line", recipe_file=str(evil), version="plain", status="finished")
    assert api.show(run.id, lab=lab)["recipe"] == "line"
    for verb in (api.evaluate, api.generate, api.load, api.resume, api.fork):
        with pytest.raises(UsageError, match="never run here"):
            verb(run.id, lab=lab)
    assert not (tmp_path / "executed").exists()


def test_a_moved_recipe_file_can_be_named(lab: Lab, tmp_path: Path) -> None:
    """On another machine the path in run.json leads nowhere; `recipe=` helps, and only the right recipe."""
    moved = tmp_path / "moved.py"
    moved.write_text(Path(RECIPE).read_text())
    run = api.run(str(moved), precision="float32", device="cpu", show=False, lab=lab)[0]
    moved.unlink()
    with pytest.raises(UsageError, match="no longer there"):
        api.evaluate(run.id, lab=lab)
    assert api.evaluate(run.id, recipe=RECIPE, lab=lab)
    with pytest.raises(UsageError, match="is of the recipe line"):
        api.evaluate(run.id, recipe="cvae-digits", lab=lab)


def test_the_log_knows_the_recipes_of_the_lab(lab: Lab, tmp_path: Path) -> None:
    """A recipe that came from a file goes by its name; where its file is gone the message says what to name."""
    moved = tmp_path / "mine.py"
    moved.write_text(Path(RECIPE).read_text().replace('name="line"', 'name="mine"'))
    api.run(str(moved), "plain", patch={"epochs": 1}, lab=lab, show=False)
    assert "Experiment log: mine" in api.log("mine", lab=lab).read_text()
    with pytest.raises(UsageError, match="There is no recipe 'mien'"):
        api.log("mien", lab=lab)
    moved.unlink()
    with pytest.raises(UsageError, match=r"mine.py, which is no longer there.*\n.*name its file instead"):
        api.log("mine", lab=lab)


def test_a_figure_that_fails_does_not_fail_the_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of training counts even when a picture cannot be drawn; a warning says so."""
    from epochal.report import figures

    def fail(*_: Any) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr(figures, "draw_run", fail)
    with pytest.warns(UserWarning, match="were not drawn: ValueError: no such colour"):
        (run,) = train("plain", lab=lab)
    assert run.status == "finished"
