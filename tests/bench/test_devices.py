"""The device benchmark: what is trained, what is kept, what is measured again, and what is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from epochal import bench
from epochal.bench import _devices, _energy, _training
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.training import devices as present


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No training takes place: each takes a second a thread less; the list names those that were asked for."""
    asked: list[str] = []

    def train(plan: Any, place: Any) -> dict[str, Any]:
        asked.append(place.name)
        return {
            "started": 100.0,
            "seconds": 10.0 / (place.threads or 10),
            "items": 1000,
            "final": {"loss": 0.5, "accuracy": 0.8, "validation/accuracy": 0.9},
            "how": "float32, contiguous, torch layers",
            "data": {"name": "mnist", "sha256": "0" * 64},
            "created": "2026-01-01T00:00:00Z",
        }

    monkeypatch.setattr(_devices, "_train", train)
    monkeypatch.setattr(_energy, "source_of", lambda kind, gpu="0": _energy.Unreadable("no counter here"))
    machine = {"cpu": "Test CPU", "cores": 4, "platform": "Linux", "python": "3.11"}
    machine |= {"packages": {"epochal": "1", "torch": "2"}}
    monkeypatch.setattr("epochal.journal.environment.describe", lambda: {**machine})
    monkeypatch.setattr(present, "available", lambda: ["cpu"])
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    return asked


def measure(out: Path, **how: Any) -> dict[str, Any]:
    """The benchmark, silent."""
    return bench.devices(out=out, say=lambda line: None, **how)


def test_cpu_alone_with_one_thread_and_with_all(trainings: list[str], tmp_path: Path) -> None:
    """Without a GPU there are two rows, each with its reason for knowing no energy."""
    result = measure(tmp_path)
    assert trainings == ["cpu, 1 thread", "cpu, 4 threads"]
    ((title, cells, notes),) = bench.tables(result)
    assert "Test CPU, 4 cores" in title
    assert [row[:4] for row in cells] == [
        ("cpu, 1 thread (Test CPU)", "10.0", "100", "0.25"),
        ("cpu, 4 threads (Test CPU)", "2.5", "400", "1.00"),
    ]
    assert cells[0][4:7] == ("0.5000", "0.9000", "not readable")
    assert notes == ["energy: not readable: no counter here (cpu, 1 thread; cpu, 4 threads)"]
    assert json.loads(Path(result["file"]).read_text())["rows"] == result["rows"]


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="this system tells no load")
def test_a_busy_machine_is_told(
    trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times taken beside other programs are shown as what they are."""
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 3.0, 3.0))
    ((_, _, notes),) = bench.tables(measure(tmp_path))
    assert "the times are too long" in notes[-1]


def test_what_cannot_be_written_is_refused_before_it_is_measured(
    trainings: list[str], tmp_path: Path
) -> None:
    """A page without a folder, a folder as page, a file as folder: nothing is trained for them."""
    (tmp_path / "file").write_text("x")
    for how, expected in (
        ({"page": tmp_path / "nowhere" / "x.md"}, "lies in no folder"),
        ({"page": tmp_path}, "is a folder"),
        ({"out": tmp_path / "file"}, "cannot hold the results"),
    ):
        with pytest.raises(UsageError, match=expected):
            bench.devices(**{"out": tmp_path, "say": lambda line: None, **how})
    assert not trainings


def test_results_stay_where_the_user_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outside the repository they go to the present folder, not into the files that it keeps."""
    monkeypatch.chdir(tmp_path)
    assert _devices._results_folder() == tmp_path


def test_nothing_is_measured_twice(trainings: list[str], tmp_path: Path) -> None:
    """The same again trains nothing; other settings do; `again` measures anew and keeps one row each."""
    measure(tmp_path)
    assert len(measure(tmp_path)["rows"]) == 2 and len(trainings) == 2
    assert len(measure(tmp_path, steps=5)["rows"]) == 2 and len(trainings) == 4
    assert len(measure(tmp_path, again=True)["rows"]) == 2 and len(trainings) == 6


def test_a_stopped_benchmark_goes_on(
    trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured before the interruption is kept and not measured again."""
    whole = _devices._train

    def interrupted(plan: Any, place: Any) -> dict[str, Any]:
        if place.threads == 4:
            raise KeyboardInterrupt
        return whole(plan, place)

    monkeypatch.setattr(_devices, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path)
    monkeypatch.setattr(_devices, "_train", whole)
    assert len(measure(tmp_path)["rows"]) == 2
    assert trainings == ["cpu, 1 thread", "cpu, 4 threads"]


def test_other_data_are_not_compared(
    trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When `auto` finds other data than before, the old measurements go."""
    measure(tmp_path, on=["cpu"])
    whole = _devices._train
    other = {"name": "glyphs", "sha256": "1" * 64}
    monkeypatch.setattr(_devices, "_train", lambda plan, place: {**whole(plan, place), "data": other})
    rows = measure(tmp_path, again=True)["rows"]
    assert len(rows) == 2 and {row["data"]["name"] for row in rows} == {"glyphs"}


def test_a_stored_gpu_is_shown_beside(
    trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result file of another machine with the same training is shown with its hardware; of another, it is not."""
    measure(tmp_path)
    monkeypatch.setattr(present, "available", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(present, "resolve", lambda kind: kind)
    monkeypatch.setattr(present, "describe", lambda device: "NVIDIA Test 1")
    reading = {"joules": 500.0, "covers": "GPU board, NVML's energy counter", "why": None}
    gpu = measure(tmp_path, on=["cuda"])
    assert Path(gpu["file"]).name == "devices-cnn-digits-nvidia-test-1.json"
    kept = json.loads(Path(gpu["file"]).read_text())
    kept["rows"][0] |= {
        "energy": reading,
        "machine": {**kept["rows"][0]["machine"], "cpu": "Host of the GPU"},
    }
    Path(gpu["file"]).write_text(json.dumps(kept))

    monkeypatch.setattr(present, "available", lambda: ["cpu"])
    result = measure(tmp_path, page=tmp_path / "page.md")
    own, theirs = bench.tables(result)
    assert "Test CPU" in own[0] and "Host of the GPU" in theirs[0]
    assert theirs[1][0][0] == "cuda (NVIDIA Test 1)"
    assert theirs[1][0][6] == "500 J (500 W, 500.0 J a 1,000 items)"
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "NVIDIA Test 1" in page and "Host of the GPU" in page and "1,000 items (1 epoch, batch 64" in page
    assert len(bench.tables(measure(tmp_path, steps=7))) == 1


def test_one_device_that_fails_does_not_stop_the_others(
    trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason is kept in the answer; when all fail, that is an error with the reasons."""
    whole = _devices._train

    def failing(plan: Any, place: Any) -> dict[str, Any]:
        if place.threads == 1:
            raise EpochalError("It failed.", hint="out of memory")
        return whole(plan, place)

    monkeypatch.setattr(_devices, "_train", failing)
    result = measure(tmp_path)
    assert len(result["rows"]) == 1 and "out of memory" in result["failed"]["cpu, 1 thread"]
    monkeypatch.setattr(_devices, "_train", lambda plan, place: failing(plan, _devices._Place("cpu", 1, "")))
    with pytest.raises(EpochalError, match="No device could"):
        measure(tmp_path, seed=1)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"on": ["cuda"]}, "not present on this machine"),
        ({"on": ["tpu"]}, "unknown device 'tpu'"),
        ({"recipe": "cnn-digit"}, "cnn-digits"),
        ({"version": "v9"}, "no version 'v9'"),
        ({"epochs": 0}, "epochs"),
        ({"precision": "float8"}, "float32"),
    ],
)
def test_wrong_calls(trainings: list[str], tmp_path: Path, call: dict[str, Any], expected: str) -> None:
    """A mistake is told before anything is trained."""
    with pytest.raises((UsageError, EpochalError)) as told:
        measure(tmp_path, **call)
    assert expected in f"{told.value} {told.value.hint}"
    assert trainings == []


