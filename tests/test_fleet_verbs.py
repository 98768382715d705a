"""The verbs on fleets and grids: what becomes one run, what several, and members as runs of their own."""

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
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run, members

RECIPE = str(Path(__file__).parent / "tiny_fleet.py")
ALONE = str(Path(__file__).parent / "tiny_recipe.py")
GRID = {"optim.lr": [0.2, 0.01]}


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
    """A lab with one fleet of three seeds at two rates, for tests that only read."""
    lab = Lab(tmp_path_factory.mktemp("trained"))
    train(lab=lab, seeds=3, grid=GRID, patch={"stop.loss": 0.05, "epochs": 2})
    return lab


@pytest.fixture
def lab(own_folders: Path, tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


def train(version: str | None = "plain", recipe: str = RECIPE, **how: Any) -> list[Run]:
    """Trains in silence."""
    return api.run(recipe, version, precision="float32", device="cpu", show=False, **how)


def test_all_seeds_and_points_are_one_run(trained: Lab) -> None:
    """Seed by seed, each at every point of the grid; the fleet's own settings are those of the version."""
    (fleet,) = trained.runs()
    assert (fleet.members, fleet.meta["seeds_of"], fleet.status, fleet.version) == (
        6,
        [0, 1, 2],
        "finished",
        "plain",
    )
    found = api.members(fleet.id, lab=trained)
    assert [(one.seed, one.settings["optim"]["lr"]) for one in found] == [
        (seed, rate) for seed in range(3) for rate in (0.2, 0.01)
    ]
    assert fleet.settings["optim"]["lr"] == 0.05
    assert found[1].patch == {"epochs": (4, 2), "stop.loss": (None, 0.05), "optim.lr": (0.05, 0.01)}
    assert (fleet.figures_dir / "steps.png").stat().st_size > 0
    assert "RECIPE = Recipe(" in fleet.source()["tiny_fleet.py"]


def test_a_stacked_member_is_the_run_trained_alone(lab: Lab) -> None:
    """`one_by_one` trains the same networks: settings, patch, values and curves are equal, only folders differ."""
    patch = {"epochs": 2, "stop.loss": 0.05}
    (fleet,) = train(lab=lab, seeds=2, grid=GRID, patch=patch)
    alone = train(lab=lab, seeds=2, grid=GRID, patch=patch, one_by_one=True)
    assert [run.name for run in alone] == ["lr-0.2", "lr-0.2", "lr-0.01", "lr-0.01"]
    assert not any(run.members for run in alone)
    pairs = {(run.seed, run.settings["optim"]["lr"]): run for run in alone}
    for member in members.of(fleet):
        run = pairs[member.seed, member.settings["optim"]["lr"]]
        assert member.settings == run.settings and member.patch == run.patch
        assert member.meta["final"] == run.meta["final"]
        assert member.epoch_values() == run.epoch_values()
        assert member.epoch_values("validation") == run.epoch_values("validation")
    assert [run.meta["parent_version"] for run in alone] == ["plain"] * 4


def test_seeds_alone_make_a_fleet_too(lab: Lab) -> None:
    """Where the recipe stacks; one network of one seed is an ordinary run."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1}, seed=5)
    assert fleet.members == 2 and fleet.meta["seeds_of"] == [5, 6]
    (one,) = train(lab=lab, patch={"epochs": 1})
    assert one.members == 0 and one.meta["final"]
    assert [run.members for run in train(lab=lab, seeds=2, patch={"epochs": 1}, one_by_one=True)] == [0, 0]


def test_what_cannot_be_stacked_becomes_runs_of_its_own(lab: Lab) -> None:
    """A fleet for each point of the other settings; named by it, below the version that it changes."""
    grid = {"noise": [0.01, 0.1], "optim.lr": [0.2, 0.1]}
    runs = train(lab=lab, seeds=2, grid=grid, patch={"epochs": 1}, name="try")
    assert [(run.name, run.members) for run in runs] == [("try-noise-0.01", 4), ("try-noise-0.1", 4)]
    assert [run.settings["noise"] for run in runs] == [0.01, 0.1]
    assert runs[1].patch == {"epochs": (4, 1), "noise": (0.01, 0.1)}
    assert runs[1].meta["parent_version"] == "plain"


def test_a_recipe_that_stacks_nothing_trains_its_grid_one_by_one(lab: Lab) -> None:
    """All combinations with every seed, the last key changing fastest."""
    grid = {"lr": ["0.01", "0.02"], "loss-weight": [0.5]}
    with pytest.raises(UsageError, match=r"no setting 'loss-weight'"):
        train(recipe=ALONE, lab=lab, grid=grid)
    runs = train(
        recipe=ALONE, lab=lab, seeds=2, patch={"epochs": 1}, grid={"lr": [0.01, 0.02], "loss.weight": [0.5]}
    )
    (fleet,) = train(lab=lab, seeds=2, grid={"stop.loss": [None]}, patch={"epochs": 1})
    assert fleet.name == "loss-none"  # as people write it, not as Python does
    names = ["lr-0.01-weight-0.5"] * 2 + ["lr-0.02-weight-0.5"] * 2
    assert [(run.name, run.seed) for run in runs] == list(zip(names, (0, 1, 0, 1), strict=True))
    assert runs[3].patch == {"epochs": (2, 1), "lr": (0.01, 0.02), "loss.weight": (0.0, 0.5)}
    assert runs[3].settings["lr"] == 0.02 and runs[3].settings["loss"]["weight"] == 0.5


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"optim.lt": [1]}, "Did you mean optim.lr"),
        ({"optim.lr": ["quick"]}, "optim.lr = quick is not allowed"),
        ({"optim.lr": [-1]}, "optim.lr = -1 is not allowed"),
        ({"optim.lr": []}, "no values for optim.lr"),
        ({"optim.lr": "0.1"}, "no values for optim.lr"),
        ({"optim.lr": [0.1, "1e-1"]}, r"optim.lr = 0.1 stands twice"),
        ({"optim": [0.1]}, "group of settings"),
        ({"optim.lr": [k / 1000 for k in range(1001)], "epochs": [*range(1, 102)]}, "too many"),
    ],
)
def test_a_wrong_grid_makes_no_run(lab: Lab, grid: dict[str, Any], message: str) -> None:
    """One clear message, and not even the lab's folder."""
    with pytest.raises(UsageError, match=message):
        train(lab=lab, grid=grid)
    assert not lab.path.exists()


@pytest.mark.parametrize(
    "grid",
    [
        {"clip_grad_norm": [None, 1]},
        {"data.source": ["auto", "mnist"]},
        {"net.hidden": [4, 5], "steps": [1, 0]},
    ],
)
def test_what_only_the_recipe_refuses_is_refused_before_anything_is_trained(
    own_folders: Path, lab: Lab, grid: dict[str, Any]
) -> None:
    """Its networks or its task, at a later point of the grid: wrong usage, and no run of an earlier point."""
    with pytest.raises(UsageError) as caught:
        train("v1", recipe="xor-mlp", lab=lab, grid=grid, patch={"epochs": 1})
    assert caught.value.exit_code == 2 and not lab.path.exists()


def test_what_breaks_at_a_later_point_is_told_by_its_training(lab: Lab) -> None:
    """A file that cannot be read is no wrong usage: the points before it are trained."""
    with pytest.raises(OSError, match="truncated") as caught:
        train(recipe=ALONE, lab=lab, grid={"fault": ["", "build"]}, patch={"epochs": 1})
    assert caught.value is not None and [run.status for run in lab.runs()] == ["finished"]


def test_members_are_runs_for_every_verb_that_reads(trained: Lab) -> None:
    """Found by number and seed, shown with their own numbers, loaded with their own weights."""
    (fleet,) = trained.runs()
    second = members.one(fleet, 1)
    assert trained.find(f"{fleet.id}#1") == second == trained.find("lines:plain@0", many=True)[1]
    with pytest.raises(UsageError, match=r"fits 2 members.*\n.*#0 \(optim.lr = 0.2\)"):
        api.show("lines:plain@0", lab=trained)
    about = api.show(f"{fleet.id}#1", lab=trained)
    assert about["run"] == second.id and about["settings"]["optim"]["lr"] == 0.01 and about["groups"] == []
    assert about["curves"]["train"] == second.epoch_values() != {}
    loaded = api.load(second.id, lab=trained)
    assert loaded.run == second and loaded.settings.optim.lr == 0.01
    others = [api.load(f"{fleet.id}#{k}", lab=trained).line.weights.tolist() for k in range(6)]
    assert others[1] == loaded.line.weights.tolist() and len({tuple(each) for each in others}) == 6


def test_a_fleet_is_shown_by_its_groups(trained: Lab) -> None:
    """A row a set of settings: how many reached their loss, in how many steps, and their last values."""
    (fleet,) = trained.runs()
    about = api.show("last", lab=trained)
    assert about["members"] == 6 and about["curves"] == {"train": {}, "validation": {}}
    assert [group["patch"] for group in about["groups"]] == [{"optim.lr": 0.2}, {"optim.lr": 0.01}]
    for group in about["groups"]:
        own = [one for one in members.of(fleet) if one.line["patch"] == group["patch"]]
        assert group["reached"] == sum(bool(one.line["reached"]) for one in own)
        losses = [one.meta["final"]["loss"] for one in own]
        assert group["final"]["loss"]["mean"] == pytest.approx(sum(losses) / 3)
    json.dumps(about, default=str)


def test_a_fleet_is_told_with_what_its_members_vary(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Settings and losses of one member never pass for those of all, in `show`, its JSON and both logs."""
    (fleet,) = train(lab=lab, seeds=2, grid={"optim.decay": [0, 0.5], "optim.lr": [0.3]}, patch={"epochs": 1})
    about = api.show(fleet.id, lab=lab)
    assert about["varied"] == {"optim.decay": [0.0, 0.5], "optim.lr": [0.3]}
    formulas = [group["loss_definition"] for group in about["groups"]]
    assert formulas == [{"step": "mean (ŷ - y)² + 0·w²"}, {"step": "mean (ŷ - y)² + 0.5·w²"}]
    assert main(["show", fleet.id, "--lab", str(lab.path)]) == 0
    text = capsys.readouterr().out
    assert "optim.decay=varied: 0, 0.5" in text and "optim.lr=0.3" in text
    assert "optim.decay: 0 → varied: 0, 0.5" in text and "optim.lr: 0.05 → 0.3" in text
    assert "differs between members" in text and "+ 0·w²" in text and "+ 0.5·w²" in text
    for lang, varied in (("en", "varied"), ("ko", "여러 값")):
        log = api.log(RECIPE, lang=lang, out=tmp_path / f"{lang}.md", lab=lab).read_text()
        assert (
            f"| **`optim.decay`** | **`{varied}: 0, 0.5`** |" in log
            and "| **`optim.lr`** | **`0.3`** |" in log
        )
        assert "- `mean (ŷ - y)² + 0.5·w²`" in log
        assert "| plain (optim.decay = 0, optim.lr = 0.3) |" in log and "| plain (optim.decay = 0.5, " in log


def test_many_values_of_a_setting_are_cut() -> None:
    """The first ones and their number; values that only differ in their type are one setting's."""
    lines = [{"patch": {"optim.lr": k / 10}} for k in range(20)] * 2
    (values,) = members.varied(lines).values()
    assert members.varied_text(values) == "varied: 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, … (20)"


def test_the_log_compares_a_fleet_with_other_runs(lab: Lab) -> None:
    """What was measured of its members stands in the tables over all versions, over its seeds."""
    train(lab=lab, seeds=3, patch={"epochs": 1})
    api.evaluate("last", lab=lab)
    text = api.log(RECIPE, lab=lab).read_text()
    assert "No run was evaluated yet" not in text
    (row,) = [
        line
        for line in text.splitlines()
        if line.startswith("| plain | ") and " 3 | " in line and "A" not in line
    ]
    (group,) = api.show("last", lab=lab)["groups"]
    assert f"{group['evaluation']['test']['slope_error']['mean']:.6g} ± " in row


def test_where_one_network_is_meant_a_fleet_is_refused(trained: Lab) -> None:
    """Loading, drawing and forking need a member; the message names some."""
    for verb in (api.load, api.generate, api.fork):
        with pytest.raises(UsageError, match=r"is a fleet of 6 networks.*\n.*#0 to #5"):
            verb("last", lab=trained)


def test_comparing_takes_members_as_runs(trained: Lab, lab: Lab) -> None:
    """Two members, a fleet's largest group, a fleet against single runs: paired by seed as runs are."""
    (fleet,) = trained.runs()
    found = api.compare(f"{fleet.id}#0", f"{fleet.id}#1", lab=trained)
    assert found.settings == {"optim.lr": (0.2, 0.01)}
    assert (found.a.label, found.b.label) == ("plain@0 (optim.lr = 0.2)", "plain@0 (optim.lr = 0.01)")
    whole = api.compare("plain", f"{fleet.id}#1", lab=trained)
    assert whole.a.seeds == [0, 1, 2]
    assert any("3 with other settings left out" in warning for warning in whole.warnings)
    train(lab=lab, seeds=3, patch={"epochs": 1})
    train("fast", lab=lab, seeds=3, patch={"epochs": 1}, one_by_one=True)
    mixed = api.compare("plain", "fast", lab=lab)
    assert mixed.a.seeds == mixed.b.seeds == [0, 1, 2] and mixed.settings == {"optim.lr": (0.05, 0.1)}
    rows = {row.metric: row for row in mixed.metrics}
    assert rows["loss"].a is not None and rows["loss"].a.n == 3
    assert rows["validation/slope_error"].better == "lower"


def test_losses_of_members_with_other_formulas_are_not_compared(lab: Lab) -> None:
    """The penalty is part of one loss only."""
    (fleet,) = train(lab=lab, grid={"optim.decay": [0, 0.5]}, patch={"epochs": 1})
    found = api.compare(f"{fleet.id}#0", f"{fleet.id}#1", lab=lab)
    assert found.refused == ["loss"]


def test_comparing_tells_the_steps_that_were_needed(lab: Lab) -> None:
    """Mean and median over the seeds where all got below their loss; the censored are counted and in no mean."""
    stop = {"stop.loss": 0.05, "epochs": 20}
    fleets = [train(v, lab=lab, seeds=3, patch=stop)[0] for v in ("plain", "fast")]
    found = api.compare("plain", "fast", lab=lab)
    rows = {row.metric: row for row in found.metrics}
    for side, fleet in zip(("a", "b"), fleets, strict=True):
        steps = [line["steps"] for line in members.read(fleet) if line["reached"]]
        assert len(steps) == 3
        mean, half = (getattr(rows[name], side) for name in ("steps", "median steps"))
        assert (mean.mean, mean.n, half.mean) == (pytest.approx(sum(steps) / 3), 3, sorted(steps)[1])
    assert rows["steps"].better == rows["median steps"].better == "lower"
    assert not any("censored" in warning for warning in found.warnings)
    (none,) = train(lab=lab, seeds=3, patch={"stop.loss": 1e-9, "epochs": 1})
    found = api.compare(none, "fast", lab=lab)
    rows = {row.metric: row for row in found.metrics}
    assert rows["steps"].a is None is rows["median steps"].a is rows["steps"].difference
    assert any("3 of 3 did not get below the loss of 1e-09 and are censored" in one for one in found.warnings)
    assert "steps are to different losses: 1e-09 against 0.05" in found.warnings
    json.dumps(found.to_dict(), allow_nan=False)


def test_nothing_is_compared_with_itself(trained: Lab) -> None:
    """However it is named: two columns of one head would tell nothing."""
    (fleet,) = trained.runs()
    for a, b in ((fleet.id, fleet.id), ("last", fleet), ("plain", "last"), ("last#1", f"{fleet.id}#1")):
        with pytest.raises(UsageError, match="A and B are the same"):
            api.compare(a, b, lab=trained)


def test_evaluating_a_fleet_measures_every_member(lab: Lab) -> None:
    """Each keeps its own numbers, by split; the answer is their mean."""
    (fleet,) = train(lab=lab, seeds=3, patch={"epochs": 1})
    measured = api.evaluate(fleet.id, lab=lab)
    each = [one.meta["evaluation"]["test"]["slope_error"] for one in api.members(fleet.id, lab=lab)]
    assert measured == {"slope_error": pytest.approx(sum(each) / 3)} and len(set(each)) == 3
    alone = api.evaluate(f"{fleet.id}#1", split="train", lab=lab)
    one = lab.find(f"{fleet.id}#1")
    assert one.meta["evaluation"] == {"train": alone, "test": {"slope_error": each[1]}}
    (group,) = api.show(fleet.id, lab=lab)["groups"]
    assert group["evaluation"]["test"]["slope_error"]["n"] == 3


def test_forking_a_member_gives_an_ordinary_run(lab: Lab) -> None:
    """Its settings, its seed, its weights where they are asked for; `show` of the fleet names the fork."""
    (fleet,) = train(lab=lab, seeds=2, grid=GRID, patch={"epochs": 1})
    (fork,) = api.fork(f"{fleet.id}#3", {"epochs": 2}, lab=lab, show=False)
    assert (fork.members, fork.seed, fork.parent, fork.patch) == (0, 1, f"{fleet.id}#3", {"epochs": (1, 2)})
    assert fork.settings["optim"]["lr"] == 0.01
    assert fork.epoch_values()["loss"][0] == lab.find(f"{fleet.id}#3").epoch_values()["loss"][0]
    assert api.show(fleet.id, lab=lab)["forks"] == [fork.id] == api.show(f"{fleet.id}#3", lab=lab)["forks"]
    (warm,) = api.fork(f"{fleet.id}#3", warm_start=True, lab=lab, show=False)
    (draft,) = api.fork(f"{fleet.id}#3", warm_start=True, draft=True, lab=lab)
    assert api.resume(draft.id, lab=lab, show=False).epoch_values() == warm.epoch_values()
    assert warm.epoch_values()["loss"][0][1] < fork.epoch_values()["loss"][0][1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by POSIX means")
def test_ctrl_c_saves_a_fleet_and_resume_goes_on(lab: Lab) -> None:
    """The message says how; the rest of the grid is named as not started."""
    grid = {"noise": [0.01, 0.1]}
    settings = {"epochs": 400, "watch": False}

    def interrupt_when_training() -> None:
        while not any(run.path.joinpath("metrics.jsonl").exists() for run in lab.runs()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt_when_training)
    watcher.start()
    try:
        with pytest.raises(api.TrainingEnded, match=r"Stopped run .* Not started: noise-0.1") as caught:
            train(patch=settings, lab=lab, seeds=2, grid=grid)
    finally:
        watcher.join()
    (stopped,) = caught.value.runs
    assert (stopped.status, {one.status for one in members.of(stopped)}) == ("stopped", {"stopped"})
    with pytest.raises(UsageError, match=r"one member of a fleet.*\n.*epochal resume"):
        api.resume(f"{stopped.id}#0", lab=lab)
    stopped.update(settings={**stopped.settings, "epochs": stopped.meta["epochs_done"] + 1})
    resumed = api.resume(stopped.id, lab=lab, show=False)
    assert {one.status for one in members.of(resumed)} == {"finished"}
    assert (resumed.figures_dir / "steps.png").exists()


def test_resume_trains_a_fleet_for_longer(lab: Lab) -> None:
    """As long as one of its members has something left to do."""
    (short,) = train(lab=lab, seeds=2, grid=GRID, patch={"epochs": 1, "stop.loss": 0.05})
    (long,) = train(lab=lab, seeds=2, grid=GRID, patch={"epochs": 3, "stop.loss": 0.05})
    resumed = api.resume(short.id, epochs=3, lab=lab, show=False)
    assert [one.meta["final"] for one in members.of(resumed)] == [
        one.meta["final"] for one in members.of(long)
    ]
    assert [line["status"] for line in members.read(resumed)] == ["finished"] * 4
    (done,) = train(lab=lab, seeds=2, patch={"epochs": 1, "stop.loss": 1e9})
    with pytest.raises(UsageError, match=r"All members of .* are done"):
        api.resume(done.id, epochs=3, lab=lab)


def test_resume_changes_nothing_of_a_run_that_another_process_trains(lab: Lab) -> None:
    """The run is taken first; then its settings change."""
    (run,) = train(lab=lab, patch={"epochs": 1})
    before = run.path.joinpath("run.json").read_bytes()
    with run.lock(), pytest.raises(EpochalError, match="is being trained by"):
        api.resume(run.id, epochs=5, lab=lab, show=False)
    assert run.path.joinpath("run.json").read_bytes() == before


def test_a_fleet_that_fails_is_kept_with_its_reason(lab: Lab) -> None:
    """The error carries it, as that of a run does."""
    with pytest.raises(api.TrainingEnded, match="all 2 members of the fleet failed") as caught:
        train(lab=lab, seeds=2, patch={"optim.lr": 1e9, "epochs": 60})
    assert caught.value.runs == lab.runs() and lab.runs()[0].status == "failed"
    with pytest.raises(EpochalError, match=r"No member of .* is finished"):
        api.evaluate("last", lab=lab)


def test_members_that_failed_are_in_no_figure(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures see finished members, with settings as the recipe's own dataclass."""
    from epochal.report import fleet as report

    seen: list[Any] = []
    monkeypatch.setattr(report, "draw", lambda recipe, run, found: seen.extend(found))
    train(lab=lab, seeds=2, grid={"optim.lr": [0.05, 1e9]}, patch={"epochs": 2})
    assert [(one.seed, one.settings.optim.lr, one.reached) for one in seen] == [
        (0, 0.05, None),
        (1, 0.05, None),
    ]
    assert all(one.final["loss"] < 100 and one.steps == 12 for one in seen)


def test_deleting_and_noting(lab: Lab) -> None:
    """A fleet goes as a whole; a remark on a member names it."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1})
    with pytest.raises(UsageError, match="deleted with all of it"):
        api.rm(f"{fleet.id}#0", lab=lab)
    api.note(f"{fleet.id}#1", "odd", lab=lab)
    assert "#1: odd" in api.show(fleet.id, lab=lab)["notes"]
    assert api.rm(fleet.id, prune=True, lab=lab)[0].files == ()
    api.rm(fleet.id, lab=lab)
    assert lab.runs() == []


def test_runs_and_members_become_frames(trained: Lab) -> None:
    """A fleet is one row among runs; its members are rows of their own."""
    pytest.importorskip("pandas")
    assert len(epochal.runs(trained).to_frame()) == 1
    (fleet,) = epochal.runs(trained).to_frame().to_dict("records")
    assert fleet["members"] == 6
    whole = epochal.runs(trained).to_frame(members=True)
    assert len(whole) == 6 and whole["final.loss"].notna().all() and not whole["members"].any()
    frame = epochal.members("last", lab=trained).to_frame()
    assert sorted(frame["settings.optim.lr"].unique()) == [0.01, 0.2] and frame["final.loss"].notna().all()


def test_the_log_tells_of_the_groups(trained: Lab, tmp_path: Path) -> None:
    """A table of groups, the picture of all members, and the command that makes them again."""
    api.evaluate("last", lab=trained)
    (fleet,) = trained.runs()
    for lang in ("en", "ko"):
        text = api.log(RECIPE, lang=lang, out=tmp_path / f"{lang}.md", lab=trained).read_text()
        assert "| `0.01` | 3 | 3 | 0 |" in text and "steps.png" in text
        assert "--seeds 3 --grid optim.lr=0.2,0.01" in text
        assert f"epochal evaluate {fleet.id} --split test" in text
    assert "6 networks in one run, seeds 0–2" in (tmp_path / "en.md").read_text()


def test_a_spoilt_table_of_members_keeps_nothing_from_being_told(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong stands where the fleet's numbers would; log and listings tell everything else as ever."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1})
    (fleet.path / members.NAME).write_text("<html>\n")
    text = api.log(RECIPE, lab=lab).read_text()
    assert "cannot be read: its members.jsonl" in text and fleet.id in text
    capsys.readouterr()
    assert main(["list", "--lab", str(lab.path)]) == 0 and fleet.id in capsys.readouterr().out
    assert main(["list", "--json", "--lab", str(lab.path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert "cannot be read" in row["reason"] and row["groups"] == []


def test_what_resume_advises_for_a_fleet_can_be_done(lab: Lab) -> None:
    """Of a fleet that did all its steps a member is forked: the whole of it cannot be."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1, "steps": 2})
    with pytest.raises(UsageError, match="all its 2 steps") as caught:
        api.resume(fleet.id, lab=lab)
    assert f"epochal fork {fleet.id}#0 --steps none" in str(caught.value)
    api.fork(f"{fleet.id}#0", {"steps": None}, draft=True, lab=lab)


def test_somebody_elses_table_steers_no_terminal(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of numbers, values of settings and reasons are shown without their control characters."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1})
    path = fleet.path / members.NAME
    first, second = map(json.loads, path.read_text().splitlines())
    second |= {"patch": {"optim.lr": "\x1b[2J"}, "final": {"lo\x1b[31mss": 1.0}, "reason": "\x1b]0;owned\x07"}
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    for words in (
        ["show", f"{fleet.id}#1"],
        ["show", fleet.id],
        ["compare", f"{fleet.id}#0", f"{fleet.id}#1"],
    ):
        assert main([*words, "--lab", str(lab.path)]) == 0
    text = capsys.readouterr().out
    assert "optim.lr" in text and not {"\x1b", "\x07"} & set(text)


def test_evaluating_names_the_member_whose_settings_are_not_taken(lab: Lab) -> None:
    """Somebody's table may hold settings that the recipe does not have."""
    (fleet,) = train(lab=lab, seeds=2, patch={"epochs": 1})
    path = fleet.path / members.NAME
    path.write_text(path.read_text().replace('"patch": {}', '"patch": {"foo.bar": 1}'))
    with pytest.raises(UsageError, match=f"the settings of {fleet.id}#0: There is no setting 'foo.bar'"):
        api.evaluate(fleet.id, lab=lab)


def test_the_command_of_the_log_makes_the_same_fleet(trained: Lab, lab: Lab) -> None:
    """Its settings file and its grid are the fleet's."""
    from epochal.report.fleet import grid_words

    (fleet,) = trained.runs()
    words = [*grid_words(fleet), "--settings", str(fleet.path), "--lab", str(lab.path), "--quiet"]
    assert main(["run", RECIPE, *words]) == 0
    (again,) = lab.runs()
    assert members.read(again) == [
        {k: v for k, v in line.items() if k != "evaluation"} for line in members.read(fleet)
    ]


def test_the_command_line_says_what_a_fleet_is(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry in every listing, with its members and seeds; a table of groups where it is shown."""
    monkeypatch.setenv("EPOCHAL_LAB", str(lab.path))
    run = ["run", RECIPE, "plain", "--seeds", "3", "--grid", "optim.lr=0.2,0.01", "--epochs", "1", "--quiet"]
    assert main([*run, "--stop.loss", "0.05", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["members"], row["seed"], row["metrics"]) == (6, 0, {})
    assert main(["list", "--json"]) == 0
    assert [group["patch"] for group in row["groups"]] == [{"optim.lr": 0.2}, {"optim.lr": 0.01}]
    assert row["groups"][0]["final"]["loss"]["n"] == 3
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert listed["members"] == 6 and listed["groups"] == row["groups"]
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "0–2 (6 members)" in text and " (median)" in text
    assert main(["show", "last"]) == 0
    text = capsys.readouterr().out
    assert "6, seeds 0–2" in text and "median steps" in text and "0.01      3 " in text
    assert main(["evaluate", "last"]) == 0
    assert "on test" in capsys.readouterr().out
    assert main(["evaluate", "last", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 2
    assert main(["show", "last#5"]) == 0
    text = capsys.readouterr().out
    assert "seed:      2" in text and "optim.lr: 0.05 → 0.01" in text


def test_resume_ends_with_the_table_that_run_ends_with(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained in one go or in two: the same line and the same groups, median steps included."""
    monkeypatch.setenv("EPOCHAL_LAB", str(lab.path))
    words = ["run", RECIPE, "plain", "--seeds", "2", "--stop.loss", "0.05", "--device", "cpu", "--quiet"]
    told = []
    for more in (["--epochs", "2"], ["--epochs", "1"]):
        assert main([*words, *more, "--precision", "float32"]) == 0
        told.append(capsys.readouterr().out.splitlines())
    assert main(["resume", "last", "--epochs", "2", "--quiet"]) == 0
    resumed = capsys.readouterr().out.splitlines()
    assert "median steps" in told[0][1] and resumed[1:] == told[0][1:] != told[1][1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "optim.lr"], "is no setting with its values"),
        (["--grid", "=1,2"], "is no setting with its values"),
        (["--grid", "optim.lr=0.1,,0.2"], "is no setting with its values"),
        (["--grid", "optim.lr=0.1", "--grid", "optim-lr=0.2"], "no setting"),
        (["--grid", "optim.lr=0.1", "--grid", "optim.lr=0.2"], "stands twice"),
    ],
)
def test_a_mistyped_grid_is_explained(
    lab: Lab, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """With an example."""
    assert main(["run", RECIPE, *words, "--lab", str(lab.path)]) == 2
    assert message in capsys.readouterr().err and not lab.path.exists()