def test_a_file_of_something_else_is_not_overwritten(trainings: list[str], tmp_path: Path) -> None:
    """A damaged result file is named instead of being lost."""
    path = Path(measure(tmp_path)["file"])
    path.write_text("{}")
    with pytest.raises(EpochalError, match="holds no results"):
        measure(tmp_path)


def test_the_command_line(trainings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table on the screen, one JSON document with --json, and a message for a wrong word."""
    assert main(["bench", "devices", "cnn-digits", "v1", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "times all CPU threads" in shown and "not readable: no counter here" in shown
    assert main(["bench", "devices", "--steps", "3", "--json", "--out", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["plan"]["settings"]["steps"] == 3 and len(answer["rows"]) == 2
    assert main(["bench", "dance"]) == 2
    assert "speed" in capsys.readouterr().err


def test_items_of_a_training() -> None:
    """Epochs end with a smaller batch: 3 epochs and 2 steps over 10 items in batches of 4 are 38 items."""
    assert _training.trained_items(3 * 3 + 2, 10, 4) == 38
    assert _training.trained_items(2, 3, 4) == 6


def test_one_training_in_its_own_process(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny training on the CPU in another process is, but for rounding, the one of this process."""
    monkeypatch.setenv("EPOCHAL_DATA", str(real_data))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan = _devices._plan("cnn-digits", "v1", 1, 3, 0, "mnist", 200, "float32")
    plan["settings"]["data"]["hold_out"] = 100
    row = _devices._measure(plan, _devices._Place("cpu", 1, "Test CPU"))
    assert row["items"] == 192 and row["seconds"] > 0 and row["data"]["name"] == "mnist"
    assert row["energy"]["joules"] is not None or row["energy"]["why"]
    here = _training.train(plan, "cpu", 1, tmp_path)
    assert row["final"] == pytest.approx(here["final"], rel=1e-5) and row["final"]["loss"] > 0


def test_a_numpy_network_is_trained_too(tmp_path: Path) -> None:
    """It chose no precision and no layout: how it computed is "NumPy"."""
    plan = _devices._plan("xor-mlp", "v1", 1, 5, 0, "auto", None, "auto")
    found = _training.train(plan, "cpu", 1, tmp_path)
    assert found["how"] == "NumPy" and found["items"] == 20 and found["final"]["loss"] > 0


def test_a_training_that_dies_is_reported() -> None:
    """The end of what it printed comes with the error."""
    plan = {**_devices._plan("cnn-digits", "v1", 1, 3, 0, "mnist", 200, "float32"), "recipe": "nothing"}
    with pytest.raises(EpochalError, match="failed") as told:
        _devices._measure(plan, _devices._Place("cpu", 1, "Test CPU"))
    assert "There is no recipe 'nothing'" in str(told.value.hint)
